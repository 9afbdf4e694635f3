//! Planted trees, and what the rules say of them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::host::exec::Program;
use crate::sysprep::OPERATIONS;

#[test]
fn the_table_is_whole() {
    let names: Vec<_> = rule_names().collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), unique.len(), "a name is used twice");
    assert!(names.len() > 90, "{}", names.len());
    assert_eq!(rules()[rules::known()].name, KNOWN_SECRET);
    assert_eq!(rules()[rules::unseen()].name, NOT_SEARCHED);
    for rule in rules() {
        let word = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        assert!(
            word(rule.name) && rule.why.len() > 20 && !rule.why.ends_with('.'),
            "{rule:?}"
        );
        let names = match rule.fix {
            rule::Fix::Operation(name) => vec![name],
            rule::Fix::Operations(rows) => rows.iter().map(|(name, _)| *name).collect(),
            rule::Fix::Setting(_) => vec![],
        };
        for name in names {
            let known = OPERATIONS.iter().any(|operation| operation.name == name);
            assert!(known, "{}: {name}", rule.name);
        }
        let (paths, _) = rule.matcher.paths();
        assert!(paths.iter().all(|path| path.starts_with('/')), "{rule:?}");
        if let rule::Matcher::Bytes(bytes) = rule.matcher {
            let pattern = find::compile(bytes.pattern);
            assert!(!pattern.is_match(b""), "{}", rule.name);
            let long = bytes.anchors.iter().all(|anchor| anchor.len() > 2);
            assert!(!bytes.anchors.is_empty() && long, "{}", rule.name);
        }
    }
    drop(Scanner::new(&Subject::default()));
}

/// A tree with these files; the findings as `rule path`.
pub(super) fn found(files: &[(&str, &[u8])], subject: &Subject) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let report = tree(dir.path(), subject).unwrap();
    let said = report
        .findings
        .iter()
        .map(|f| format!("{} {}", f.rule, f.path));
    said.collect()
}

#[test]
fn what_installers_leave_is_found_in_the_images_of_others() {
    let answers = [
        "autoinstall.yaml",
        "root/anaconda-ks.cfg",
        "ks.cfg",
        "var/lib/preseed/log",
        "var/log/installer/autoinstall-user-data",
    ];
    let logs = ["root/ks-post.log", "var/log/anaconda/packaging.log"];
    let settings = ["etc/apt/apt.conf.d/00CDMountPoint"];
    let all = [&answers[..], &logs, &settings].concat();
    let files: Vec<_> = all.iter().map(|path| (*path, &b"a\n"[..])).collect();
    let mut expected: Vec<_> = answers
        .map(|path| format!("installer-answers /{path}"))
        .into();
    expected.extend(logs.map(|path| format!("installer-log /{path}")));
    expected.push("installer-log /var/log/installer/autoinstall-user-data".into());
    expected.sort();
    assert_eq!(found(&files, &Subject::default()), expected);
}

#[test]
fn files_that_nothing_mounts_are_judged_as_those_of_a_root() {
    let subject = Subject::default();
    let mut scanner = Scanner::new(&subject);
    let id: &[u8] = b"0123456789abcdef0123456789abcdef\n";
    let entry = FileEntry::new("/etc/machine-id".into(), 0o100_444, (0, 0), id.len() as u64);
    for place in ["/(partition 2)", ""] {
        scanner.enter(place);
        scanner.take(&entry, &mut &*id).unwrap();
    }
    let report = scanner.finish();
    let paths: Vec<&str> = report.findings.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["/(partition 2)/etc/machine-id", "/etc/machine-id"]);
}

pub(super) fn secret(value: &str) -> Subject {
    Subject {
        known: Known::new(&BTreeMap::from([(
            "token".into(),
            value.as_bytes().to_vec(),
        )])),
        ..Subject::default()
    }
}

