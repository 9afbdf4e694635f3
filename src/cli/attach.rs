//! `imgforge attach`.

use super::{App, session};
use crate::error::Result;
use crate::pipeline;

/// The arguments of `imgforge attach`.
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// Image whose running build's guest is watched
    name: String,
}

impl Attach {
    /// Runs the verb.
    ///
    /// # Errors
    /// When no build of the image runs.
    pub fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        pipeline::shell::attach(&session.store, &self.name, &mut std::io::stdout().lock())
    }
}
