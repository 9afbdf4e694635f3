//! The values of a recipe's secrets, which stay on this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::types::{Recipe, Secret};
use crate::error::{Error, Result};
use crate::guest::Key;
use crate::scan::SHORTEST;
use crate::steps;

/// The secret that opens an encrypted disk: answer files encrypt with it, and boots ask for it.
pub const PASSPHRASE: &str = "passphrase";

/// Reads the values of secrets whose files are below `root`.
///
/// # Errors
/// When a variable is not set, a file cannot be read, or a value is too short to be kept out of
/// anything.
pub fn values(
    secrets: &BTreeMap<String, Secret>,
    root: &Path,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let all = secrets.iter();
    all.map(|(name, secret)| Ok((name.clone(), value(name, secret, root)?)))
        .collect()
}

/// What may open the encrypted volumes of a recipe's machine: the passphrase is one of its
/// secrets, and nothing says which.
pub fn luks_keys(recipe: &Recipe, root: &Path) -> Vec<Key> {
    known(recipe, root)
        .map(|(_, value)| Key::new(value))
        .collect()
}

/// The passphrase of a recipe's encrypted machine, if it has a secret of that name.
pub fn passphrase(recipe: &Recipe, root: &Path) -> Option<Key> {
    let secret = recipe.secrets.get(PASSPHRASE)?;
    value(PASSPHRASE, secret, root).ok().map(Key::new)
}

/// Why some of a recipe's secrets are no keys here: a sentence for each that has no value.
pub fn missing(recipe: &Recipe, root: &Path) -> Vec<String> {
    let why = |(name, secret): (&String, &Secret)| {
        let error = value(name, secret, root).err()?;
        let causes = error.causes().iter().map(String::as_str);
        let said: Vec<&str> = std::iter::once(error.message()).chain(causes).collect();
        Some(said.join(": "))
    };
    recipe.secrets.iter().filter_map(why).collect()
}

/// The secrets whose file is not there, with its name: a host that only reads recipes may lack it, and a name may be
/// misspelt.
pub fn absent_files<'r>(recipe: &'r Recipe, root: &Path) -> Vec<(&'r str, PathBuf)> {
    let absent = |(name, secret): (&'r String, &Secret)| match secret {
        Secret::File(file) => {
            let file = root.join(file);
            let is_absent = file.try_exists().is_ok_and(|exists| !exists);
            is_absent.then_some((name.as_str(), file))
        }
        Secret::Env(_) => None,
    };
    recipe.secrets.iter().filter_map(absent).collect()
}

/// What no image may hold: the recipe's secrets, and those of its steps' own that were made
/// already, which are in the state directory `state`. Secrets without a value are left out.
pub fn hidden(recipe: &Recipe, root: &Path, state: &Path) -> BTreeMap<String, Vec<u8>> {
    let own = known(recipe, root).map(|(name, value)| (name.clone(), value));
    own.chain(steps::kept_secrets(&recipe.configure, state))
        .collect()
}

/// The secrets that have a value.
fn known<'r>(recipe: &'r Recipe, root: &Path) -> impl Iterator<Item = (&'r String, Vec<u8>)> {
    let all = recipe.secrets.iter();
    all.filter_map(move |(name, secret)| Some((name, value(name, secret, root).ok()?)))
}

/// A file's last line end is not part of the value. One that is in every text by chance can be kept
/// out of none.
fn value(name: &str, secret: &Secret, root: &Path) -> Result<Vec<u8>> {
    let value = match secret {
        Secret::Env(variable) => std::env::var_os(variable)
            .map(std::os::unix::ffi::OsStringExt::into_vec)
            .ok_or_else(|| {
                Error::usage(format!("the secret `{name}` has no value"))
                    .cause(format!("the environment variable {variable} is not set"))
                    .hint(format!(
                        "set it, or change `secrets: {{{name}: …}}` in the recipe"
                    ))
            })?,
        Secret::File(file) => {
            let file = root.join(file);
            let mut bytes = std::fs::read(&file).map_err(|cause| {
                let file = std::path::absolute(&file).unwrap_or(file);
                Error::usage(format!("the secret `{name}` has no value"))
                    .cause(format!("{} cannot be read: {cause}", file.display()))
                    .hint(format!(
                        "write it into a file of this name, which imgforge's user may read, or change \
                         `secrets: {{{name}: …}}` in the recipe"
                    ))
            })?;
            bytes.truncate(bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len));
            bytes
        }
    };
    if value.len() >= SHORTEST {
        return Ok(value);
    }
    Err(Error::usage(format!("the secret `{name}` is too short"))
        .cause(format!(
            "a value of less than {SHORTEST} bytes cannot be kept out of logs and images"
        ))
        .hint("use a longer one"))
}
