//! What the verbs about recipes have in common.

use std::path::Path;

use crate::error::Result;
use crate::recipe::{Repo, SealWords};
use crate::{scan, sysprep};

/// Opens the recipe repository around `dir`, with the words that `seal` and `check` know.
///
/// # Errors
/// When there is none.
pub fn open(dir: &Path) -> Result<Repo> {
    Ok(Repo::open(dir)?.with_seal_words(words()))
}

/// Opens the recipe repository around a file; without one, the file's folder is taken for it.
/// Also says whether that was so.
///
/// # Errors
/// When the file's folder cannot be opened.
pub fn open_around(file: &Path) -> Result<(Repo, bool)> {
    let alone = Repo::around(file)?;
    match Repo::open(alone.root()) {
        Ok(repo) => Ok((repo.with_seal_words(words()), false)),
        Err(_) => Ok((alone.with_seal_words(words()), true)),
    }
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
