//! Pack and unpack against xz, on disks that this program builds first.
//!
//! `IMGFORGE_BENCH_DIR=DIR` keeps the disks for the next run.

#![allow(
    clippy::disallowed_methods,
    reason = "the peers are run as their users run them"
)]

mod common;
#[path = "common/disks.rs"]
mod disks;

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Report, Row, Times, Workspace, imgforge, measure, run, shell};
use disks::disks;

/// What the published pipeline runs, and the same with all cores.
const XZ: &str = "xz --best --block-size=16777216";
const XZ_PARALLEL: &str = "xz -T0 --best --block-size=16777216";

fn main() {
    let workspace = Workspace::new("pack");
    let dir = workspace.path();
    let [base, changed] = disks(dir);
    let mut report = Report::new("pack");
    report.fact("xz", first_line("xz --version"));
    let used = base.metadata().unwrap().blocks() * 512;
    report.fact("disk", format!("10 GiB, {} MiB of data", used >> 20));
    report.fact(
        "blocks that two packages changed",
        survival(&base, &changed),
    );
    let bench = Bench {
        dir,
        base: &base,
        changed: &changed,
    };
    bench.packs(&mut report);
    bench.unpacks(&mut report);
    bench.growth(&mut report);
    report.finish();
}

struct Bench<'a> {
    dir: &'a Path,
    base: &'a Path,
    changed: &'a Path,
}

impl Bench<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn size(&self, name: &str) -> u64 {
        self.at(name).metadata().unwrap().len()
    }

    /// xz of a disk, to a file.
    fn xz(&self, command: &str, disk: &Path, name: &str) -> Times {
        let line = format!(
            "exec {command} -c {} > {}",
            disk.display(),
            self.at(name).display()
        );
        measure(|| read(disk), || run(&mut shell(&line)))
    }

    /// Our pack of a disk, with the block cache as an earlier pack left it: `from`, or empty.
    fn pack(&self, profile: &str, disk: &Path, from: Option<&str>, name: &str) -> Times {
        let state = self.at(&format!("{name}.state"));
        let prepare = || {
            read(disk);
            drop(std::fs::remove_dir_all(&state));
            if let Some(from) = from {
                let from = self.at(&format!("{from}.state"));
                run(&mut shell(&format!(
                    "cp -a {} {}",
                    from.display(),
                    state.display()
                )));
            }
        };
        measure(prepare, || {
            run(imgforge()
                .arg("--state")
                .arg(&state)
                .args(["disk", "pack", "--profile", profile])
                .arg(disk)
                .arg("-o")
                .arg(self.at(name)))
        })
    }

    fn packs(&self, report: &mut Report) {
        let single = self.xz(XZ, self.base, "single.xz");
        let parallel = self.xz(XZ_PARALLEL, self.base, "parallel.xz");
        let ours = self.pack("publish", self.base, None, "publish.xz");
        report.fact("peak memory, publish", mib(ours.peak));
        report.fact("peak memory, xz -T0", mib(parallel.peak));
        let row = |work: &str, ours: &Times, against: &str, theirs: &Times, goal| Row {
            work: work.into(),
            ours: ours.clone(),
            against: format!("`{against}`"),
            theirs: theirs.clone(),
            goal,
            more: vec![],
        };
        let first = "first pack, `publish`";
        for (command, theirs, goal, name) in [
            (XZ, &single, 3.0, "single.xz"),
            (XZ_PARALLEL, &parallel, 1.5, "parallel.xz"),
        ] {
            report.row(Row {
                more: vec![self.larger("publish.xz", name, 0.5)],
                ..row(first, &ours, command, theirs, goal)
            });
        }
        let theirs = self.xz(XZ_PARALLEL, self.changed, "changed-parallel.xz");
        let after = self.pack("publish", self.changed, Some("publish.xz"), "changed.xz");
        let work = "two packages installed, `publish`";
        report.row(row(work, &after, XZ_PARALLEL, &theirs, 2.5));

        let nightly = self.pack("nightly", self.base, None, "nightly.xz");
        report.row(Row {
            more: vec![self.larger("nightly.xz", "publish.xz", 8.0)],
            ..row(
                "first pack, `nightly`",
                &nightly,
                XZ_PARALLEL,
                &parallel,
                1.0,
            )
        });
        report.fact("peak memory, nightly", mib(nightly.peak));
        let after = self.pack(
            "nightly",
            self.changed,
            Some("nightly.xz"),
            "changed-nightly.xz",
        );
        report.row(Row {
            more: vec![self.larger("changed-nightly.xz", "changed.xz", 8.0)],
            ..row(
                "two packages installed, `nightly`",
                &after,
                XZ_PARALLEL,
                &theirs,
                10.0,
            )
        });
        for profile in ["publish", "nightly"] {
            let from = format!("{profile}.xz");
            let again = self.pack(profile, self.base, Some(&from), "again.xz");
            let same = std::fs::read(self.at("again.xz")).unwrap()
                == std::fs::read(self.at(&from)).unwrap();
            report.row(Row {
                more: vec![("the same bytes".into(), same)],
                ..row(
                    &format!("unchanged disk, `{profile}`"),
                    &again,
                    XZ_PARALLEL,
                    &parallel,
                    50.0,
                )
            });
        }
    }

    /// By how many hundredths a file of ours is larger than another, and whether that is allowed.
    fn larger(&self, ours: &str, theirs: &str, allowed: f64) -> (String, bool) {
        let larger = (self.size(ours) as f64 / self.size(theirs) as f64 - 1.0) * 100.0;
        let text = format!(
            "{} against {} bytes: {larger:+.2} % (at most {allowed})",
            self.size(ours),
            self.size(theirs)
        );
        (text, larger <= allowed)
    }

    fn unpacks(&self, report: &mut Report) {
        let (ours, theirs) = (self.at("ours.raw"), self.at("publish"));
        let packed = self.at("publish.xz");
        let clean = |path: &Path| {
            read(&packed);
            drop(std::fs::remove_file(path));
        };
        let peer = measure(
            || clean(&theirs),
            || run(Command::new("xz").args(["-T0", "-d", "-k"]).arg(&packed)),
        );
        for (options, goal) in [(vec![], 1.0), (vec!["--sha512"], 0.0)] {
            let took = measure(
                || clean(&ours),
                || {
                    run(imgforge()
                        .args(["disk", "unpack"])
                        .args(&options)
                        .arg(&packed)
                        .arg("-o")
                        .arg(&ours))
                },
            );
            run(Command::new("cmp").arg(&ours).arg(self.base));
            let (kept, had) = (allocated(&ours), allocated(self.base));
            let text = format!("{} MiB allocated, the disk {}", kept >> 20, had >> 20);
            report.row(Row {
                work: format!("unpack {}", options.join(" ")),
                ours: took,
                against: "`xz -T0 -d`".into(),
                theirs: peer.clone(),
                goal,
                more: vec![(text, kept <= had + (1 << 20))],
            });
        }
    }

    /// The same data on a disk of 100 GiB.
    fn growth(&self, report: &mut Report) {
        let large = self.at("large.raw");
        run(&mut shell(&format!(
            "cp --sparse=always {} {1} && truncate -s 100G {1}",
            self.base.display(),
            large.display()
        )));
        let small = self.pack("fast", self.base, None, "fast.xz");
        let grown = self.pack("fast", &large, None, "fast-large.xz");
        report.row(Row {
            work: "100 GiB instead of 10, `fast`".into(),
            ours: grown,
            against: "10 GiB".into(),
            theirs: small,
            goal: 0.9,
            more: vec![],
        });
        std::fs::remove_file(large).unwrap();
    }
}

