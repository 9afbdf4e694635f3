//! `imgforge shell`.

use super::{App, session};
use crate::error::Result;
use crate::pipeline::{self, Options};

/// The arguments of `imgforge shell`.
#[derive(Debug, clap::Args)]
pub struct Shell {
    /// Image, or image and stage; without a stage what --on-error keep kept,
    /// else the newest finished disk
    #[arg(value_name = "NAME[@STAGE]")]
    target: String,
}

impl Shell {
    /// Runs the verb.
    ///
    /// # Errors
    /// When there is no such disk, or the guest cannot be started.
    pub fn run(&self, app: &App) -> Result<()> {
        pipeline::shell::shell(&session::open(app)?, &Options::default(), &self.target)
    }
}
