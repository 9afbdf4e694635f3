//! Disks that no kernel wrote, by e2fsprogs.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;
use crate::host::exec::Program;
use crate::ui::Ui;

/// A disk of one ext4, from a tree.
struct Toy {
    dir: tempfile::TempDir,
}

impl Toy {
    fn new() -> Self {
        let toy = Toy {
            dir: tempfile::tempdir().unwrap(),
        };
        for (path, content) in [
            ("etc/os-release", "ID=debian\nIMAGE_VERSION=111111111111\n"),
            ("etc/fstab", "LABEL=root / ext4 defaults 0 1\n"),
            ("etc/motd", "hello\n"),
            ("etc/one", "1\n"),
            ("etc/two", "2\n"),
            ("etc/gone", "x\n"),
        ] {
            let path = toy.path("tree").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", toy.path("tree/bin")).unwrap();
        std::fs::hard_link(toy.path("tree/etc/one"), toy.path("tree/etc/three")).unwrap();
        toy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The disk `name` of the tree, after these lines of debugfs.
    fn disk(&self, name: &str, uuid: &str, lines: &[&str]) -> PathBuf {
        let (raw, disk) = (self.path("raw"), self.path(name));
        drop(std::fs::remove_file(&raw));
        let make =
            Program::new("mke2fs").args(["-q", "-t", "ext4", "-b", "1024", "-U", uuid, "-d"]);
        make.arg(self.path("tree"))
            .arg(&raw)
            .arg("8M")
            .run()
            .unwrap();
        std::fs::write(self.path("lines"), lines.join("\n")).unwrap();
        let debugfs = Program::new("debugfs").args(["-w", "-f", "lines"]);
        debugfs.arg(&raw).dir(self.dir.path()).run().unwrap();
        let convert = Program::new("qemu-img").args(["convert", "-O", "qcow2"]);
        convert.arg(&raw).arg(&disk).run().unwrap();
        disk
    }

    fn compared(&self, lines: &[&str]) -> Compared {
        let (one, other) = (self.disk("one", ONE, &[]), self.disk("other", ONE, lines));
        self.compare(&one, &other)
    }

    fn compare(&self, one: &Path, other: &Path) -> Compared {
        let ui = Ui::silent().stage("toy", "verify");
        compare(one, other, self.dir.path(), &ui).unwrap()
    }
}

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const OTHER: &str = "22222222-2222-4222-8222-222222222222";

/// Each difference in a line.
fn told(compared: &Compared) -> Vec<String> {
    let lines = compared.differences.iter().flat_map(|one| {
        let path = &one.path;
        let changes = one.changes.iter();
        changes.map(move |c| format!("{path}: {} {} -> {}", c.what, c.was, c.now))
    });
    lines.collect()
}

#[test]
fn what_differs_is_found_whatever_it_is() {
    let toy = Toy::new();
    let same = toy.compared(&[]);
    assert_eq!(told(&same), Vec::<String>::new());
    assert!(same.is_equal() && same.files > 8 && same.bytes > 20);
    std::fs::write(toy.path("motd"), "hullo\n").unwrap();
    let compared = toy.compared(&[
        "rm /etc/motd",
        "write motd /etc/motd",
        "rm /etc/gone",
        "set_inode_field /etc/two mode 0100600",
        "set_inode_field /etc/two uid 7",
        "ea_set /etc/two user.x y",
        "rm /bin",
        "symlink /bin usr/sbin",
        "rm /etc/three",
        "cd /etc",
        "mknod null c 1 3",
    ]);
    let lines = told(&compared);
    let said = |line: &str| assert!(lines.iter().any(|one| one == line), "{line}: {lines:#?}");
    said("/etc/motd: content 6 bytes -> 6 bytes, other ones from byte 1 on");
    said("/etc/two: mode 0644 -> 0600");
    said("/etc/two: attributes  -> user.x=79");
    said("/bin: target usr/bin -> usr/sbin");
    said("/etc/one: names /etc/one -> ");
    for start in [
        "/etc/gone: missing file, ",
        "/etc/three: missing file, ",
        "/etc/null: added  -> character device, ",
        "/etc/two: owner ",
    ] {
        assert!(
            lines.iter().any(|one| one.starts_with(start)),
            "{start}: {lines:#?}"
        );
    }
    assert_eq!(compared.differences.len(), 7, "{lines:#?}");
    assert!(compared.blocks.differ > 0);
}

#[test]
fn devices_are_told_apart_by_their_numbers() {
    let toy = Toy::new();
    let disk = |name: &str, minor: u32| {
        let lines = [
            format!("mknod small c 5 {minor}"),
            format!("mknod large b 259 {}", 700 + minor),
        ];
        toy.disk(name, ONE, &["cd /etc", &lines[0], &lines[1]])
    };
    let (one, other) = (disk("one", 1), disk("other", 2));
    let lines = told(&toy.compare(&one, &other));
    let expected = [
        "/etc/large: device 259:701 -> 259:702",
        "/etc/small: device 5:1 -> 5:2",
    ];
    assert_eq!(lines, expected);
}

/// Each hides what it names, and nothing beside it.
#[test]
fn only_what_a_build_has_of_its_own_is_not_compared() {
    let toy = Toy::new();
    let write =
        |name: &str, content: &str| std::fs::write(toy.path("tree").join(name), content).unwrap();
    let fstab =
        |uuid: &str, rest: &str| write("etc/fstab", &format!("UUID={uuid} / ext4 {rest}\n"));
    let version = |version: &str, id: &str| {
        write(
            "etc/os-release",
            &format!("ID={id}\nIMAGE_VERSION={version}\n"),
        );
    };
    fstab(ONE, "defaults");
    version("111111111111", "debian");
    let one = toy.disk("one", ONE, &[]);
    fstab(OTHER, "defaults");
    version("222222222222", "debian");
    let other = toy.disk("other", OTHER, &[]);
    let compared = toy.compare(&one, &other);
    assert_eq!(told(&compared), Vec::<String>::new());
    let own: Vec<&String> = compared.own.keys().collect();
    assert_eq!(own, ["/etc/fstab", "/etc/os-release"]);
    for (uuid, rest, id) in [
        (OTHER, "noatime", "debian"),
        ("33333333-3333-4333-8333-333333333333", "defaults", "debian"),
        (OTHER, "defaults", "ubuntu"),
    ] {
        fstab(uuid, rest);
        version("222222222222", id);
        let other = toy.disk("other", OTHER, &[]);
        let compared = toy.compare(&one, &other);
        assert_eq!(compared.differences.len(), 1, "{:?}", told(&compared));
    }
    // Many a script sources it.
    fstab(OTHER, "defaults");
    for value in ["$(touch /x)", "222222222222; touch /x", "2222222222222"] {
        version(value, "debian");
        let compared = toy.compare(&one, &toy.disk("other", OTHER, &[]));
        let lines = told(&compared);
        assert!(
            lines.len() == 1 && lines[0].starts_with("/etc/os-release: content"),
            "{lines:?}"
        );
    }
}

/// What starts before any file is read.
#[test]
fn what_is_outside_of_file_systems_is_compared() {
    let toy = Toy::new();
    let whole = toy.path("whole");
    std::fs::File::create(&whole)
        .unwrap()
        .set_len(12 << 20)
        .unwrap();
    let sfdisk = |words: &[&str]| Program::new("sfdisk").arg("-q").args(words);
    let lines = "label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\n\
                 start=4096, size=16384\n";
    sfdisk(&[]).arg(&whole).input(lines).run().unwrap();
    let make = Program::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "1024", "-d"]);
    let make = make.arg(toy.path("tree")).args(["-E", "offset=2097152"]);
    make.arg(&whole).arg("8M").run().unwrap();
    let disk = |name: &str, change: &dyn Fn(&Path)| {
        let (raw, disk) = (toy.path("changed"), toy.path(name));
        std::fs::copy(&whole, &raw).unwrap();
        change(&raw);
        let convert = Program::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]);
        convert.arg(&raw).arg(&disk).run().unwrap();
        disk
    };
    let one = disk("one", &|_| ());
    let differs = |change: &dyn Fn(&Path)| {
        let compared = toy.compare(&one, &disk("other", change));
        let paths = compared.differences.into_iter().map(|one| one.path);
        paths.collect::<Vec<_>>()
    };
    assert_eq!(differs(&|_| ()), Vec::<String>::new());
    for (at, path) in [
        (100, "/(outside of partitions)"),
        (40 << 10, "/(outside of partitions)"),
        ((11 << 20) + 5, "/(outside of partitions)"),
        ((1 << 20) + 5, "/(partition 1)"),
        ((2 << 20) + 5, "/(partition 2)"),
    ] {
        let poked = |raw: &Path| {
            let file = std::fs::File::options().write(true).open(raw).unwrap();
            file.write_all_at(b"x", at).unwrap();
        };
        assert_eq!(differs(&poked), [path], "{at}");
    }
    // Ids are other ones each time.
    let id = |raw: &Path| sfdisk(&["--disk-id"]).arg(raw).arg(OTHER).run().unwrap();
    assert_eq!(differs(&id), Vec::<String>::new());
    let kind = "0FC63DAF-8483-4772-8E79-3D69D8477DE5";
    let kind = |raw: &Path| {
        sfdisk(&["--part-type"])
            .arg(raw)
            .args(["1", kind])
            .run()
            .unwrap()
    };
    assert_eq!(differs(&kind), ["/(table)"]);
}

#[test]
fn what_cannot_be_read_is_not_equal() {
    let toy = Toy::new();
    let disk = toy.disk("one", ONE, &[]);
    let raw = toy.path("raw");
    let xfs = [b"XFSB".as_slice(), &[7; 4 << 20]].concat();
    std::fs::write(&raw, xfs).unwrap();
    let other = toy.path("other");
    let convert = Program::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]);
    convert.arg(&raw).arg(&other).run().unwrap();
    let compared = toy.compare(&disk, &other);
    assert!(!compared.is_equal());
    assert_eq!(compared.unread.len(), 1, "{:?}", compared.unread);
}
