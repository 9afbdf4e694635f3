//! `imgforge channel complete`.

use super::super::App;
use super::{ChannelArgs, JudgeArgs, print_moves};
use crate::channels::Share;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Complete {
    /// Only gives it to another share of the machines, such as `50%`
    #[arg(long, value_name = "SHARE")]
    share: Option<Share>,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    args: ChannelArgs,
}

impl Complete {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (repository, channel, stamp) = self.args.open(app)?;
        let repository = self.judge.judges(app, false, repository)?;
        let moved = repository.complete(&self.args.name, &channel, self.share, &stamp, &app.ui)?;
        print_moves(&self.args.name, &moved)
    }
}
