//! `imgforge channel complete`.

use super::super::App;
use super::super::place::{self, Which};
use super::tell;
use crate::channels::Share;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Complete {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
    /// Only gives it to another share of the machines, such as `50%`
    #[arg(long, value_name = "SHARE")]
    share: Option<Share>,
    /// The channel (default: the repository's)
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    which: Which,
}

impl Complete {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let stamp = place::stamp(app, self.why.as_deref())?;
        let repository = self.which.open(app)?;
        let channel = self.channel.as_deref();
        let channel = channel.unwrap_or(repository.default_channel());
        let moved = repository.complete(&self.name, channel, self.share, &stamp, &app.ui)?;
        tell(&self.name, &moved)
    }
}
