//! `imgforge channel freeze` and `imgforge channel thaw`.

use super::super::place::{self, RepositoryArgs};
use super::super::{App, out};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Freeze {
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Thaw {
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The channel
    #[arg(value_name = "CHANNEL", value_parser = place::channel)]
    channel: String,
    /// The reason, which publishers see
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Freeze {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        self.change.run(app, true)
    }
}

impl Thaw {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        self.change.run(app, false)
    }
}

impl Change {
    fn run(&self, app: &App, frozen: bool) -> Result<()> {
        let (repository, stamp) = self.repository.open(app, Some(&self.why))?;
        repository.freeze(&self.channel, frozen, &stamp)?;
        let (channel, word) = (&self.channel, if frozen { "frozen" } else { "open" });
        out::print(&format!("{channel}: {word}\n"))
    }
}
