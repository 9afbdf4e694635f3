//! `imgforge disk`: each stage's work on any image file, without a recipe.

pub mod pack;
pub mod unpack;

use clap::Subcommand;

use super::App;
use crate::error::Result;

/// The arguments of `imgforge disk`.
#[derive(Debug, clap::Args)]
pub struct Disk {
    /// What to do with the file.
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with an image file. Adding something is a file in this folder, a line here
/// and a line in [`Disk::run`].
#[derive(Debug, Subcommand)]
enum Verb {
    /// Packs a disk into a .xz file that virt-builder decompresses in parallel
    Pack(pack::Pack),
    /// Unpacks a .xz file into a sparse disk, in parallel
    Unpack(unpack::Unpack),
}

impl Disk {
    /// Runs the verb.
    ///
    /// # Errors
    /// As what it was asked to do.
    pub fn run(&self, app: &App) -> Result<()> {
        match &self.verb {
            Verb::Pack(verb) => verb.run(app),
            Verb::Unpack(verb) => verb.run(app),
        }
    }
}