#[test]
fn a_known_secret_is_found_in_every_form_and_container() {
    let value = "correct/horse battery+staple";
    let subject = secret(value);
    let text = format!("x={value}\n");
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let encoded = BASE64_STANDARD.encode(&text);
    let cpio = [
        b"070701 early TRAILER!!!\0\0".to_vec(),
        zstd(text.as_bytes()),
    ]
    .concat();
    let all: &[(&str, &[u8])] = &[
        ("plain", text.as_bytes()),
        ("base64", encoded.as_bytes()),
        ("url", b"?t=correct%2Fhorse%20battery%2Bstaple"),
        ("gz", &gzip(text.as_bytes())),
        ("zst", &zstd(text.as_bytes())),
        ("twice", &gzip(&zstd(encoded.as_bytes()))),
        ("initrd", &cpio),
        ("clean", b"correct horse"),
    ];
    let found = found(all, &subject);
    let expected: Vec<String> = ["base64", "gz", "initrd", "plain", "twice", "url", "zst"]
        .map(|name| format!("{KNOWN_SECRET} /{name}"))
        .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn a_declared_place_is_no_finding() {
    let mut subject = Subject::default();
    subject
        .known
        .add("hash", b"$6$saltsalt$0123456789", &["/etc/shadow"]);
    let line: &[u8] = b"ops:$6$saltsalt$0123456789:1::::::\n";
    let all = found(&[("etc/shadow", line), ("root/note", line)], &subject);
    let known: Vec<_> = all.iter().filter(|f| f.starts_with(KNOWN_SECRET)).collect();
    assert_eq!(known, [&format!("{KNOWN_SECRET} /root/note")]);
}

#[test]
fn what_a_package_brought_is_public() {
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        "MIIEvQ4x".repeat(9)
    );
    let mut hasher = md5::Md5::default();
    md5::Digest::update(&mut hasher, key.as_bytes());
    let sums = format!(
        "{}  usr/share/doc/x/test.pem\n",
        hex::encode(md5::Digest::finalize(hasher))
    );
    let changed = format!("{key}\n");
    let all = found(
        &[
            ("usr/share/doc/x/test.pem", key.as_bytes()),
            ("var/lib/dpkg/info/x.md5sums", sums.as_bytes()),
            ("usr/share/doc/x/other.pem", changed.as_bytes()),
        ],
        &Subject::default(),
    );
    assert_eq!(all, ["private-key /usr/share/doc/x/other.pem"]);
}

/// What a tree with these files has that could not be searched: path and why.
fn unsearched(files: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let report = tree(dir.path(), &Subject::default()).unwrap();
    let unseen = report.findings.into_iter();
    let unseen = unseen.filter(|found| found.rule == NOT_SEARCHED);
    unseen.map(|found| (found.path, found.detail)).collect()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    std::io::Write::write_all(&mut to, bytes).unwrap();
    to.finish().unwrap()
}

#[test]
fn what_cannot_be_searched_is_a_finding_of_whatever_no_package_brought() {
    let whole = gzip(
        &(0..90_000u32)
            .flat_map(u32::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    let cut = &whole[..whole.len() / 2];
    let mut hasher = md5::Md5::default();
    md5::Digest::update(&mut hasher, cut);
    let digest = hex::encode(md5::Digest::finalize(hasher));
    let found = unsearched(&[
        ("opt/a.7z", b"7z\xbc\xaf\x27\x1c and more"),
        ("opt/b.gz", b"\x1f\x8b\x08 broken"),
        ("opt/c.gz", cut),
        ("opt/d.log.gz", &gzip(b"7z\xbc\xaf\x27\x1c and more")),
        ("opt/e.zip", b"PK\x03\x04 and more"),
        ("opt/whole.gz", &whole),
        ("opt/journal", b"LPKSHHRH"),
    ]);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "/opt/a.7z",
        "/opt/b.gz",
        "/opt/c.gz",
        "/opt/d.log.gz",
        "/opt/e.zip",
    ];
    assert_eq!(paths, expected, "{found:?}");
    assert!(found[1].1.contains("cannot be decoded"));
    let sums = format!("{digest}  usr/lib/tests/cut.gz\n");
    let owned = unsearched(&[
        ("usr/lib/tests/cut.gz", cut),
        ("var/lib/dpkg/info/x.md5sums", sums.as_bytes()),
    ]);
    assert_eq!(owned, []);
}

#[test]
fn what_is_in_archives_and_packages_is_searched() {
    let value = "correct/horse battery+staple";
    let text = format!("x={value}\n");
    let tar = |name: &str, content: &[u8]| {
        let mut builder = ::tar::Builder::new(vec![]);
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap()
    };
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let options = ::zip::write::SimpleFileOptions::default();
    let packed = options.compression_method(::zip::CompressionMethod::Deflated);
    zip.start_file("app/settings", packed).unwrap();
    std::io::Write::write_all(&mut zip, text.repeat(9).as_bytes()).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let data = gzip(&tar("./etc/site", &gzip(text.as_bytes())));
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar.gz", &data)] {
        let size = content.len();
        deb.extend(format!("{name:<16}{:<32}{size:<10}`\n", "0").bytes());
        deb.extend(content);
        deb.resize(deb.len().next_multiple_of(2), b'\n');
    }
    let header = [
        &[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8][..],
        &[0; 8],
    ]
    .concat();
    let mut rpm = vec![0xed, 0xab, 0xee, 0xdb];
    rpm.resize(96, 0);
    rpm.extend([&header[..], &header, &gzip(text.as_bytes())].concat());
    let dir = tempfile::tempdir().unwrap();
    let (files, snap) = (dir.path().join("files"), dir.path().join("snap"));
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("a key"), gzip(text.as_bytes())).unwrap();
    let mksquashfs = crate::host::exec::Program::new("mksquashfs").args([&files, &snap]);
    mksquashfs.arg("-quiet").run().unwrap();
    let found = found(
        &[
            (
                "a.tar.gz",
                &gzip(&tar("deep/key.gz", &gzip(text.as_bytes()))),
            ),
            ("b.jar", &zip),
            ("c.deb", &deb),
            ("d.rpm", &rpm),
            ("e.snap", &std::fs::read(&snap).unwrap()),
        ],
        &secret(value),
    );
    let all = ["/a.tar.gz", "/b.jar", "/c.deb", "/d.rpm", "/e.snap"];
    assert_eq!(found, all.map(|path| format!("{KNOWN_SECRET} {path}")));
}

