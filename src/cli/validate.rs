//! `imgforge validate`.

use std::path::{Path, PathBuf};

use super::{App, out, recipes};
use crate::error::Result;

/// The arguments of `imgforge validate`.
#[derive(Debug, clap::Args)]
pub struct Validate {
    /// Recipes, fragments or imgforge.yaml; default: all of them
    files: Vec<PathBuf>,
    /// Sets a variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = recipes::variable)]
    var: Vec<(String, String)>,
}

impl Validate {
    /// Reads recipes and everything that they name; touches no host.
    ///
    /// # Errors
    /// With all mistakes.
    pub fn run(&self, app: &App) -> Result<()> {
        let repo = match self.files.first() {
            None => recipes::open(Path::new("."))?,
            Some(file) => {
                let (repo, alone) = recipes::open_around(file)?;
                if alone {
                    app.ui.notice(format!(
                        "{} lies in no recipe repository: its folder is taken for one, and its files are looked for there",
                        file.display()
                    ));
                }
                repo
            }
        };
        let problems = if self.files.is_empty() {
            repo.validate_all(&self.var)?
        } else {
            repo.validate_files(&self.files, &self.var)?
        };
        problems.check()?;
        match self.files.len() {
            0 => out::print(&format!("{} images: all good\n", repo.names()?.len())),
            n => out::print(&format!("{n} files: all good\n")),
        }
    }
}
