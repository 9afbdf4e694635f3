//! How long imgforge's appliance takes until it answers, beside libguestfs' own: by emulation, with the
//! same disk, the same memory and the same end.
//!
//! `IMGFORGE_BENCH_RUNS=5` sets how often each is measured (3).

#![allow(
    clippy::disallowed_methods,
    reason = "guestfish is run as its users run it"
)]

mod common;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgforge::guest::{Drive, Guestfs, Launch};
use imgforge::host::accel::Accel;

use common::{Report, Row, Times, Workspace};

/// How many times as fast it is, at least.
const GOAL: f64 = 2.0;

fn main() {
    let place = Workspace::new("appliance");
    let disk = place.path().join("disk.raw");
    File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let runs = std::env::var("IMGFORGE_BENCH_RUNS").map_or(3, |runs| runs.parse().unwrap());
    let mut report = Report::new("appliance");
    let (mut ours, mut theirs) = (vec![], vec![]);
    // Each is made by its first start.
    own(&disk);
    stock(&disk);
    for _ in 0..runs {
        ours.push(own(&disk));
        theirs.push(stock(&disk));
    }
    let times = |all| Times { all, peak: 0 };
    report.row(Row {
        work: "start the appliance and end it".into(),
        ours: times(ours),
        against: "guestfish run".into(),
        theirs: times(theirs),
        goal: GOAL,
        more: vec![],
    });
    report.finish();
}

fn own(disk: &Path) -> Duration {
    let began = Instant::now();
    let drives = &[Drive {
        path: disk,
        format: "raw",
        readonly: false,
    }];
    let launch = Launch {
        drives,
        accel: Accel::Tcg,
        ui: None,
    };
    Guestfs::launch(&launch).unwrap().close().unwrap();
    began.elapsed()
}

fn stock(disk: &Path) -> Duration {
    let began = Instant::now();
    let status = Command::new("guestfish")
        .env("LIBGUESTFS_BACKEND", "direct")
        .env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
        .env("LIBGUESTFS_MEMSIZE", "1024")
        .args(["--format=raw", "-a"])
        .arg(disk)
        .args(["smp", "2", ":", "run"])
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    began.elapsed()
}
