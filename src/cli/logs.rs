//! `imgforge logs`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::{App, out, session};
use crate::console::lines::plain;
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Image whose last build is asked about
    name: String,
    /// Stage whose log is printed, such as `configure`; without it all logs are listed
    stage: Option<String>,
}

impl Logs {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let image = session.repo.one(&self.name)?;
        let dir = session.store.logs(&image);
        let files = std::fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| file.path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some()).collect();
        files.sort();
        if files.is_empty() {
            session.repo.know(&self.name)?;
            return Err(
                Error::usage(format!("there are no logs of {}", self.name)).hint(format!(
                    "`imgforge build {}` writes them below {}",
                    self.name,
                    dir.display()
                )),
            );
        }
        let Some(stage) = &self.stage else {
            return files
                .iter()
                .try_for_each(|path| out::print(&format!("{}\n", path.display())));
        };
        let wanted = dir.join(format!("{stage}.log"));
        if !files.contains(&wanted) {
            let stems = files.iter().filter_map(|path| path.file_stem()?.to_str());
            let mut known: Vec<&str> = stems.collect();
            known.dedup();
            return Err(
                Error::usage(format!("there is no log of the stage `{stage}`")).hint(format!(
                    "the last build of {} has logs of {}",
                    self.name,
                    known.join(", ")
                )),
            );
        }
        let raw = std::fs::read(&wanted).map_err(|cause| {
            Error::usage(format!("{} cannot be read", wanted.display())).cause(cause)
        })?;
        if !std::io::stdout().is_terminal() {
            return out::bytes(&raw);
        }
        let text = String::from_utf8_lossy(&raw);
        let mut lines = text.lines();
        lines.try_for_each(|line| out::print(&format!("{}\n", plain(line))))
    }
}
