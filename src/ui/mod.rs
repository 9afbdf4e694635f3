//! What happens during a command, as events; the command line chooses who draws them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// The unit of a [`Event::Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "docs/events.md documents every field")]
pub enum Event {
    /// A stage of an image begins to work.
    Started {
        image: String,
        stage: String,
        key: String,
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
        #[serde(serialize_with = "seconds")]
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
    /// Something the user should know, once.
    Notice { text: String },
    /// Something is wrong, but the work goes on.
    Warning { text: String },
}

fn seconds<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Draws events. Implementations never fail: a closed terminal must not end a build.
pub trait Reporter: Send + Sync {
    /// Takes one event; called from several threads.
    fn event(&self, event: &Event);
}

/// Takes no notice of anything, for tests and quiet commands.
#[derive(Debug)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &Event) {}
}

/// A shared way to the reporter.
#[derive(Clone)]
pub struct Ui(Arc<dyn Reporter>);

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ui")
    }
}

impl Ui {
    /// Events go to `reporter` from now on.
    pub fn new(reporter: impl Reporter + 'static) -> Self {
        Ui(Arc::new(reporter))
    }

    /// Nobody draws anything.
    pub fn silent() -> Self {
        Self::new(Silent)
    }

    /// Sends an event.
    pub fn event(&self, event: &Event) {
        self.0.event(event);
    }

    /// Something the user should know, once.
    pub fn notice(&self, text: impl Into<String>) {
        self.event(&Event::Notice { text: text.into() });
    }

    /// Something is wrong, but the work goes on.
    pub fn warning(&self, text: impl Into<String>) {
        self.event(&Event::Warning { text: text.into() });
    }

    /// The same reporter, for one stage of one image.
    pub fn stage(&self, image: impl Into<String>, stage: impl Into<String>) -> StageUi {
        StageUi {
            ui: self.clone(),
            image: image.into(),
            stage: stage.into(),
        }
    }
}

/// Sends the events of one stage of one image.
#[derive(Debug, Clone)]
pub struct StageUi {
    ui: Ui,
    image: String,
    stage: String,
}

impl StageUi {
    /// The reporter behind it.
    pub fn ui(&self) -> &Ui {
        &self.ui
    }

    /// The image's name.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The stage's name.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// How far the stage is.
    pub fn progress(&self, done: u64, total: u64, unit: Unit) {
        let (image, stage) = self.names();
        self.ui.event(&Event::Progress {
            image,
            stage,
            done,
            total,
            unit,
        });
    }

    /// What the stage does now.
    pub fn step(&self, name: impl Into<String>) {
        let (image, stage) = self.names();
        self.ui.event(&Event::Step {
            image,
            stage,
            name: name.into(),
        });
    }

    /// A line of output.
    pub fn line(&self, text: impl Into<String>) {
        let (image, stage) = self.names();
        self.ui.event(&Event::Line {
            image,
            stage,
            text: text.into(),
        });
    }

    fn names(&self) -> (String, String) {
        (self.image.clone(), self.stage.clone())
    }
}
