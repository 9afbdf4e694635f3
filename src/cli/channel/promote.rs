//! `imgforge channel promote`.

use super::super::place::{self, RepositoryArgs};
use super::super::{App, out};
use super::{JudgeArgs, print_moves};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Promote {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
    /// The channel that has it
    #[arg(value_name = "FROM", value_parser = place::channel)]
    from: String,
    /// The channel that gets it
    #[arg(value_name = "TO", value_parser = place::channel)]
    to: String,
    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Promote {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (repository, stamp) = self.repository.open(app, self.why.as_deref())?;
        let repository = self.judge.judges(app, false, repository)?;
        let channels = (self.from.as_str(), self.to.as_str());
        let moved = repository.promote(&self.name, channels, &stamp, &app.ui)?;
        if moved.is_empty() {
            let (name, to) = (&self.name, &self.to);
            out::print(&format!("{to}: {name} is the same already\n"))?;
        }
        print_moves(&self.name, &moved)
    }
}