/// Brings a file into the page cache.
fn read(path: &Path) {
    run(&mut shell(&format!(
        "test ! -e {0} || cp --sparse=always {0} /dev/null",
        path.display()
    )));
}

fn allocated(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn first_line(line: &str) -> String {
    let output = shell(line).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Of blocks of several sizes with data, how many differ between two disks.
fn survival(before: &Path, after: &Path) -> String {
    let (before, after) = (File::open(before).unwrap(), File::open(after).unwrap());
    let size = after.metadata().unwrap().len();
    let mut texts = vec![];
    for mib in [16, 4, 3, 2, 1] {
        let block = mib << 20;
        let (mut used, mut changed) = (0u64, 0u64);
        let (mut old, mut new) = (vec![0; block], vec![0; block]);
        let mut at = 0;
        while let Ok(data) = rustix::fs::seek(&after, rustix::fs::SeekFrom::Data(at)) {
            let start = data / block as u64 * block as u64;
            let len = (size - start).min(block as u64) as usize;
            after.read_exact_at(&mut new[..len], start).unwrap();
            before.read_exact_at(&mut old[..len], start).unwrap();
            if new[..len].iter().any(|byte| *byte != 0) {
                used += 1;
                changed += u64::from(new[..len] != old[..len]);
            }
            at = start + block as u64;
        }
        texts.push(format!(
            "{} % of {used} of {mib} MiB",
            (changed * 1000 / used.max(1)) as f64 / 10.0
        ));
    }
    texts.join(", ")
}