#[test]
fn nothing_seen_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = tree(dir.path(), &Subject::default()).unwrap_err();
    assert_eq!(error.kind().exit_code(), 4, "{error}");
    assert!(tar(&[0; 1024][..], &Subject::default()).is_err());
}

#[test]
fn a_large_hole_costs_nothing_and_places_behind_it_are_right() {
    use std::os::unix::fs::FileExt as _;
    let dir = tempfile::tempdir().unwrap();
    let at = 1 << 40;
    let file = std::fs::File::create(dir.path().join("lastlog")).unwrap();
    file.write_all_at(b"x = correct horse", at).unwrap();
    let report = tree(dir.path(), &secret("correct horse")).unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let detail = &report.findings[0].detail;
    assert!(detail.ends_with(&format!("at byte {}", at + 4)), "{detail}");
    assert!(report.bytes < 1 << 20, "{}", report.bytes);
}

#[test]
fn a_key_is_declared_for_one_account() {
    let blob = format!("AAAAC3NzaC1lZDI1NTE5{}", "A".repeat(48));
    let line = format!("ssh-ed25519 {blob} ops\n");
    let mut subject = Subject::default();
    let keys = vec![line.clone()];
    let account = Account {
        keys,
        ..Account::default()
    };
    subject.declared.accounts.insert("ops".into(), account);
    let passwd = "root:x:0:0::/root:/bin/sh\nops:x:9:9::/srv/ops:/bin/sh\n";
    let found = found(
        &[
            ("etc/passwd", passwd.as_bytes()),
            ("root/.ssh/authorized_keys", line.as_bytes()),
            ("home/ann/.ssh/authorized_keys", line.as_bytes()),
            ("srv/ops/.ssh/authorized_keys", line.as_bytes()),
        ],
        &subject,
    );
    assert_eq!(
        found,
        [
            "authorized-keys /home/ann/.ssh/authorized_keys",
            "authorized-keys /root/.ssh/authorized_keys"
        ]
    );
}

#[test]
fn an_archive_says_what_its_tree_says() {
    let mut builder = ::tar::Builder::new(vec![]);
    let mut header = ::tar::Header::new_gnu();
    header.set_size(9);
    header.set_mode(0o4755);
    builder
        .append_data(&mut header, "./opt/tool", &b"#!/bin/sh"[..])
        .unwrap();
    let archive = builder.into_inner().unwrap();
    let report = tar(archive.as_slice(), &Subject::default()).unwrap();
    let said: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.rule.as_str(), f.path.as_str()))
        .collect();
    assert_eq!(said, [("setuid-file", "/opt/tool")]);
}

/// Disks and installers that somebody left in a guest; their own files are not read.
#[test]
fn what_lies_in_a_disk_or_an_iso_image_is_found_or_told() {
    let value = "correct/horse battery+staple";
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let packed = gzip(value.as_bytes());
    for (content, rules) in [
        (value.as_bytes(), &[KNOWN_SECRET, NOT_SEARCHED][..]),
        (&packed, &[NOT_SEARCHED]),
    ] {
        let raw = [&[1; 1 << 20][..], content, &[1; 1 << 20]].concat();
        std::fs::write(at("raw"), &raw[..raw.len() / 512 * 512]).unwrap();
        for (format, name) in [("vdi", "vdi"), ("vpc", "vhd")] {
            let convert = Program::new("qemu-img").args(["convert", "-f", "raw", "-O", format]);
            convert.args([at("raw"), at(name)]).run().unwrap();
        }
        let iso = Program::new("xorriso").args(["-as", "mkisofs", "-quiet", "-o"]);
        iso.args([at("iso"), at("raw")]).run().unwrap();
        for name in ["vdi", "vhd", "iso"] {
            let bytes = std::fs::read(at(name)).unwrap();
            let all = found(&[("srv/x", &bytes)], &secret(value));
            let expected: Vec<String> = rules.iter().map(|rule| format!("{rule} /srv/x")).collect();
            assert_eq!(all, expected, "{name}");
        }
    }
}
