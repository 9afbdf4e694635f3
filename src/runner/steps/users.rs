//! `users`: accounts, their groups and keys.

use std::fmt::Write as _;
use std::path::Path;

use super::{Scope, read};
use crate::error::{Error, Result};
use crate::recipe::sshkey;
use crate::recipe::types::User;
use crate::runner::payload::Entry;

pub(super) fn translate(users: &[User], scope: Scope<'_>) -> Result<Vec<Entry>> {
    let mut files = vec![];
    let mut list = String::new();
    for user in users {
        let name = &user.name;
        let valid = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if let Some(wrong) = std::iter::once(name)
            .chain(&user.groups)
            .find(|n| !valid(n))
        {
            return Err(Error::usage(format!(
                "`{wrong}` is no name of a user or group"
            )));
        }
        let _ = writeln!(list, "{name}");
        let mut add = |file: &str, text: String| {
            files.push(Entry::bytes(format!("users/{name}/{file}"), text));
        };
        add(
            "groups",
            user.groups
                .iter()
                .fold(String::new(), |all, group| all + group + "\n"),
        );
        add("keys", keys(&user.ssh_keys, scope.root)?);
        if let Some(shell) = &user.shell {
            add("shell", shell.clone());
        }
        if user.system {
            add("system", String::new());
        }
        if user.sudo {
            add("sudo", String::new());
        }
        if let Some(secret) = &user.password {
            if !scope.secrets.contains(secret) {
                return Err(Error::usage(format!(
                    "the password of {name} is the secret `{secret}`, which is not known here"
                ))
                .hint("list it under `secrets`; steps of `instance` have no secrets"));
            }
            add("password", secret.clone());
        }
    }
    files.push(Entry::bytes("list", list));
    Ok(files)
}

/// The lines that `ssh-keys` means: key lines, and those of files below `root`.
///
/// # Errors
/// When a file cannot be read, or holds something else than public keys.
pub(crate) fn keys(keys: &[String], root: &Path) -> Result<String> {
    let mut lines = String::new();
    for key in keys {
        let text = match sshkey::is_line(key) {
            true => key.clone(),
            false => String::from_utf8_lossy(&read(root, key)?).into_owned(),
        };
        if let Some((sentence, help)) = sshkey::mistake(key, &text) {
            return Err(Error::usage(sentence).hint(help));
        }
        for line in sshkey::lines(&text) {
            let _ = writeln!(lines, "{line}");
        }
    }
    Ok(lines)
}
