//! What the gate costs beside one boot to the login prompt: at most 2.5 of them, plus the scan.
//!
//! `cargo bench --bench gate` builds a small Debian with imgforge itself, then measures both on the
//! same disk. `IMGFORGE_BENCH_RUNS=3` sets how often (1), `IMGFORGE_BENCH_DIR` a directory with
//! 6 GiB of free space.

#![allow(
    clippy::disallowed_methods,
    reason = "imgforge and QEMU are run as their users run them"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgforge::machine::Arch;
use serde_json::Value;

use common::{Report, Row, Times, Workspace};

const RECIPE: &str = "\
name: bench
install: {bootstrap: {suite: trixie, packages: [openssh-server, libpam-systemd]}}
machine: {disk: 2GiB, memory: 1GiB, firmware: bios}
";

/// More than this many boots the gate may not cost.
const MOST: f64 = 2.5;

fn main() {
    let place = Workspace::new("gate");
    let dir = place.path();
    let runs = std::env::var("IMGFORGE_BENCH_RUNS").map_or(1, |runs| runs.parse().unwrap());
    std::fs::create_dir_all(dir.join("recipes")).unwrap();
    std::fs::write(dir.join("recipes/bench.yaml"), RECIPE).unwrap();
    std::fs::write(dir.join("imgforge.yaml"), "state: state\n").unwrap();
    let mut report = Report::new("gate");
    report.fact("accelerator", common::accel().as_str());
    imgforge(dir, &["--until", "seal"]);
    let sealed = entry(dir, "seal").join("disk.qcow2");
    let (mut gates, mut boots, mut scans) = (vec![], vec![], vec![]);
    for _ in 0..runs {
        boots.push(boot(dir, &sealed));
        imgforge(dir, &["--from", "check", "--until", "check"]);
        let meta = meta(&entry(dir, "check"));
        let scan = meta["facts"]["gate"]["scan"]["took"].as_f64().unwrap();
        gates.push(Duration::from_secs_f64(
            meta["took"].as_f64().unwrap() - scan,
        ));
        scans.push(format!("{scan:.1} s"));
    }
    let times = |all| Times { all, peak: 0 };
    report.row(Row {
        work: "the gate without its scan: two boots, compared".into(),
        ours: times(gates),
        against: "one boot to the login prompt".into(),
        theirs: times(boots),
        goal: 1.0 / MOST,
        more: vec![(format!("the scan took {}", scans.join(", ")), true)],
    });
    report.finish();
}

fn imgforge(dir: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgforge"));
    command
        .arg("-C")
        .arg(dir)
        .args(["build", "bench"])
        .args(args);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

fn meta(entry: &Path) -> Value {
    let text = std::fs::read(entry.join("meta.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The newest entry of a stage.
fn entry(dir: &Path, stage: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir.join("state/store"))
        .unwrap()
        .flatten();
    let of_stage = entries
        .map(|e| e.path())
        .filter(|e| meta(e)["stage"] == stage);
    of_stage
        .max_by_key(|e| meta(e)["created"].as_u64())
        .unwrap()
}

/// How long a throw-away overlay takes from power on to the login prompt, with the gate's machine.
fn boot(dir: &Path, disk: &Path) -> Duration {
    let (overlay, console) = (dir.join("boot.qcow2"), dir.join("console.log"));
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([disk, &overlay])
        .status();
    assert!(made.unwrap().success());
    let accel = common::accel().qemu_arguments(Arch::default());
    // What an earlier run left in a kept directory is no prompt of this boot.
    std::fs::write(&console, "").unwrap();
    let drive = format!("file={},format=qcow2,if=virtio", overlay.display());
    let began = Instant::now();
    let mut qemu = Command::new("qemu-system-x86_64")
        .args([
            "-machine",
            "q35,hpet=off",
            "-m",
            "1024",
            "-smp",
            "2",
            "-display",
            "none",
        ])
        .args(accel)
        .args(["-nic", "user,model=virtio", "-drive", &drive, "-serial"])
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let limit = Duration::from_secs(900);
    let seen = || {
        String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).contains(" login:")
    };
    while !seen() && began.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = began.elapsed();
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    assert!(took < limit, "no login prompt");
    took
}
