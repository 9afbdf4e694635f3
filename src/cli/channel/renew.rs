//! `imgforge channel renew`.

use super::super::place::{self, Which};
use super::super::{App, out};
use crate::error::Result;

/// The arguments of `imgforge channel renew`.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// Signs an older state than this host has seen, too: what came after it is lost
    #[arg(long)]
    allow_older: bool,
    #[command(flatten)]
    which: Which,
}

impl Renew {
    /// Runs the verb.
    ///
    /// # Errors
    /// When an index is not what was signed, or it cannot be written.
    pub fn run(&self, app: &App) -> Result<()> {
        let (repository, stamp) = (self.which.open(app)?, place::stamp(app, None)?);
        let until = match self.allow_older {
            true => repository.renew_older(&stamp)?,
            false => repository.renew(&stamp)?,
        };
        out::print(&format!("signed anew, valid until {until:.0}\n"))
    }
}
