//! `imgforge channel renew`.

use super::super::place::{self, Which};
use super::super::{App, out};
use crate::error::Result;

/// The arguments of `imgforge channel renew`.
#[derive(Debug, clap::Args)]
pub struct Renew {
    #[command(flatten)]
    which: Which,
}

impl Renew {
    /// Runs the verb.
    ///
    /// # Errors
    /// When an index is not what was signed, or it cannot be written.
    pub fn run(&self, app: &App) -> Result<()> {
        let until = self.which.open(app)?.renew(&place::stamp(app, None)?)?;
        out::print(&format!("signed anew, valid until {until:.0}\n"))
    }
}
