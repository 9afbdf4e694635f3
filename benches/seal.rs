//! Sealing, side by side with the chain that does the same work with libguestfs' own tools, on
//! copies of one disk: what matters is the ratio, not the seconds.
//!
//! `cargo bench --bench seal` makes a Debian of 10 GiB and one of 100 GiB with imgforge itself.
//! `IMGFORGE_BENCH_RUNS=5` sets how often each is measured (3; the chain once in three), and
//! `IMGFORGE_BENCH_DIR` a directory with 25 GiB of free space, which is kept.

#![allow(
    clippy::disallowed_methods,
    reason = "the peers are run as their users run them"
)]

mod common;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgforge::host::accel::Accel;

use common::{Report, Row, Times, Workspace};

const IMGFORGE: &str = env!("CARGO_BIN_EXE_imgforge");

/// A Debian server that people use, about 0.7 GiB.
const RECIPE: &str = "\
name: bench
install:
  bootstrap:
    suite: trixie
    packages: [openssh-server, cloud-init, git, vim, python3, man-db, perl, gcc]
machine: {firmware: bios}
variants:
  size: [small, large]
";

/// How many times as fast as the chain sealing is, at least.
const GOAL: f64 = 4.0;

/// What sealing may take of a disk whose empty part is ten times as large, as a share of its speed.
const FLAT: f64 = 0.8;

/// Times and what the disk allocates afterwards.
#[derive(Default)]
struct Series {
    times: Vec<Duration>,
    allocated: u64,
}

impl Series {
    fn times(&self) -> Times {
        Times {
            all: self.times.clone(),
            peak: 0,
        }
    }
}

fn main() {
    let place = Workspace::new("seal");
    let dir = place.path();
    let runs = std::env::var("IMGFORGE_BENCH_RUNS").map_or(3, |runs| runs.parse().unwrap());
    let accel = common::accel();
    let small = disk(dir, "small", "10GiB");
    let large = disk(dir, "large", "100GiB");
    let mut report = Report::new("seal");
    report.fact("accelerator", accel.as_str());

    let (mut ours, mut ours_large, mut chain) =
        (Series::default(), Series::default(), Series::default());
    for run in 0..runs {
        // In turn, so that what else the machine does meets all of them.
        measure(&mut ours, &small, |disk| seal(disk, dir));
        if run % 3 == 0 {
            measure(&mut chain, &small, |disk| published_chain(disk, accel));
        }
        measure(&mut ours_large, &large, |disk| seal(disk, dir));
    }

    let mib = |series: &Series| format!("{} MiB", series.allocated >> 20);
    report.row(Row {
        work: "seal a Debian of 10 GiB".into(),
        ours: ours.times(),
        against: "virt-sysprep; guestfish zero-free-space, fstrim".into(),
        theirs: chain.times(),
        goal: GOAL,
        more: vec![(
            format!(
                "{} left allocated, by the chain {}",
                mib(&ours),
                mib(&chain)
            ),
            ours.allocated <= chain.allocated,
        )],
    });
    report.row(Row {
        work: "seal the same on 100 GiB".into(),
        ours: ours_large.times(),
        against: "on 10 GiB".into(),
        theirs: ours.times(),
        goal: FLAT,
        more: vec![(format!("{} left allocated", mib(&ours_large)), true)],
    });
    report.finish();
}

/// A raw disk with the recipe's system.
fn disk(dir: &Path, variant: &str, size: &str) -> PathBuf {
    let repo = dir.join(variant);
    std::fs::create_dir_all(repo.join("recipes")).unwrap();
    std::fs::write(repo.join("imgforge.yaml"), "state: state\n").unwrap();
    let recipe = RECIPE.replace("firmware: bios", &format!("firmware: bios, disk: {size}"));
    std::fs::write(repo.join("recipes/bench.yaml"), recipe).unwrap();
    let name = format!("bench-{variant}");
    let mut build = Command::new(IMGFORGE);
    build.arg("-C").arg(&repo);
    run(build.args(["build", &name, "--until", "install", "-q"]));
    let entries = repo.join("state/store");
    let found = std::fs::read_dir(entries).unwrap().flatten();
    let mut disks = found.map(|entry| entry.path().join("disk.qcow2"));
    let disk = disks.find(|disk| disk.exists()).unwrap();
    let raw = dir.join(format!("{variant}.raw"));
    run(Command::new("qemu-img")
        .args(["convert", "-O", "raw"])
        .args([&disk, &raw]));
    raw
}

/// Works on a copy; making it is not measured.
fn measure(series: &mut Series, disk: &Path, work: impl FnOnce(&Path)) {
    let copy = disk.with_extension("copy");
    run(Command::new("cp")
        .arg("--sparse=always")
        .args([disk, &copy]));
    let began = Instant::now();
    work(&copy);
    series.times.push(began.elapsed());
    series.allocated = copy.metadata().unwrap().blocks() * 512;
    std::fs::remove_file(copy).unwrap();
}

fn seal(disk: &Path, dir: &Path) {
    let mut seal = Command::new(IMGFORGE);
    seal.args(["disk", "seal", "-q", "--state"])
        .arg(dir.join("state"));
    run(seal.arg(disk));
}

/// What the published pipeline runs.
fn published_chain(disk: &Path, accel: Accel) {
    run(tool("virt-sysprep", accel)
        .args(["--format", "raw", "-a"])
        .arg(disk));
    let mut fish = tool("guestfish", accel);
    fish.args(["--rw", "--format=raw", "-a"]).arg(disk);
    run(fish.args(["-i", "zero-free-space", "/", ":", "fstrim", "/"]));
}

fn tool(name: &str, accel: Accel) -> Command {
    let mut command = Command::new(name);
    command.env("LIBGUESTFS_BACKEND", "direct");
    if accel == Accel::Tcg {
        command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    }
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
