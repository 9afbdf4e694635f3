//! What the verbs about recipes have in common.

use std::path::Path;

use super::App;
use crate::error::Result;
use crate::recipe::Repo;

/// Opens the recipe repository of the working directory.
///
/// # Errors
/// When there is none, or it is not obeyed.
pub(crate) fn open(app: &App) -> Result<Repo> {
    Repo::open_trusting(Path::new("."), &app.globals.trust)
}

/// As [`open`], for what needs none.
///
/// # Errors
/// When there is one that is not obeyed.
pub(crate) fn find(app: &App) -> Result<Option<Repo>> {
    Repo::find(Path::new("."), &app.globals.trust)
}

/// Opens the recipe repository around a file; without one, the file's folder is taken for it.
/// Also says whether that was so.
///
/// # Errors
/// When the file's folder cannot be opened, or lies in a repository that is not obeyed.
pub(crate) fn open_around(app: &App, file: &Path) -> Result<(Repo, bool)> {
    let alone = Repo::around(file)?;
    let found = Repo::find(alone.root(), &app.globals.trust)?;
    let is_alone = found.is_none();
    Ok((found.unwrap_or(alone), is_alone))
}

/// Parses `--var NAME=VALUE`.
///
/// # Errors
/// When there is no `=` or no name.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
