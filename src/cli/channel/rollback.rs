//! `imgforge channel rollback`.

use super::super::App;
use super::{ChannelArgs, JudgeArgs, print_moves};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The revision whose bytes come back (default: what the channel had before)
    #[arg(long, value_name = "REV")]
    to: Option<u64>,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    args: ChannelArgs,
}

impl Rollback {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (repository, channel, stamp) = self.args.open(app)?;
        // What was good enough before is better than what hangs now: it is told, and goes back.
        let repository = self.judge.judges(app, true, repository)?;
        let moved = repository.rollback(&self.args.name, &channel, self.to, &stamp, &app.ui)?;
        print_moves(&self.args.name, &moved)
    }
}
