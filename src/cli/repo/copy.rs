//! `imgforge repo copy`.

use std::path::PathBuf;

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::error::Result;
use crate::repository;
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct CopyRepository {
    /// The directory that gets the copy
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl CopyRepository {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let ui = app.ui.stage("repository", "copy");
        let (from, signers, seen) = self.repository.to_read(app)?;
        let copied = repository::copy(&from, &self.dest, &signers, Some(&seen), &ui)?;
        app.ui.close();
        out::print(&format!(
            "copied {} files, {}; {} were there, {} revisions were removed\n",
            copied.files,
            Size::bytes(copied.bytes).human(),
            copied.kept,
            copied.removed
        ))
    }
}
