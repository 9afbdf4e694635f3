//! `imgforge shell`.

use super::{App, session};
use crate::error::Result;
use crate::pipeline::{self, Options};

#[derive(Debug, clap::Args)]
pub(crate) struct Shell {
    /// Image, or image and stage; without a stage what --on-error keep kept,
    /// else the newest finished disk
    #[arg(value_name = "NAME[@STAGE]")]
    target: String,
}

impl Shell {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        pipeline::shell::shell(&session::open(app)?, &Options::default(), &self.target)
    }
}
