//! Four targets of one disk at once, side by side with the plain chain of the tools that everybody
//! uses, one after the other; gates and steps in the guest apart.
//!
//! `cargo bench --bench targets` makes a Debian with imgforge itself. `IMGFORGE_BENCH_DIR` names a
//! directory with 12 GiB of free space, which is kept.

#![allow(
    clippy::disallowed_methods,
    reason = "the peers are run as their users run them"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use imgforge::machine::Machine;
use imgforge::targets::{self, About, SystemDisk, TargetContext};
use imgforge::ui::Ui;

use common::{Report, Row, Workspace, imgforge, measure, run, shell};

/// A Debian server that people use, about 0.7 GiB.
const RECIPE: &str = "\
name: bench
install:
  bootstrap:
    suite: trixie
    packages: [openssh-server, cloud-init, git, vim, python3, man-db, perl, gcc]
    kernel: linux-image-amd64
machine: {firmware: bios, disk: 10GiB}
";

/// OpenStack's disk, that of a box for VirtualBox, a container, a machine without a disk.
const TARGETS: [&str; 4] = ["qcow2", "vmdk", "docker", "ramdisk"];

/// The targets take at most 0.8 of the chain's time.
const GOAL: f64 = 1.25;

fn main() {
    let place = Workspace::new("targets");
    let dir = place.path();
    let disk = disk(dir);
    let root = root(dir, &disk);
    let mut report = Report::new("targets");
    report.fact("accelerator", common::accel().as_str());
    let out = dir.join("out");
    let fresh = || {
        drop(std::fs::remove_dir_all(&out));
        std::fs::create_dir(&out).unwrap();
        run(shell("cat \"$0\" >/dev/null").arg(&disk));
    };
    let ours = measure(fresh, || {
        all(&disk, &out);
        0
    });
    let theirs = measure(fresh, || {
        chain(&disk, &root, &out);
        0
    });
    report.row(Row {
        work: format!("{} of one disk", TARGETS.join(", ")),
        ours,
        against: "`qemu-img convert` twice; `tar -z`; `mksquashfs`, one after the other".into(),
        theirs,
        goal: GOAL,
        more: vec![],
    });
    report.finish();
}

/// Makes the artifacts as the finish stage does: each on its own thread, with one source.
fn all(disk: &Path, out: &Path) {
    let dir = |name: &str| {
        let path = out.join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let source = SystemDisk::new(disk.to_owned(), "qcow2", dir("shared"), common::accel());
    let about = About {
        name: "bench".into(),
        version: String::new(),
        title: "bench".into(),
        os: "debian".into(),
        os_version: "13".into(),
        created: 1_767_225_600,
    };
    let ui = Ui::silent().stage("bench", "finish");
    std::thread::scope(|scope| {
        for name in TARGETS {
            let (files, scratch) = (dir(name), dir(&format!("{name}-scratch")));
            let (source, about, ui) = (&source, &about, &ui);
            scope.spawn(move || {
                let site = TargetContext {
                    source,
                    about,
                    gate: None,
                    proving: false,
                    machine: &Machine::default(),
                    dir: &files,
                    scratch: &scratch,
                    ui,
                };
                let target = targets::find(name).unwrap();
                let made = targets::make(&target, &site, None);
                made.unwrap_or_else(|error| panic!("{name}: {}", error.render()));
            });
        }
    });
}

/// What a person types. The files lie unpacked, which costs the chain nothing.
fn chain(disk: &Path, root: &Path, out: &Path) {
    let step = |program: &str, args: &[&str], more: &[&Path]| {
        run(Command::new(program).args(args).args(more));
    };
    let qcow2 = [
        "convert",
        "-f",
        "qcow2",
        "-O",
        "qcow2",
        "-c",
        "-o",
        "compat=1.1",
    ];
    step("qemu-img", &qcow2, &[disk, &out.join("bench.qcow2")]);
    let vmdk = [
        "convert",
        "-f",
        "qcow2",
        "-O",
        "vmdk",
        "-o",
        "subformat=streamOptimized",
    ];
    step("qemu-img", &vmdk, &[disk, &out.join("bench.vmdk")]);
    let archive = out.join("bench.tar.gz");
    let tar = ["--xattrs", "--numeric-owner", "--sort=name", "-C"];
    run(Command::new("tar")
        .args(tar)
        .arg(root)
        .args(["-czf"])
        .arg(&archive)
        .arg("."));
    let squashfs = out.join("bench.squashfs");
    let options = ["-comp", "zstd", "-b", "256K", "-quiet", "-no-progress"];
    run(Command::new("mksquashfs")
        .args([root, &squashfs])
        .args(options));
}

/// The disk of the recipe's system.
fn disk(dir: &Path) -> PathBuf {
    let repo = dir.join("repo");
    std::fs::create_dir_all(repo.join("recipes")).unwrap();
    std::fs::write(repo.join("imgforge.yaml"), "state: state\n").unwrap();
    std::fs::write(repo.join("recipes/bench.yaml"), RECIPE).unwrap();
    run(imgforge()
        .arg("-C")
        .arg(&repo)
        .args(["build", "bench", "--until", "install"]));
    let found = std::fs::read_dir(repo.join("state/store"))
        .unwrap()
        .flatten();
    let disks: Vec<PathBuf> = found
        .map(|entry| entry.path().join("disk.qcow2"))
        .filter(|path| path.is_file())
        .collect();
    disks.into_iter().next().expect("a disk in the store")
}

/// Its files, unpacked.
fn root(dir: &Path, disk: &Path) -> PathBuf {
    let (out, root) = (dir.join("plain"), dir.join("root"));
    if !root.exists() {
        run(imgforge()
            .arg("--state")
            .arg(dir.join("state"))
            .args(["disk", "export", "-t", "ramdisk", "--name", "plain", "-o"])
            .args([&out])
            .arg(disk));
        run(Command::new("unsquashfs")
            .args(["-q", "-n", "-d"])
            .args([&root, &out.join("plain.squashfs")]));
    }
    root
}
