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
    pub fn run(&self, _: &App) -> Result<()> {
        let start = match self.files.first().and_then(|file| file.parent()) {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let repo = recipes::open(start)?;
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
