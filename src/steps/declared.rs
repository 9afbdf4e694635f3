//! What steps and targets put into an image on purpose: no operation removes it, and the scan accepts it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a recipe, the recipes below it, or a target puts into the image on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
// A name that is unknown or missing is one that a version forgot: better no entry than one without it.
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Declared {
    /// The public keys of users, as lines of `authorized_keys`: those stay, and no others.
    pub keys: BTreeMap<String, BTreeSet<String>>,
    /// Accounts whose `authorized_keys` stays as it is.
    pub accounts: BTreeSet<String>,
    /// Absolute paths of files that stay.
    pub files: BTreeSet<String>,
    /// Accounts whose password is part of the image.
    pub passwords: BTreeSet<String>,
    /// Accounts that may use sudo.
    // Images that were published before there was this one lack it.
    #[serde(default)]
    pub sudo: BTreeSet<String>,
    /// Whether the first boot of its machines is one for systemd as well.
    // Images that were published before there was this one lack it.
    #[serde(default)]
    pub first_boot: bool,
}

impl Declared {
    /// The end of the name of the file in which a published image tells what it declares.
    pub const SUFFIX: &str = ".declared.json";

    /// Adds what another one declares.
    pub fn add(&mut self, other: Declared) {
        for (user, keys) in other.keys {
            self.keys.entry(user).or_default().extend(keys);
        }
        self.accounts.extend(other.accounts);
        self.files.extend(other.files);
        self.passwords.extend(other.passwords);
        self.sudo.extend(other.sudo);
    }

    /// What accounts may do and cannot, as a sentence; `has` says whether the image has a program.
    ///
    /// # Errors
    /// As `has`.
    pub fn useless<E>(&self, has: impl Fn(&str) -> Result<bool, E>) -> Result<Option<String>, E> {
        if self.sudo.is_empty() {
            return Ok(None);
        }
        for dir in ["/usr/bin", "/usr/local/bin", "/bin"] {
            if has(&format!("{dir}/sudo"))? {
                return Ok(None);
            }
        }
        let names: Vec<&str> = self.sudo.iter().map(String::as_str).collect();
        Ok(Some(format!(
            "{} may use sudo, and the image has no sudo: write `- packages: [sudo]` in `configure`, or leave out \
             `sudo: true`",
            names.join(", ")
        )))
    }

    /// The lines of an `authorized_keys` that are declared for a user.
    pub fn declared_lines(&self, user: &str, text: &str) -> String {
        let keys = self.keys.get(user);
        text.lines()
            .map(str::trim)
            .filter(|line| keys.is_some_and(|keys| keys.contains(*line)))
            .fold(String::new(), |all, line| all + line + "\n")
    }

    /// Whether an account is part of the image.
    pub fn names(&self, user: &str) -> bool {
        self.keys.contains_key(user) || self.accounts.contains(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_missing_is_not_taken_for_nothing() {
        let all = serde_json::to_value(Declared::default()).unwrap();
        let read = serde_json::from_value::<Declared>;
        assert_eq!(read(all.clone()).unwrap(), Declared::default());
        let names: Vec<&String> = all.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 6);
        for name in names {
            let mut other = all.clone();
            other.as_object_mut().unwrap().remove(name);
            let added_later = ["first-boot", "sudo"].contains(&name.as_str());
            assert_eq!(read(other).is_err(), !added_later, "{name}");
        }
    }

    #[test]
    fn a_user_of_sudo_without_sudo_is_told() {
        let mut declared = Declared::default();
        let told = |declared: &Declared, there: &str| {
            declared.useless(|path| Ok::<_, ()>(path == there)).unwrap()
        };
        assert_eq!(told(&declared, ""), None);
        for name in ["bob", "ann"] {
            declared.add(Declared {
                sudo: [name.to_owned()].into(),
                ..Declared::default()
            });
        }
        let said = told(&declared, "/bin/sh").unwrap();
        assert!(said.starts_with("ann, bob may use sudo"), "{said}");
        assert!(said.contains("packages: [sudo]"), "{said}");
        assert_eq!(told(&declared, "/usr/bin/sudo"), None);
        assert_eq!(
            declared.useless(|_| Err("a broken disk")),
            Err("a broken disk")
        );
    }

    #[test]
    fn only_declared_lines_stay() {
        let mut declared = Declared::default();
        let keys = |key: &str| BTreeMap::from([("ann".to_owned(), [key.to_owned()].into())]);
        for key in ["ssh-rsa A ann", "ssh-rsa B"] {
            declared.add(Declared {
                keys: keys(key),
                ..Declared::default()
            });
        }
        let text = "ssh-rsa C evil\n  ssh-rsa A ann \n# ssh-rsa B\nssh-rsa B";
        assert_eq!(
            declared.declared_lines("ann", text),
            "ssh-rsa A ann\nssh-rsa B\n"
        );
        assert_eq!(declared.declared_lines("bob", text), "");
        assert!(declared.names("ann") && !declared.names("bob"));
    }
}
