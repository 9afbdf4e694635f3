//! The runner's journal, read from its disk after the guest has ended. It alone decides.
//!
//! A record is one sector of 512 bytes: `imgforge NONCE SEQUENCE EVENT`, padded with spaces, a
//! newline last. Records are written in order from the first sector on; the rest is zeros.

use std::collections::BTreeMap;
use std::path::Path;

use super::protocol::{Event, parse};
use crate::error::{Context as _, Error, Result};

const SECTOR: usize = 512;

/// A record cannot be true.
const LIES: &str = "the guest's journal contradicts itself";

/// What the runner wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    /// How often the guest has booted into the runner.
    pub boots: u32,
    /// Exit code of each ended step, by number; `None` for one that did not apply.
    pub steps: BTreeMap<u32, Option<i32>>,
    /// When each step that ran began and had ended by the guest's clock, where it was noted:
    /// nanoseconds since 1970.
    pub times: BTreeMap<u32, (i64, i64)>,
    /// The step that began and has not ended.
    pub open: Option<u32>,
    /// Whether the open step asked for a restart.
    pub restarting: bool,
    /// Why the runner gave up.
    pub failure: Option<String>,
    /// What the gate asked for; names can occur several times.
    pub facts: Vec<(String, String)>,
    /// The final report: the job's exit code.
    pub done: Option<i32>,
}

impl Journal {
    /// Reads the journal from the disk image `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or the records cannot be what the runner wrote.
    pub fn read(path: &Path, nonce: &str, steps: u32) -> Result<Journal> {
        let bytes =
            std::fs::read(path).doing(|| format!("reading the journal {}", path.display()))?;
        Self::parse(&bytes, nonce, steps)
    }

    /// Parses the disk's bytes, for the job with this nonce and number of steps.
    ///
    /// # Errors
    /// When a record has another nonce, is out of order, or contradicts an earlier one.
    pub fn parse(bytes: &[u8], nonce: &str, steps: u32) -> Result<Journal> {
        let mut journal = Journal::default();
        // When the next step, or the open one, began.
        let mut began = None;
        let mut sectors = bytes.chunks(SECTOR);
        for (sequence, sector) in sectors.by_ref().enumerate() {
            if sector.iter().all(|b| *b == 0) {
                break;
            }
            let event = record(sector, nonce, sequence).ok_or_else(|| {
                Error::stage(LIES).cause(format!("record {sequence} is not one of this job"))
            })?;
            let shown = format!("{event:?}");
            journal.take(event, steps, &mut began).ok_or_else(|| {
                Error::stage(LIES).cause(format!("record {sequence} cannot follow: {shown}"))
            })?;
        }
        if sectors.any(|sector| sector.iter().any(|b| *b != 0)) {
            return Err(Error::stage(LIES).cause("there is something after its end"));
        }
        Ok(journal)
    }

    /// The number of the step that failed, with its exit code.
    pub fn failed_step(&self) -> Option<(u32, i32)> {
        let failed = |(n, code): (&u32, &Option<i32>)| code.filter(|c| *c != 0).map(|c| (*n, c));
        self.steps.iter().find_map(failed)
    }

    /// Whether every one of `steps` steps ended well, or did not apply, and the report says so.
    pub fn complete(&self, steps: u32) -> bool {
        self.done == Some(0)
            && self.failed_step().is_none()
            && self.steps.len() as u64 == u64::from(steps)
    }

    /// The values of a fact.
    pub fn facts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.facts
            .iter()
            .filter(move |(fact, _)| fact == name)
            .map(|(_, value)| value.as_str())
    }

    fn take(&mut self, event: Event, steps: u32, began: &mut Option<i64>) -> Option<()> {
        let possible = self.done.is_none() && (self.boots > 0 || matches!(event, Event::Boot(_)));
        let next = self.steps.len() as u32 + 1;
        match event {
            _ if !possible => return None,
            Event::Boot(n) if n == self.boots + 1 => self.boots = n,
            Event::Begin(n) if self.open.is_none() && n == next && n <= steps => {
                self.open = Some(n)
            }
            Event::Skip(n) if self.open.is_none() && n == next && n <= steps => {
                self.steps.insert(n, None);
            }
            Event::Time(at, exact) => match (self.open, *began) {
                (Some(n), Some(began)) => {
                    // A clock of whole seconds is up to one behind.
                    let ended = if exact { at } else { at + 999_999_999 };
                    self.times.insert(n, (began, ended));
                }
                (Some(_), None) => {}
                (None, _) => *began = Some(at),
            },
            Event::Try(n, ..) if self.open == Some(n) => {}
            Event::Reboot(n) if self.open == Some(n) => self.restarting = true,
            Event::End(n, code) if self.open == Some(n) => {
                self.open = None;
                *began = None;
                self.restarting = false;
                self.steps.insert(n, Some(code));
            }
            Event::Fail(reason) if self.failure.is_none() => self.failure = Some(reason),
            Event::Fact(name, value) => self.facts.push((name, value)),
            Event::Done(code) => self.done = Some(code),
            _ => return None,
        }
        Some(())
    }
}

