//! What can happen.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The unit of a [`Event::Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes read or written.
    Bytes,
    /// Hundredths.
    Percent,
    /// Steps of a recipe.
    Steps,
}

/// Something that happened. Serialised as one JSON object a line by `--progress json`, with the
/// event's name under `event`; docs/events.md documents every field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "docs/events.md documents every field")]
pub enum Event {
    /// A stage of an image begins to work. `last` is what its last run on this host took.
    Started {
        image: String,
        stage: String,
        key: String,
        #[serde(default, serialize_with = "perhaps", deserialize_with = "from_perhaps")]
        last: Option<Duration>,
    },
    /// A stage's result was in the store already.
    Cached {
        image: String,
        stage: String,
        key: String,
    },
    /// Another imgforge process works on the same stage; this one waits for it.
    Waiting {
        image: String,
        stage: String,
        pid: u32,
    },
    /// How far a stage is.
    Progress {
        image: String,
        stage: String,
        done: u64,
        total: u64,
        unit: Unit,
    },
    /// A stage says what it does now ("starting the guest") or which step of the recipe runs.
    Step {
        image: String,
        stage: String,
        name: String,
    },
    /// A line of output of a guest or a program. Shown with `-v`, always in the log.
    Line {
        image: String,
        stage: String,
        text: String,
    },
    /// A stage is done and its result in the store.
    Finished {
        image: String,
        stage: String,
        #[serde(serialize_with = "seconds", deserialize_with = "from_seconds")]
        took: Duration,
        note: Option<String>,
    },
    /// A stage failed; the error itself ends the command.
    Failed {
        image: String,
        stage: String,
        message: String,
    },
    /// A file for a target or the repository is ready.
    Artifact {
        image: String,
        kind: String,
        path: PathBuf,
        size: u64,
        sha512: String,
    },
    /// An image was published.
    Published {
        image: String,
        channel: String,
        revision: u64,
        url: String,
    },
    /// A published image was written to a disk.
    Pulled {
        image: String,
        revision: u64,
        fetched: u64,
        reused: u64,
        copied: u64,
        changed: u64,
    },
    /// Something the user should know, once.
    Notice { text: String },
    /// Something is wrong, but the work goes on.
    Warning { text: String },
}

impl Event {
    /// The image and the stage that the event belongs to, if it has a stage.
    pub fn place(&self) -> Option<(&str, &str)> {
        match self {
            Event::Started { image, stage, .. }
            | Event::Cached { image, stage, .. }
            | Event::Waiting { image, stage, .. }
            | Event::Progress { image, stage, .. }
            | Event::Step { image, stage, .. }
            | Event::Line { image, stage, .. }
            | Event::Finished { image, stage, .. }
            | Event::Failed { image, stage, .. } => Some((image, stage)),
            Event::Artifact { .. }
            | Event::Published { .. }
            | Event::Pulled { .. }
            | Event::Notice { .. }
            | Event::Warning { .. } => None,
        }
    }
}

fn seconds<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
}

fn perhaps<S: serde::Serializer>(took: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match took {
        Some(took) => seconds(took, to),
        None => to.serialize_none(),
    }
}

fn from_perhaps<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(from)?;
    let took = seconds.map(Duration::try_from_secs_f64).transpose();
    took.map_err(serde::de::Error::custom)
}

fn from_seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
}
