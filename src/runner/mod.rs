//! The host's half of the runner, which executes a recipe's steps inside a guest.
//!
//! [`inject`](inject::inject) puts a small starter into the image offline. Everything else reaches
//! the guest on two extra disks, found by their serials: [`JOB_SERIAL`], a read-only archive made
//! by [`job`], and [`LOG_SERIAL`], the runner's journal, which [`report`] reads after the guest has
//! switched itself off, and which alone decides. What happens meanwhile is read by [`watch`]:
//! short events on the port [`EVENTS_PORT`] ([`protocol`]), raw output on [`OUTPUT_PORT`].
//! All of it is hostile: sizes are limited, and nothing is believed for its own sake.

pub mod drive;
pub mod evidence;
mod finished;
pub mod inject;
pub mod job;
mod meanwhile;
mod payload;
pub mod protocol;
pub mod report;
mod script;
pub mod watch;

pub use job::{Job, Mode, Relay, Request};
pub use report::Journal;
pub use watch::{End, Limits, Session};

use crate::steps;

/// Serial of the disk with the job.
pub const JOB_SERIAL: &str = "imgforge-job";

/// Serial of the disk with the journal.
pub const LOG_SERIAL: &str = "imgforge-log";

/// Serial of the disk with a toolbox.
pub const TOOLS_SERIAL: &str = "imgforge-tools";

/// The port with events, and with secrets in the other direction.
pub const EVENTS_PORT: &str = "org.imgforge.0";

/// The port with the steps' raw output.
pub const OUTPUT_PORT: &str = "org.imgforge.1";

/// Size of the journal's disk, in bytes.
pub const LOG_SIZE: u64 = 1 << 20;

/// Changes with everything that runs inside a guest; a part of the keys of stages that use it.
pub fn version() -> String {
    // The toolbox's own key is no part of this: another toolbox gives the same image.
    let text = |&(name, text): &(&'static str, &'static str)| (name.to_owned(), text);
    let tables = [script::RUNNER, script::INSTANCE].into_iter().flatten();
    let more = [("start", script::START)];
    let more = more.iter().chain(inject::UNITS).chain(meanwhile::TEXTS);
    let texts = tables
        .map(text)
        .chain(steps::files().map(|file| text(&file)))
        .chain(script::actions())
        .chain(more.map(text));
    let mut hasher = blake3::Hasher::new();
    for (name, text) in texts {
        hasher.update(name.as_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
