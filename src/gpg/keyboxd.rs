//! A setting of gpg under which it ignores every keyring that it is told.
//!
//! With `use-keyboxd` in `common.conf`, gpg 2.4 asks a daemon for keys. `--keyring` means nothing then,
//! and no option undoes it, `--no-options` neither: whatever is verified with certain keys, by imgforge
//! or virt-builder, fails.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::host::exec::Program;

/// The file that makes gpg ignore keyrings, if there is one: of the system, or of the user.
pub fn configured() -> Option<PathBuf> {
    in_dirs(&["sysconfdir", "homedir"])
}

/// Refuses to verify with a gpg that would ignore the keyring.
pub(super) fn refuse() -> Result<()> {
    // Whoever changes it while imgforge runs has an error of gpg. A key directory of imgforge's own
    // has no such file.
    static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| in_dirs(&["sysconfdir"]));
    let Some(file) = &*FOUND else {
        return Ok(());
    };
    Err(
        Error::host("gpg cannot verify anything: it ignores the keyrings that imgforge names")
            .cause(format!("{} has `use-keyboxd`", file.display()))
            .hint("remove that line; `virt-builder` fails with it, too"),
    )
}

fn in_dirs(names: &[&str]) -> Option<PathBuf> {
    let dirs = Program::new("gpgconf").arg("--list-dirs").text().ok()?;
    let files = names.iter().filter_map(|name| {
        let value = |line: &str| {
            line.strip_prefix(*name)?
                .strip_prefix(':')
                .map(PathBuf::from)
        };
        Some(dirs.lines().find_map(value)?.join("common.conf"))
    });
    let found = files.into_iter().find(|file| is_set(file))?;
    // gpg before 2.3 reads no such file.
    let parts = Program::new("gpgconf")
        .arg("--list-components")
        .text()
        .ok()?;
    parts
        .lines()
        .any(|line| line.starts_with("keyboxd:"))
        .then_some(found)
}

fn is_set(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().any(|line| line.trim() == "use-keyboxd")
}
