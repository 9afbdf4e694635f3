//! Planted trees, and what the rules say of them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::sysprep::OPERATIONS;

#[test]
fn the_table_is_whole() {
    let names: Vec<_> = rule_names().collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), unique.len(), "a name is used twice");
    assert!(names.len() > 90, "{}", names.len());
    assert_eq!(rules()[rules::known()].name, KNOWN_SECRET);
    for rule in rules() {
        let word = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        assert!(
            word(rule.name) && rule.why.len() > 20 && !rule.why.ends_with('.'),
            "{rule:?}"
        );
        if let rule::Fix::Operation(text) = rule.fix {
            for name in text.split("` or `") {
                let known = OPERATIONS.iter().any(|operation| operation.name == name);
                // Planned beside this table.
                assert!(known || name == "homes", "{}: {name}", rule.name);
            }
        }
        match rule.look {
            rule::Look::Bytes(bytes) => {
                let pattern = find::compile(bytes.pattern);
                assert!(!pattern.is_match(b""), "{}", rule.name);
                assert!(
                    !bytes.anchors.is_empty() && bytes.anchors.iter().all(|a| a.len() > 2),
                    "{}",
                    rule.name
                );
            }
            rule::Look::Present(paths) | rule::Look::Judged(paths, _) => {
                assert!(
                    paths.iter().all(|path| path.starts_with('/')),
                    "{}",
                    rule.name
                );
            }
            rule::Look::Mode(_) | rule::Look::Known => {}
        }
    }
    drop(Scanner::new(&Subject::default()));
}

/// A tree with these files; the findings as `rule path`.
fn found(files: &[(&str, &[u8])], subject: &Subject) -> Vec<String> {
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
fn files_that_nothing_mounts_are_judged_as_those_of_a_root() {
    let subject = Subject::default();
    let mut scanner = Scanner::new(&subject);
    let id: &[u8] = b"0123456789abcdef0123456789abcdef\n";
    let entry = Entry::new("/etc/machine-id".into(), 0o100_444, (0, 0), id.len() as u64);
    for place in ["/(partition 2)", ""] {
        scanner.enter(place);
        scanner.take(&entry, &mut &*id).unwrap();
    }
    let report = scanner.finish();
    let paths: Vec<&str> = report.findings.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["/(partition 2)/etc/machine-id", "/etc/machine-id"]);
}

fn secret(value: &str) -> Subject {
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
    let gzip = |bytes: &[u8]| {
        let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
        std::io::Write::write_all(&mut to, bytes).unwrap();
        to.finish().unwrap()
    };
    let encoded = crate::runner::protocol::base64(text.as_bytes());
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

#[test]
fn what_cannot_be_searched_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.zip"), b"PK\x03\x04 and more").unwrap();
    std::fs::write(dir.path().join("b.gz"), b"\x1f\x8b\x08 broken").unwrap();
    let report = tree(dir.path(), &Subject::default()).unwrap();
    let paths: Vec<_> = report
        .unsearched
        .iter()
        .map(|each| each.path.as_str())
        .collect();
    assert_eq!(paths, ["/a.zip", "/b.gz"]);
    assert!(report.unsearched[1].why.contains("cannot be decoded"));
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
