//! `imgforge repo yank`.

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Yank {
    /// The image and its revision
    #[arg(value_name = "NAME@REV", value_parser = revision)]
    revision: (String, u64),
    /// The reason, which clients that ask for the revision see
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Removes the files at once, also while clients download them
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Yank {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (name, revision) = &self.revision;
        let (repository, stamp) = self.repository.open(app, Some(&self.why))?;
        let yanked = repository.yank(name, *revision, self.purge, &stamp, &app.ui)?;
        let numbers: Vec<String> = yanked.revisions.iter().map(u64::to_string).collect();
        out::print(&format!("yanked {name} {}\n", numbers.join(", ")))?;
        super::super::channel::print_moves(name, &yanked.moved)?;
        for dir in &yanked.purged {
            out::print(&format!("removed {dir}\n"))?;
        }
        if !yanked.children.is_empty() {
            app.ui.warning(format!(
                "these were built on it: {}; build them again, and yank them",
                yanked.children.join(", ")
            ));
        }
        Ok(())
    }
}

/// Parses `NAME@REV`.
fn revision(text: &str) -> Result<(String, u64), String> {
    let wrong = || format!("`{text}` is not a revision such as `web-node@7`");
    let (name, number) = text.split_once('@').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    match name {
        "" => Err(wrong()),
        name => Ok((name.to_owned(), number)),
    }
}
