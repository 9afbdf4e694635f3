//! `imgforge channel rollback`.

use super::super::App;
use super::super::place::{self, Which};
use super::tell;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
    /// The revision whose bytes come back (default: what the channel had before)
    #[arg(long, value_name = "REV")]
    to: Option<u64>,
    /// The channel (default: the repository's)
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    which: Which,
}

impl Rollback {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let stamp = place::stamp(app, self.why.as_deref())?;
        let repository = self.which.open(app)?;
        let channel = self.channel.as_deref();
        let channel = channel.unwrap_or(repository.default_channel());
        let moved = repository.rollback(&self.name, channel, self.to, &stamp, &app.ui)?;
        tell(&self.name, &moved)
    }
}