fn record(sector: &[u8], nonce: &str, sequence: usize) -> Option<Event> {
    let text = std::str::from_utf8(sector).ok()?.strip_suffix('\n')?;
    let rest = text.trim_end_matches(' ').strip_prefix("imgforge ")?;
    let (key, rest) = rest.split_once(' ')?;
    let (number, event) = rest.split_once(' ')?;
    (sector.len() == SECTOR && key == nonce && number == sequence.to_string())
        .then(|| parse(event))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(records: &[&str]) -> Vec<u8> {
        let mut bytes = vec![];
        for (n, record) in records.iter().enumerate() {
            bytes.extend(format!("{:<511}\n", format!("imgforge key {n} {record}")).bytes());
        }
        bytes.resize(64 * SECTOR, 0);
        bytes
    }

    #[test]
    fn a_good_journal_is_complete() {
        let bytes = disk(&[
            "boot 1",
            "step 1 begin",
            "step 1 try 2 100",
            "step 1 end 0",
            "step 2 skip",
            "step 3 begin",
            "step 3 reboot",
            "boot 2",
            "step 3 end 0",
            "fact state running",
            "done 0",
        ]);
        let journal = Journal::parse(&bytes, "key", 3).unwrap();
        assert!(journal.complete(3));
        assert_eq!(
            (journal.boots, journal.open, journal.failed_step()),
            (2, None, None)
        );
        assert_eq!(journal.facts("state").collect::<Vec<_>>(), ["running"]);
        assert!(!journal.complete(4), "a step is missing");
    }

    #[test]
    fn steps_have_the_times_that_were_noted() {
        let bytes = disk(&[
            "boot 1",
            "time 10.000000001",
            "step 1 begin",
            "time 12.000000000",
            "step 1 end 0",
            "step 2 begin",
            "time 13.000000000",
            "step 2 end 0",
            "step 3 skip",
            "time 20",
            "step 4 begin",
            "step 4 reboot",
            "boot 2",
            "time 30",
            "step 4 end 0",
            "done 0",
        ]);
        let journal = Journal::parse(&bytes, "key", 4).unwrap();
        let times: Vec<_> = journal.times.into_iter().collect();
        assert_eq!(
            times,
            [
                (1, (10_000_000_001, 12_000_000_000)),
                (4, (20_000_000_000, 30_999_999_999))
            ]
        );
    }

    #[test]
    fn an_unfinished_journal_names_the_open_step() {
        let journal = Journal::parse(&disk(&["boot 1", "step 1 begin"]), "key", 2).unwrap();
        assert_eq!(
            (journal.open, journal.restarting, journal.done),
            (Some(1), false, None)
        );
        assert!(!journal.complete(2));
        assert_eq!(
            Journal::parse(&disk(&[]), "key", 2).unwrap(),
            Journal::default()
        );
    }

    #[test]
    fn a_journal_that_lies_is_refused() {
        for records in [
            &["step 1 begin"][..],
            &["boot 2"],
            &["boot 1", "step 2 begin"],
            &["boot 1", "step 1 end 0"],
            &["boot 1", "step 1 begin", "step 1 begin"],
            &["boot 1", "step 1 begin", "step 1 end 0", "step 1 begin"],
            &["boot 1", "step 1 skip", "step 2 skip", "step 3 skip"],
            &["boot 1", "done 0", "done 0"],
            &["boot 1", "hello key"],
            &["boot 1", "step 1 begin", "step 1 end 999"],
        ] {
            let error = Journal::parse(&disk(records), "key", 2).unwrap_err();
            assert_eq!(error.message(), LIES, "{records:?}");
        }
        let good = disk(&["boot 1", "done 0"]);
        assert!(Journal::parse(&good, "another", 0).is_err());
        let mut later = good.clone();
        later[10 * SECTOR] = b'x';
        assert!(Journal::parse(&later, "key", 0).is_err());
        let mut swapped = good.clone();
        swapped.rotate_left(SECTOR);
        assert!(Journal::parse(&swapped, "key", 0).is_err());
        assert!(Journal::parse(&vec![0xff; 4096], "key", 0).is_err());
        assert!(Journal::parse(&good[..700], "key", 0).is_err());
    }
}
