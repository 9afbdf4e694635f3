//! `imgforge repo copy`.

use std::path::PathBuf;

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::error::{Error, Result};
use crate::repository;
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct CopyRepository {
    /// The directory that gets the copy, or oci://HOST/PREFIX in a registry
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl CopyRepository {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let ui = app.ui.stage("repository", "copy");
        let (from, signers, seen) = self.repository.to_read(app)?;
        let copied = match self.dest.to_str() {
            Some(to) if to.starts_with("oci://") => {
                repository::copy_to_registry(&from, to, &signers, Some(&seen), &ui)?
            }
            Some(to) if to.contains("://") => {
                let to = crate::address::hide(to);
                return Err(Error::usage(format!("nothing can be copied to `{to}`"))
                    .hint("name a directory, or `oci://HOST/PREFIX` in a registry"));
            }
            _ => repository::copy(&from, &self.dest, &signers, Some(&seen), &ui)?,
        };
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
