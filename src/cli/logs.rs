//! `imgforge logs`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::{App, out, session};
use crate::console::lines::plain;
use crate::error::{Error, Result};

/// How the files end that can be printed: logs, and the reports of gates that did not pass.
const TEXTS: [&str; 2] = ["log", "json"];

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Image whose last build is asked about
    name: String,
    /// Log that is printed, such as `configure`, `configure-console` or `gate`; without it the files are listed
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
        let named = |ending: &str| files.contains(&dir.join(format!("{stage}.{ending}")));
        let Some(ending) = TEXTS.into_iter().find(|ending| named(ending)) else {
            let is_text = |path: &&PathBuf| {
                TEXTS
                    .iter()
                    .any(|it| path.extension().is_some_and(|own| own == *it))
            };
            let texts = files.iter().filter(is_text);
            let mut known: Vec<&str> = texts
                .filter_map(|path| path.file_stem()?.to_str())
                .collect();
            known.dedup();
            return Err(
                Error::usage(format!("there is no log of the stage `{stage}`")).hint(format!(
                    "the last build of {} has logs of {}",
                    self.name,
                    known.join(", ")
                )),
            );
        };
        let wanted = dir.join(format!("{stage}.{ending}"));
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
