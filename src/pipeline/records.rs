//! What builds did on this host, for `status` and its metrics: `STATE/records/NAME.json`.
//!
//! A record that cannot be written is no error: a read-only store stays usable.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::host::durable;
use crate::store::{Store, private_dir, to_json, write_atomic};
use crate::time::now;

/// What happened to one image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Record {
    /// By stage.
    pub stages: BTreeMap<String, Stage>,
    /// Builds that came to their end.
    pub built: u64,
    /// Builds that failed.
    pub failed: u64,
    /// When the last build came to its end, seconds since 1970; 0: never.
    pub last_built: u64,
    /// When a build failed last, seconds since 1970; 0: never.
    pub last_failed: u64,
    /// The stage and the sentence of the last failure.
    pub last_failure: Option<String>,
}

/// What happened to one stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Stage {
    /// How often it ran to its end.
    pub runs: u64,
    /// How often its result was in the store.
    pub hits: u64,
    /// How often it failed.
    pub failures: u64,
    /// Seconds that the last run took.
    pub seconds: f64,
    /// Seconds of all runs together.
    pub seconds_total: f64,
}

impl Record {
    /// Reads that of an image; nothing happened to one without.
    ///
    /// # Errors
    /// When it cannot be read; of the kind `InvalidData`, when it is damaged.
    pub fn read(store: &Store, image: &str) -> io::Result<Self> {
        match std::fs::read(path(store, image)) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|cause| io::Error::new(ErrorKind::InvalidData, cause)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Record::default()),
            Err(cause) => Err(cause),
        }
    }
}

/// A stage ran to its end.
pub(super) fn ran(store: &Store, image: &str, stage: &str, took: Duration) {
    note(store, image, |record| {
        let stage = record.stages.entry(stage.to_owned()).or_default();
        stage.runs += 1;
        stage.seconds = took.as_secs_f64();
        stage.seconds_total += took.as_secs_f64();
    });
}

/// What the last run of a stage took; none where none is known.
pub(super) fn last(store: &Store, image: &str, stage: &str) -> Option<Duration> {
    let record = Record::read(store, image).ok()?;
    let stage = record.stages.get(stage).filter(|stage| stage.runs > 0)?;
    Duration::try_from_secs_f64(stage.seconds).ok()
}

/// A stage's result was in the store.
pub(super) fn hit(store: &Store, image: &str, stage: &str) {
    note(store, image, |record| {
        record.stages.entry(stage.to_owned()).or_default().hits += 1;
    });
}

pub(super) fn failed(store: &Store, image: &str, stage: &str) {
    note(store, image, |record| {
        record.stages.entry(stage.to_owned()).or_default().failures += 1;
    });
}

/// A build ended, well or with an error.
pub(super) fn ended(store: &Store, image: &str, error: Option<&str>) {
    note(store, image, |record| match error {
        None => (record.built, record.last_built) = (record.built + 1, now()),
        Some(error) => {
            (record.failed, record.last_failed) = (record.failed + 1, now());
            record.last_failure = Some(error.to_owned());
        }
    });
}

fn path(store: &Store, image: &str) -> PathBuf {
    store.state().join("records").join(format!("{image}.json"))
}

fn note(store: &Store, image: &str, change: impl FnOnce(&mut Record)) {
    // Builds of one image may run at the same time, and a state directory is made by a build only.
    let dir = store.state().join("records");
    if !store.is_prepared() || private_dir(&dir).is_err() {
        return;
    }
    let Ok(lock) = File::create(dir.join(".lock")) else {
        return;
    };
    if flock(&lock, FlockOperation::LockExclusive).is_err() {
        return;
    }
    let path = path(store, image);
    let mut record = match Record::read(store, image) {
        Ok(record) => record,
        Err(cause) if cause.kind() == ErrorKind::InvalidData => {
            drop(durable::put_aside(&path));
            Record::default()
        }
        Err(_) => return,
    };
    change(&mut record);
    let written = to_json(&record).and_then(|text| write_atomic(&path, &text));
    drop(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_counted_by_several_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.prepare().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        hit(&store, "small", "install");
                    }
                });
            }
        });
        ran(&store, "small", "install", Duration::from_secs(2));
        ran(&store, "small", "install", Duration::from_secs(3));
        failed(&store, "small", "seal");
        ended(&store, "small", Some("seal failed"));
        ended(&store, "small", None);
        let record = Record::read(&store, "small").unwrap();
        let install = &record.stages["install"];
        assert_eq!((install.hits, install.runs, install.seconds), (20, 2, 3.0));
        assert!((install.seconds_total - 5.0).abs() < 1e-9);
        assert_eq!(
            (record.built, record.failed, record.stages["seal"].failures),
            (1, 1, 1)
        );
        assert_eq!(record.last_failure.as_deref(), Some("seal failed"));
        // What is damaged counts anew, and stays.
        let file = path(&store, "small");
        std::fs::write(&file, "{").unwrap();
        let damaged = Record::read(&store, "small").unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::InvalidData);
        hit(&store, "small", "install");
        assert_eq!(
            Record::read(&store, "small").unwrap().stages["install"].hits,
            1
        );
        assert_eq!(
            std::fs::read(file.with_extension("json.damaged")).unwrap(),
            b"{"
        );
        std::fs::write(&file, "").unwrap();
        hit(&store, "small", "install");
        for (name, text) in [("json.damaged", "{"), ("json.damaged.2", "")] {
            let aside = file.with_extension(name);
            assert_eq!(std::fs::read_to_string(aside).unwrap(), text);
        }
    }

    #[test]
    fn nothing_is_written_where_there_is_no_state() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("missing"));
        hit(&store, "small", "install");
        assert!(!store.state().exists());
        assert_eq!(Record::read(&store, "small").unwrap(), Record::default());
    }
}
