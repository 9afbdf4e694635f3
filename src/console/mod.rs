//! The console of a guest, as everybody watches it: its lines, what of them is shown and kept, and
//! whether the guest lives.
//!
//! All of it is hostile: sizes are limited, and nothing is believed for its own sake.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Context as _, Result};
use crate::ui::StageUi;

pub(crate) mod dead_end;
mod guest;
pub mod lines;
pub mod mask;
mod signs;
pub(crate) mod unlock;
mod watcher;

pub use guest::Guest;
use lines::{Lines, Tail};
use mask::Mask;
pub(crate) use signs::Signs;
pub(crate) use watcher::Watcher;

/// How much of a guest's words is shown, and of its console logged, in bytes.
pub(crate) const SHOWN: u64 = 64 << 20;

/// How often a guest's activity is looked at.
pub(crate) const SAMPLE: Duration = Duration::from_secs(10);

/// A guest that is lost says so and where; then it is ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The console of one guest, which ends with an `End`.
#[derive(Debug)]
pub(crate) struct Console<'a, End> {
    ui: &'a StageUi,
    /// Stands before what is shown.
    prefix: String,
    /// Who writes, in the words of a message.
    who: &'static str,
    /// Hides the secrets.
    pub(crate) mask: Mask,
    /// When the guest was last seen alive.
    pub(crate) signs: Signs,
    lines: Lines,
    tail: Tail,
    log: Option<File>,
    logged: u64,
    shown: u64,
    /// What the guest does not come back from, and since when that is known.
    failure: Option<(End, Instant)>,
}

impl<'a, End> Console<'a, End> {
    /// The console of a guest that is called `who`, with `prefix` before its lines and steps.
    pub(crate) fn new(
        ui: &'a StageUi,
        prefix: impl Into<String>,
        who: &'static str,
        mask: Mask,
    ) -> Self {
        Console {
            ui,
            prefix: prefix.into(),
            who,
            mask,
            signs: Signs::since(Instant::now()),
            lines: Lines::default(),
            tail: Tail::default(),
            log: None,
            logged: 0,
            shown: 0,
            failure: None,
        }
    }

    /// Notes what the guest does not come back from; what came first counts.
    pub(crate) fn mark_failed(&mut self, end: End) {
        self.failure.get_or_insert((end, self.signs.now));
    }

    /// What the guest does not come back from.
    pub(crate) fn failure(&self) -> Option<&End> {
        self.failure.as_ref().map(|(end, _)| end)
    }

    /// The same, once the guest had time for its last words.
    pub(crate) fn final_failure(&self) -> Option<&End> {
        let (end, since) = self.failure.as_ref()?;
        (self.signs.ago(*since) > LAST_WORDS).then_some(end)
    }

    /// Writes the lines that are kept, masked, to a new file.
    pub(crate) fn log_to(&mut self, path: &Path) -> Result<()> {
        let file = File::create(path).doing(|| format!("writing the log {}", path.display()))?;
        self.log = Some(file);
        Ok(())
    }

    /// The lines that this ends, and the one that has no end yet. It is a sign of life if it is new and no
    /// report of a kernel that gets no further.
    pub(crate) fn hear(&mut self, data: &[u8], is_new: bool) -> (Vec<String>, String) {
        let lines = self.lines.push(data, &self.mask);
        let pending = self.lines.pending(&self.mask);
        if self.signs.are_in(&lines, &pending) && is_new {
            self.signs.alive();
        }
        (lines, pending)
    }

    /// The last line, which had no end.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.lines.finish(&self.mask)
    }

    /// Keeps a line for an error, and in the log.
    pub(crate) fn keep(&mut self, line: &str) {
        self.tail.push(line);
        let logged = self.logged + line.len() as u64 + 1;
        if let Some(log) = self.log.as_mut().filter(|_| logged <= SHOWN) {
            // A full disk ends the stage where its result is written.
            drop(writeln!(log, "{line}"));
            self.logged = logged;
        }
    }

    /// Shows a line, while there is room.
    pub(crate) fn show(&mut self, line: &str) {
        if self.has_room(line) {
            self.ui.line(format!("{}{line}", self.prefix));
        }
    }

    /// Shows what the guest is at.
    pub(crate) fn step(&self, title: &str) {
        self.ui.step(format!("{}{title}", self.prefix));
    }

    /// Whether there is room for another line of the guest's; says once that there is none.
    pub(crate) fn has_room(&mut self, line: &str) -> bool {
        let before = self.shown;
        self.shown += line.len() as u64 + 1;
        if before <= SHOWN && self.shown > SHOWN {
            self.ui.line(format!(
                "{}({} writes too much; the rest is not shown)",
                self.prefix, self.who
            ));
        }
        self.shown <= SHOWN
    }

    /// The last lines that were kept.
    pub(crate) fn tail(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.tail.lines()
    }
}
