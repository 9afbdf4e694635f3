//! What one stage fetches while it works.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Fetched, Locked, Mirrors, Record};
use crate::error::{Error, Result};
use crate::mutex::Unpoisoned as _;

/// The record of a stage that works, and the lock that it is bound to, if it is.
#[derive(Debug, Default)]
pub struct Fetching {
    locked: Option<Arc<Locked>>,
    record: Mutex<Record>,
}

impl Fetching {
    /// Of a stage that fetches only what is `locked`, or, without a lock, whatever it asks for.
    pub fn new(locked: Option<Arc<Locked>>) -> Self {
        Fetching {
            locked,
            record: Mutex::default(),
        }
    }

    /// The lock that binds the stage.
    pub fn locked(&self) -> Option<&Arc<Locked>> {
        self.locked.as_ref()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unpoisoned()
    }

    /// Adds what was fetched.
    pub fn add(&self, record: Record) {
        self.record().merge(record);
    }

    /// Adds one file.
    pub fn file(&self, file: Fetched) {
        self.add(Record {
            fetched: vec![file],
            ..Record::default()
        });
    }

    /// Adds an install medium, or a disk image.
    pub fn medium(&self, file: Fetched) {
        self.add(Record {
            media: vec![file],
            ..Record::default()
        });
    }

    /// Adds what a program fetched by a protocol of its own, packed, by the name that it has instead of an
    /// address.
    pub fn archive(&self, file: Fetched) {
        self.add(Record {
            archives: vec![file],
            ..Record::default()
        });
    }

    /// Adds what was made beside the disk and has a record of its own.
    pub fn beside(&self, name: &str, record: Record) {
        self.add(Record {
            beside: BTreeMap::from([(name.to_owned(), record)]),
            ..Record::default()
        });
    }

    /// The archive of packages that the lock names, else what `choose` finds; it is written down.
    ///
    /// # Errors
    /// As `choose`.
    pub fn mirrors<E>(
        &self,
        choose: impl FnOnce() -> Result<Option<Mirrors>, E>,
    ) -> Result<Option<Mirrors>, E> {
        let chosen = match &self.locked {
            Some(locked) => locked.mirrors().cloned(),
            None => choose()?,
        };
        self.record().mirrors.clone_from(&chosen);
        Ok(chosen)
    }

    /// The result of the stage, unless it asked for something that the lock does not have: whatever came of
    /// that.
    ///
    /// # Errors
    /// That of the stage, or what it asked for.
    pub fn judge<T>(&self, made: Result<T>) -> Result<T> {
        let Some(locked) = &self.locked else {
            return made;
        };
        let refused = locked.refused();
        match (refused.as_slice(), made) {
            ([], made) => made,
            (refused, made) => {
                let file = locked.file();
                let error =
                    Error::stage(format!("the stage asked for what it cannot have by {file}"))
                        .evidence(refused.iter().cloned())
                        .hint(locked.again());
                Err(match made {
                    Err(cause) => error.cause(cause.message()),
                    Ok(_) => error,
                })
            }
        }
    }

    /// Writes the record into the directory that becomes the stage's entry; nothing where the stage does not
    /// fetch, and has not.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, entry: &Path, fetches: bool) -> Result<()> {
        let record = self.record();
        match fetches || *record != Record::default() {
            true => record.write(entry),
            false => Ok(()),
        }
    }
}
