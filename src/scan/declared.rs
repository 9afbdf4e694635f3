//! What a recipe or a target puts into an image on purpose.

use std::collections::{BTreeMap, BTreeSet};

/// An account that a recipe or a target makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Its public keys, each as a line of authorized_keys.
    pub keys: Vec<String>,
    /// Whether its password is declared.
    pub password: bool,
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
}

impl Declared {
    /// Whether the account's password is declared.
    pub fn password(&self, name: &str) -> bool {
        self.accounts
            .get(name)
            .is_some_and(|account| account.password)
    }

    /// Whether this line of an authorized_keys file is declared.
    pub fn key(&self, line: &str) -> bool {
        let Some(blob) = key_blob(line) else {
            return false;
        };
        let mut declared = self.accounts.values().flat_map(|account| &account.keys);
        declared.any(|key| key_blob(key) == Some(blob))
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
        };
        declared.accounts.insert("ops".into(), account);
        assert!(declared.key(&format!("no-pty ssh-ed25519 {blob} other")));
        assert!(!declared.key(&format!("ssh-ed25519 {}", blob.replace('A', "B"))));
        assert!(!declared.key("# a comment"));
        assert!(declared.password("ops") && !declared.password("root"));
    }
}
