//! What a recipe or a target puts into an image on purpose.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::Group;
use crate::sysprep;

/// An account that a recipe or a target makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Its public keys, each as a line of authorized_keys.
    pub keys: Vec<String>,
    /// Whether its password is declared.
    pub password: bool,
    /// Whether all its keys are.
    pub any_key: bool,
}

/// What belongs into the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// Accounts by their name.
    pub accounts: BTreeMap<String, Account>,
    /// Hosts of package sources: repositories of the recipe and the mirror of the image.
    pub hosts: BTreeSet<String>,
    /// Hosts of the mirrors that the build fetched from, when the image is told others.
    pub build_hosts: BTreeSet<String>,
    /// Whether the image may be told any package source.
    pub any_host: bool,
    /// Files that the recipe itself writes.
    pub files: BTreeSet<String>,
    /// Hashes of passwords that the recipe gives to accounts.
    pub hashes: BTreeSet<String>,
}

impl From<&sysprep::Declared> for Declared {
    fn from(from: &sysprep::Declared) -> Self {
        let mut declared = Declared {
            files: from.files.clone(),
            ..Declared::default()
        };
        let mut account = |name: &String, change: &dyn Fn(&mut Account)| {
            change(declared.accounts.entry(name.clone()).or_default());
        };
        for (name, lines) in &from.keys {
            account(name, &|account| account.keys.extend(lines.iter().cloned()));
        }
        for name in &from.accounts {
            account(name, &|account| {
                (account.any_key, account.password) = (true, true)
            });
        }
        for name in &from.passwords {
            account(name, &|account| account.password = true);
        }
        declared
    }
}

impl Declared {
    /// Whether a rule of this group has nothing to say about a file, as the recipe writes it. A key
    /// or a token in such a file is a mistake all the same.
    pub(super) fn file(&self, path: &str, group: Group) -> bool {
        !matches!(group, Group::Keys | Group::Tokens) && self.files.contains(path)
    }

    /// Whether the account's password is declared.
    pub fn password(&self, name: &str, hash: &str) -> bool {
        self.hashes.contains(hash)
            || self
                .accounts
                .get(name)
                .is_some_and(|account| account.password)
    }

    /// Whether this line of an authorized_keys file of `accounts` is declared for one of them.
    pub fn key(&self, accounts: &[&str], line: &str) -> bool {
        let blob = key_blob(line);
        accounts
            .iter()
            .filter_map(|name| self.accounts.get(*name))
            .any(|account| {
                let mut keys = account.keys.iter();
                account.any_key || (blob.is_some() && keys.any(|key| key_blob(key) == blob))
            })
    }

    /// The key in this line of an authorized_keys file, if it is declared for any account.
    pub(super) fn anybodys<'l>(&self, line: &'l str) -> Option<&'l str> {
        let blob = key_blob(line)?;
        let mut keys = self.accounts.values().flat_map(|account| &account.keys);
        keys.any(|key| key_blob(key) == Some(blob)).then_some(blob)
    }
}

/// The base64 part of a public key, which alone says which key it is.
fn key_blob(line: &str) -> Option<&str> {
    line.split_whitespace()
        .find(|word| word.starts_with("AAAA") && word.len() > 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_declared_whatever_its_options_and_comment() {
        let blob = format!("AAAAC3NzaC1lZDI1NTE5{}", "A".repeat(48));
        let mut declared = Declared::default();
        let account = Account {
            keys: vec![format!("ssh-ed25519 {blob} ops@example.org")],
            password: true,
            any_key: false,
        };
        declared.accounts.insert("ops".into(), account);
        let line = format!("no-pty ssh-ed25519 {blob} other");
        assert!(declared.key(&["ops"], &line) && declared.key(&["toor", "ops"], &line));
        // Ops' key does not open root's account.
        assert!(!declared.key(&["root"], &line) && !declared.key(&[], &line));
        let other = format!("ssh-ed25519 {}", blob.replace('A', "B"));
        assert!(!declared.key(&["ops"], &other));
        assert!(!declared.key(&["ops"], "# a comment"));
        declared.accounts.entry("root".into()).or_default().any_key = true;
        assert!(declared.key(&["root"], &other) && !declared.key(&["ops"], &other));
        assert!(declared.password("ops", "x") && !declared.password("root", "x"));
    }
}
