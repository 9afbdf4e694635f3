//! `imgforge channel renew`.

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    /// Signs an older state than this host has seen, too: what came after it is lost
    #[arg(long)]
    allow_older: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Renew {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (repository, stamp) = self.repository.open(app, None)?;
        let until = match self.allow_older {
            true => repository.renew_older(&stamp)?,
            false => repository.renew(&stamp)?,
        };
        out::print(&format!("signed again, valid until {until:.0}\n"))
    }
}
