//! Side by side, in one run on one machine: what matters is the ratio, not the seconds.
//!
//! `make bench` prints it; `IMGFORGE_BENCH_DISK=disk.raw make bench` measures a disk of your own.

#![allow(
    clippy::disallowed_methods,
    reason = "the peers are run as their users run them"
)]
#![allow(clippy::print_stdout, reason = "the figures are the result")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgforge::pack::{Options, compress};
use imgforge::recipe::types::Profile;
use imgforge::ui::Ui;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let disk = std::env::var_os("IMGFORGE_BENCH_DISK").map(PathBuf::from);
    let disk = disk.unwrap_or_else(|| made_up_disk(dir.path()));
    pack(&disk, dir.path());
    no_op_build(dir.path());
}

/// 10 GiB with what /usr/bin and /usr/lib hold, up to 256 MiB, spread as on an installed disk.
fn made_up_disk(dir: &Path) -> PathBuf {
    let path = dir.join("disk.raw");
    let disk = File::create(&path).unwrap();
    disk.set_len(10 << 30).unwrap();
    let (mut at, mut used) = (64u64 << 20, 0u64);
    for folder in ["/usr/bin", "/usr/lib/x86_64-linux-gnu"] {
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(bytes) = std::fs::read(file.path()) else {
                continue;
            };
            if used > 256 << 20 {
                return path;
            }
            disk.write_all_at(&bytes, at).unwrap();
            used += bytes.len() as u64;
            at += (bytes.len() as u64).next_multiple_of(4096);
        }
    }
    path
}

fn pack(disk: &Path, dir: &Path) {
    let ui = Ui::silent().stage("bench", "pack");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("pack of {} on {threads} cores", disk.display());
    let peer = dir.join("peer.xz");
    let line = format!(
        "xz -T0 --best --block-size=16777216 -c {} > {}",
        disk.display(),
        peer.display()
    );
    let (reference, size) = (timed(|| sh(&line)), peer.metadata().unwrap().len());
    row(
        "xz -T0 --best --block-size=16777216",
        reference,
        reference,
        size,
        size,
    );
    for profile in [Profile::Publish, Profile::Nightly, Profile::Fast] {
        let out = dir.join("ours.xz");
        let options = Options {
            profile,
            ..Options::default()
        };
        let took = timed(|| drop(compress(disk, &out, &options, &ui).unwrap()));
        let ours = out.metadata().unwrap().len();
        row(
            &format!("imgforge, profile {profile:?}"),
            took,
            reference,
            ours,
            size,
        );
        sh(&format!("xz -t {}", out.display()));
        std::fs::remove_file(out).unwrap();
    }
}

/// What `build` costs when there is nothing to do; the peer is starting a process at all.
fn no_op_build(dir: &Path) {
    let disk = [&[0u8; 510][..], &[0x55, 0xaa], &[0; 1 << 20]].concat();
    std::fs::create_dir_all(dir.join("recipes")).unwrap();
    std::fs::write(dir.join("boot.raw"), disk).unwrap();
    std::fs::write(dir.join("imgforge.yaml"), "state: state\n").unwrap();
    let recipe = "name: small\ninstall: {import: {image: boot.raw}}\nmachine: {disk: 1GiB}\n";
    std::fs::write(dir.join("recipes/small.yaml"), recipe).unwrap();
    let build = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgforge"));
        command
            .arg("-C")
            .arg(dir)
            .args(["build", "small", "--until", "install", "-q"]);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
    };
    build();
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let ours = median((0..21).map(|_| timed(build)).collect());
    let start = median((0..21).map(|_| timed(|| sh("true"))).collect());
    println!("no-op build: {ours:.1?}, median of 21 (`sh -c true`: {start:.1?})");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn sh(line: &str) {
    let status = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{line}");
}

fn row(name: &str, took: Duration, reference: Duration, size: u64, reference_size: u64) {
    let speed = reference.as_secs_f64() / took.as_secs_f64();
    let larger = (size as f64 / reference_size as f64 - 1.0) * 100.0;
    println!("  {name:<38} {took:>8.1?}  {speed:.2} x as fast  {size} bytes ({larger:+.2} %)");
}
