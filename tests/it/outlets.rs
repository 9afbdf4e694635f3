//! Results and scratch in directories of others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use imgforge::host::exec::{Program, write_program};

fn at(dir: &Path, words: &[&str]) {
    let qemu_img = Program::new("qemu-img").dir(dir);
    qemu_img.args(words).run().unwrap();
}

fn imgforge(dir: &Path) -> Program {
    let imgforge = crate::support::imgforge_by_the_door();
    imgforge.dir(dir).args(["--state", "state"])
}

/// A `qemu-img` that writes down what it is asked for, and makes no overlay.
fn witness(dir: &Path) -> PathBuf {
    let real = imgforge::host::exec::find("qemu-img").unwrap();
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\n[ $1 != create ] && exec {} \"$@\"\n",
        dir.join("asked").display(),
        real.display()
    );
    write_program(&bin.join("qemu-img"), &script).unwrap();
    bin
}

#[test]
fn no_program_writes_by_its_path_where_others_can_put_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let open = dir.join("open");
    std::fs::create_dir(&open).unwrap();
    at(&dir, &["create", "-q", "-f", "qcow2", "open/disk", "1M"]);
    let path = format!(
        "{}:{}",
        witness(&dir).display(),
        std::env::var("PATH").unwrap()
    );
    let asked = |mode: u32, words: &[&str]| {
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(mode)).unwrap();
        drop(std::fs::remove_file(dir.join("asked")));
        let ended = imgforge(&dir).args(words).env("PATH", &path).run();
        let asked = std::fs::read_to_string(dir.join("asked")).unwrap();
        let beside = asked.contains(open.join(".imgforge-").to_str().unwrap());
        (ended.is_ok(), beside, asked)
    };
    for verb in ["pack", "seal"] {
        let words = ["disk", verb, "open/disk", "-o", "open/out"];
        for (mode, is_beside) in [(0o755, true), (0o777, false)] {
            let (done, beside, asked) = asked(mode, &words);
            assert_eq!(
                (done, beside),
                (verb == "pack", is_beside),
                "{verb}: {asked}"
            );
            let names = open.read_dir().unwrap().count();
            assert_eq!(names, 1 + usize::from(done), "nothing is left");
            drop(std::fs::remove_file(open.join("out")));
        }
    }
}

/// Who may write in the directory of a disk puts another in its place once it was looked at: one on
/// a file of the host that only the caller can read.
#[test]
fn the_disk_that_was_looked_at_is_the_one_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let open = dir.join("open");
    std::fs::create_dir(&open).unwrap();
    let secret = "only for root\n".repeat(80_000);
    std::fs::write(dir.join("secret"), &secret[..1 << 20]).unwrap();
    at(&dir, &["create", "-q", "-f", "qcow2", "good", "1M"]);
    let on_secret = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        "../secret",
    ];
    at(&open, &[&on_secret[..], &["evil"]].concat());
    let real = imgforge::host::exec::find("qemu-img").unwrap();
    std::fs::create_dir(dir.join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\n[ $1 != convert ] || cp {0}/evil {0}/disk\nexec {1} \"$@\"\n",
        open.display(),
        real.display()
    );
    write_program(&dir.join("bin/qemu-img"), &script).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = [
        dir.join("bin").to_str().unwrap(),
        &std::env::var("PATH").unwrap(),
    ]
    .join(":");
    let run = |words: &[&str]| imgforge(&dir).args(words).env("PATH", &path).run();
    std::fs::copy(dir.join("good"), open.join("disk")).unwrap();
    run(&["disk", "pack", "open/disk", "-o", "packed"]).unwrap();
    run(&["disk", "unpack", "packed", "-o", "unpacked"]).unwrap();
    assert!(std::fs::read(dir.join("unpacked")).unwrap() == vec![0; 1 << 20]);
    // It was there to be read.
    let swapped = std::fs::read(open.join("disk")).unwrap();
    assert!(swapped == std::fs::read(open.join("evil")).unwrap());
}

#[test]
fn a_disk_is_not_packed_or_unpacked_onto_itself() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let run = |words: &[&str]| imgforge(&dir).args(words).run();
    std::fs::write(dir.join("disk"), vec![1; 1 << 16]).unwrap();
    run(&["disk", "pack", "disk", "-o", "packed"]).unwrap();
    std::os::unix::fs::symlink("disk", dir.join("link")).unwrap();
    for words in [
        ["disk", "pack", "disk", "-o", "disk"],
        ["disk", "pack", "disk", "-o", "link"],
        ["disk", "unpack", "packed", "-o", "packed"],
    ] {
        let error = run(&words).unwrap_err();
        let told = error
            .render()
            .contains("would be read and replaced at once");
        assert!(told, "{}", error.render());
    }
    assert!(std::fs::read(dir.join("disk")).unwrap() == vec![1; 1 << 16]);
    run(&["disk", "unpack", "packed", "-o", "disk"]).unwrap();
}

/// Of 1 MiB, which is 64 times as much as has to stay free there, and of what unpacks to more.
#[test]
#[ignore = "root: src/host/space.rs src/host/exec src/pack/flatten.rs src/host/imagefile.rs"]
fn what_unpacks_without_end_leaves_the_host_room() {
    let dir = tempfile::tempdir().unwrap();
    let ones = "head -c 128M /dev/zero | tr '\\0' '\\1' > ones; gzip -k ones; \
                qemu-img convert -c -f raw -O qcow2 ones ones.qcow2; mkdir small";
    let sh = |script: &str| Program::new("sh").dir(dir.path()).args(["-ec", script]);
    sh(ones).run().unwrap();
    for disk in ["ones.gz", "ones.qcow2"] {
        let script = format!(
            "mount -t tmpfs -o size=64m none small; \
             export TMPDIR=$PWD/small; {} --state state disk scan {disk} 2>&1 || :; ls -A small | wc -l",
            crate::support::IMGFORGE
        );
        let told = sh(&script).in_namespaces(&["--mount"]).text().unwrap();
        assert!(told.contains("is nearly full: less than 1.0 MiB"), "{told}");
        assert!(told.ends_with("\n0"), "scratch is left: {told}");
    }
}
