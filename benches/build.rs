//! What `imgforge build` costs when there is nothing to do.

#![allow(
    clippy::disallowed_methods,
    reason = "the peers are run as their users run them"
)]

mod common;

use std::path::Path;
use std::time::Instant;

use common::{Report, Row, Times, Workspace, imgforge, run, shell};

fn main() {
    let workspace = Workspace::new("build");
    let mut report = Report::new("build");
    no_op_build(workspace.path(), &mut report);
    report.finish();
}

/// The peer is starting a process at all.
fn no_op_build(dir: &Path, report: &mut Report) {
    let disk = [&[0u8; 510][..], &[0x55, 0xaa], &[0; 1 << 20]].concat();
    std::fs::create_dir_all(dir.join("recipes")).unwrap();
    std::fs::write(dir.join("boot.raw"), disk).unwrap();
    std::fs::write(dir.join("imgforge.yaml"), "state: state\n").unwrap();
    let recipe = "name: small\ninstall: {import: {image: boot.raw}}\nmachine: {disk: 1GiB}\n";
    std::fs::write(dir.join("recipes/small.yaml"), recipe).unwrap();
    let build = || {
        run(imgforge()
            .arg("-C")
            .arg(dir)
            .args(["build", "small", "--until", "install"]))
    };
    build();
    let often = |work: &dyn Fn() -> u64| Times {
        all: (0..21)
            .map(|_| {
                let began = Instant::now();
                work();
                began.elapsed()
            })
            .collect(),
        peak: 0,
    };
    report.row(Row {
        work: "build with nothing to do".into(),
        ours: often(&build),
        against: "`sh -c true`".into(),
        theirs: often(&|| run(&mut shell("true"))),
        goal: 0.0,
        more: vec![],
    });
}
