//! `repository`: a package source and its key.

use std::fmt::Write as _;
use std::path::Path;

use super::{Scope, Translated, read};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::recipe::types::Repository;
use crate::runner::payload::Entry;

pub(super) fn translate(repository: &Repository, scope: Scope<'_>) -> Result<Translated> {
    let id = repository
        .id
        .clone()
        .unwrap_or_else(|| repository_id(&repository.uri));
    if id.is_empty()
        || !id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        return Err(Error::usage(format!("`{id}` is no name for a repository"))
            .hint("give the step an `id` of letters, digits, `.`, `_` and `-`"));
    }
    for (what, value) in [
        ("uri", &repository.uri),
        ("suite", repository.suite.as_ref().unwrap_or(&id)),
    ] {
        if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::usage(format!(
                "`{value}` is no `{what}` of a repository"
            )));
        }
    }
    let mut settings = format!("uri={}\nid={}\n", quote(&repository.uri), quote(&id));
    if let Some(suite) = &repository.suite {
        let _ = writeln!(settings, "suite={}", quote(suite));
    }
    let _ = writeln!(
        settings,
        "components={}",
        quote(&repository.components.join(" "))
    );
    let mut files = vec![Entry::bytes("repository.sh", settings)];
    if let Some(key) = &repository.key {
        let name = Path::new(key)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        files.push(Entry::bytes("key", read(scope.root, key)?));
        files.push(Entry::bytes("key-name", name.into_owned()));
    }
    Ok(Translated::new("repository", files))
}

/// A name from the address: its host and path, without what file names of apt cannot have.
fn repository_id(uri: &str) -> String {
    let address = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let id: String = address
        .trim_matches('/')
        .chars()
        .map(plain)
        .take(60)
        .collect();
    id.trim_matches(['-', '.']).to_owned()
}
