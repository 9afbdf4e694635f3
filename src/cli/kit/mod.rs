//! `imgforge kit`.

mod export;
mod import;

use clap::Subcommand;

use super::App;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Kit {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with kits.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes recipes, locks and all that the locks name into one signed file
    Export(export::Export),
    /// Takes such a file in, once all of it is verified
    Import(import::Import),
}

impl Kit {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        match &self.verb {
            Verb::Export(verb) => verb.run(app),
            Verb::Import(verb) => verb.run(app),
        }
    }
}
