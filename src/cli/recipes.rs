//! What the verbs about recipes have in common.

use std::path::Path;

use super::App;
use crate::error::Result;
use crate::recipe::{Repo, SealWords};
use crate::{scan, sysprep};

/// Opens the recipe repository of the working directory, with the words that `seal` and `check`
/// know.
///
/// # Errors
/// When there is none, or it is not obeyed.
pub fn open(app: &App) -> Result<Repo> {
    let repo = Repo::open_trusting(Path::new("."), &app.globals.trust)?;
    Ok(repo.with_seal_words(words()))
}

/// As [`open`], for what needs none.
///
/// # Errors
/// When there is one that is not obeyed.
pub fn find(app: &App) -> Result<Option<Repo>> {
    let repo = Repo::find(Path::new("."), &app.globals.trust)?;
    Ok(repo.map(|repo| repo.with_seal_words(words())))
}

/// Opens the recipe repository around a file; without one, the file's folder is taken for it.
/// Also says whether that was so.
///
/// # Errors
/// When the file's folder cannot be opened, or lies in a repository that is not obeyed.
pub fn open_around(app: &App, file: &Path) -> Result<(Repo, bool)> {
    let alone = Repo::around(file)?;
    let found = Repo::find(alone.root(), &app.globals.trust)?;
    let is_alone = found.is_none();
    let repo = found.unwrap_or(alone).with_seal_words(words());
    Ok((repo, is_alone))
}

/// The words that `seal` and `check` know.
fn words() -> SealWords {
    SealWords {
        known: sysprep::words().collect(),
        refused: sysprep::REFUSED,
        rules: scan::rule_names().collect(),
    }
}

/// Parses `--var NAME=VALUE`.
///
/// # Errors
/// When there is no `=` or no name.
pub fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
