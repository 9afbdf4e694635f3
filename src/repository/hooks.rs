//! Programs that are told of what happened in a repository, after it counts.

use jiff::Timestamp;
use serde::Serialize;

use super::{Repository, Stamp};
use crate::error::{Error, Result};
use crate::host::exec::Program;
use crate::ui::Ui;
use crate::units::Span;

/// How long a hook may take unless it says.
pub const TIMEOUT: Span = Span::seconds(60);

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program, and its arguments.
    pub run: Vec<String>,
    /// Its working directory: the recipe repository.
    pub dir: std::path::PathBuf,
    /// It is ended after this time.
    pub timeout: Span,
}

/// What happened: the JSON that a hook reads from its standard input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Happened {
    pub(super) version: u32,
    pub(super) action: String,
    pub(super) image: String,
    pub(super) channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    /// Where the packed disk is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// The channel that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
}

/// [`Happened`] with its stamp and place.
#[derive(Debug, Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    happened: &'a Happened,
    repository: &'a str,
    #[serde(flatten)]
    stamp: &'a Stamp,
    sent: Timestamp,
}

impl Happened {
    pub(super) fn new(action: &str, image: &str, channel: &str) -> Self {
        Happened {
            version: 1,
            action: action.into(),
            image: image.into(),
            channel: channel.into(),
            arch: None,
            revision: None,
            url: None,
            from: None,
        }
    }
}

impl Repository {
    /// Runs every hook; what fails is told, and changes nothing.
    pub(super) fn run_hooks(&self, happened: &Happened, stamp: &Stamp, ui: &Ui) {
        let message = Message {
            happened,
            repository: &self.url,
            stamp,
            sent: Timestamp::now(),
        };
        for hook in &self.hooks {
            if let Err(error) = hook.call(&message) {
                let error = error.within(format!(
                    "the hook `{}` failed; the repository has changed all the same",
                    hook.run.join(" ")
                ));
                ui.warning(error.render().trim_end().to_owned());
            }
        }
    }
}

impl Hook {
    fn call(&self, message: &Message<'_>) -> Result<()> {
        let Some((program, args)) = self.run.split_first() else {
            return Err(Error::usage("a hook names no program"));
        };
        let json = serde_json::to_vec(message)
            .map_err(|cause| Error::internal("an event has no JSON form").cause(cause))?;
        // `./announce` is a file of the recipe repository.
        let program = match program.contains('/') {
            true => self.dir.join(program),
            false => program.into(),
        };
        Program::at(program)
            .args(args)
            .dir(&self.dir)
            .input(json)
            .timeout(self.timeout.duration())
            .run()
    }
}
