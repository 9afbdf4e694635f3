//! `imgforge repo`: looks after a repository.

pub(crate) mod copy;
pub(crate) mod prune;
pub(crate) mod query;
pub(crate) mod rotate_key;
pub(crate) mod verify;
pub(crate) mod yank;

use clap::Subcommand;

use super::App;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Repo {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with a repository. Adding something is a file in this folder, a line here and
/// a line in [`Repo::run`].
#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks signatures, rules and every byte of a repository
    Verify(verify::Verify),
    /// Shows which revisions may go, and with --yes lets them go
    Prune(prune::Prune),
    /// Takes a revision out of every channel, for good
    Yank(yank::Yank),
    /// Says which images and revisions have a package
    Query(query::Query),
    /// Copies the repository to a directory, or brings a copy up to date
    Copy(copy::CopyRepository),
    /// Changes the signing key, with a time in which both keys work
    RotateKey(rotate_key::RotateKey),
}

impl Repo {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        match &self.verb {
            Verb::Verify(verb) => verb.run(app),
            Verb::Prune(verb) => verb.run(app),
            Verb::Yank(verb) => verb.run(app),
            Verb::Query(verb) => verb.run(app),
            Verb::Copy(verb) => verb.run(app),
            Verb::RotateKey(verb) => verb.run(app),
        }
    }
}
