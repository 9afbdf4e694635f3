//! How far a pass over a disk is, told a few times a second.

use std::time::{Duration, Instant};

use crate::ui::{StageUi, Unit};

/// Between two tellings.
const EVERY: Duration = Duration::from_millis(100);

/// Tells a stage's progress in bytes of its disk.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    ui: &'a StageUi,
    total: u64,
    shown: Option<Instant>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(ui: &'a StageUi, total: u64) -> Self {
        Progress {
            ui,
            total,
            shown: None,
        }
    }

    /// `done` bytes of the total are done.
    pub(super) fn show(&mut self, done: u64) {
        if done < self.total && self.shown.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        self.ui.progress(done, self.total, Unit::Bytes);
    }
}
