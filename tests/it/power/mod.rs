//! Power loss: the system calls of real runs, replayed on a model of a disk, and whatever the disk
//! may hold after each of them opens, verifies, and goes on.

mod disk;
mod model;
mod repository;
mod store;
mod trace;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use disk::{Disk, Tree};

/// What the disk may hold in the course of a run.
struct Run {
    /// Before each sync.
    during: BTreeSet<Tree>,
    /// When the program has ended, and said so.
    after: BTreeSet<Tree>,
}

impl Run {
    fn all(&self) -> impl Iterator<Item = &Tree> {
        self.during.union(&self.after)
    }

    /// Enough of them for what takes long, at even distances.
    fn some(&self) -> impl Iterator<Item = &Tree> {
        let count = self.during.union(&self.after).count();
        self.all().step_by(count.div_ceil(SOME).max(1))
    }
}

/// How many states are tried by running whole programs.
const SOME: usize = 10;

/// Runs imgforge; what a loss of power may leave of the directory `root`.
fn states(root: &Path, imgforge: &Command, scratch: &Path) -> Run {
    let mut replay = trace::Replay::new(Disk::of(&disk::read(root)), root);
    let calls = trace::run(imgforge, scratch);
    let mut during = BTreeSet::new();
    for call in &calls {
        if call.is_barrier() {
            during.extend(replay.disk.states());
        }
        replay.call(call);
    }
    let missed = disk::differences(&replay.disk.now(), &disk::read(root));
    assert_eq!(missed, [""; 0], "the replay is not what happened");
    let after = replay.disk.states();
    Run { during, after }
}
