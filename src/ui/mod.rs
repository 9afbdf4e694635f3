//! What happens during a command, as events; the command line chooses who draws them.

mod escape;
mod event;
pub mod fancy;
pub mod json;
pub mod plain;
mod screen;
pub mod summary;

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::error::Error;
pub use escape::{Escapes, is_unseen, printable};
pub use event::{Event, Unit};
use summary::Summary;

/// Draws events. Implementations never fail: a closed terminal must not end a build.
pub trait Reporter: Send + Sync {
    /// Takes one event; called from several threads.
    fn event(&self, event: &Event);

    /// Takes live lines off the screen; results and errors follow.
    fn close(&self) {}
}

/// How events are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renderer {
    /// Who draws them.
    pub style: Style,
    /// Lines of guests and programs are shown.
    pub verbose: bool,
    /// Only warnings and failures are shown; JSON lines are complete all the same.
    pub quiet: bool,
}

/// Who draws events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// [`fancy::Fancy`] on a terminal, else [`plain::Plain`].
    Auto,
    /// [`fancy::Fancy`], if there is a terminal.
    Fancy,
    /// [`plain::Plain`].
    Plain,
    /// [`json::Json`].
    Json,
}

/// The reporter of a command; `summary` sees every event too.
pub fn choose(look: Renderer, summary: Arc<Summary>) -> Ui {
    let terminal = std::io::stderr().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let inner: Box<dyn Reporter> = match look.style {
        Style::Json => Box::new(json::Json),
        _ if look.quiet => Box::new(Quiet(plain::Plain::new(false))),
        Style::Auto | Style::Fancy if terminal => Box::new(fancy::Fancy::new(look.verbose, colour)),
        _ => Box::new(plain::Plain::new(look.verbose)),
    };
    Ui::new(Tee { summary, inner })
}

struct Tee {
    summary: Arc<Summary>,
    inner: Box<dyn Reporter>,
}

impl Reporter for Tee {
    fn event(&self, event: &Event) {
        self.summary.take(event);
        self.inner.event(event);
    }

    fn close(&self) {
        self.inner.close();
    }
}

struct Quiet(plain::Plain);

impl Reporter for Quiet {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Warning { .. } | Event::Failed { .. }) {
            self.0.event(event);
        }
    }
}

/// Writes a line to standard error; a closed terminal must not end a build.
fn write_line(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Writes what drives a terminal, in one go.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(
        stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush()),
    );
}

/// Draws the error that ends a command, as text or as the last JSON line.
pub fn write_error(error: &Error, as_json: bool) {
    if as_json {
        write_line(&json::line(
            jiff::Timestamp::now(),
            &json::Failure::new(error),
        ));
    } else {
        let lines: Vec<String> = error.render().lines().map(printable).collect();
        write_line(&lines.join("\n"));
    }
}

/// The text of an event, without the passwords of addresses.
fn hidden(text: impl Into<String>) -> String {
    crate::address::hide(&text.into()).into_owned()
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

    /// Takes live lines off the screen; results and errors follow.
    pub fn close(&self) {
        self.0.close();
    }

    /// Something the user should know, once.
    pub fn notice(&self, text: impl Into<String>) {
        self.event(&Event::Notice { text: hidden(text) });
    }

    /// Something is wrong, but the work goes on.
    pub fn warning(&self, text: impl Into<String>) {
        self.event(&Event::Warning { text: hidden(text) });
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
            name: hidden(name),
        });
    }

    /// A line of output.
    pub fn line(&self, text: impl Into<String>) {
        let (image, stage) = self.names();
        self.ui.event(&Event::Line {
            image,
            stage,
            text: hidden(text),
        });
    }

    fn names(&self) -> (String, String) {
        (self.image.clone(), self.stage.clone())
    }
}

#[cfg(test)]
pub(crate) mod samples;
