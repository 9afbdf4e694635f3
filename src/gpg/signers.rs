//! Whose signatures count for a repository: one rule for all who publish, read, copy or check it.

use std::path::{Path, PathBuf};

use super::Keyring;
use crate::error::{Error, Result};

/// Whose signatures count, as a command or imgforge.yaml names them; nobody's by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// A file of public keys.
    pub keys: Option<PathBuf>,
    /// The fingerprint of the only key that counts, of those in the file or elsewhere.
    pub fingerprint: Option<String>,
    /// The certificates themselves, where this host knows them already.
    pub known: Option<Keyring>,
    /// A directory that keeps what was seen of the certificates.
    pub memory: Option<PathBuf>,
    /// They count only because they lay in the repository when this host looked for the first time.
    pub first: bool,
}

impl Signers {
    /// Those whose public keys are in a file.
    pub fn of_file(file: impl Into<PathBuf>) -> Self {
        Signers {
            keys: Some(file.into()),
            ..Signers::default()
        }
    }

    /// Those with these certificates.
    pub fn of_keyring(keyring: Keyring) -> Self {
        Signers {
            known: Some(keyring),
            ..Signers::default()
        }
    }

    /// These, and what was seen of their certificates before, which is kept in the directory `memory`.
    #[must_use]
    pub fn remembered_in(self, memory: &Path) -> Self {
        let memory = Some(memory.to_owned());
        Signers { memory, ..self }
    }

    /// Whether anybody is named.
    pub fn is_named(&self) -> bool {
        self.keys.is_some() || self.fingerprint.is_some() || self.known.is_some()
    }

    /// These, if they are named, else the others.
    #[must_use]
    pub fn or(self, others: Signers) -> Self {
        if self.is_named() { self } else { others }
    }

    /// The fingerprint, as gpg prints it, without blanks.
    ///
    /// # Errors
    /// When it is none, or a short one.
    pub fn full_fingerprint(&self) -> Result<Option<String>> {
        let fingerprint = self.fingerprint.as_deref();
        fingerprint.map(normal_fingerprint).transpose()
    }

    /// The certificates that count: of those who are named, or of all that the repository offers
    /// where nobody is. What it offers also renews theirs, since they are what they were by their
    /// owners' own signatures: the expiry, subkeys, a revocation.
    ///
    /// # Errors
    /// When a key that is named cannot be had, or what is offered is no keyring.
    pub fn keyring(&self, offered: Option<&[u8]>) -> Result<Keyring> {
        let fingerprint = self.full_fingerprint()?;
        let mut keyring = match (&self.keys, &fingerprint) {
            (Some(file), fingerprint) => Keyring::of_file(file, fingerprint.as_deref())?,
            (None, Some(fingerprint)) => match (Keyring::of_user(fingerprint), offered) {
                (Ok(keyring), _) => keyring,
                (Err(_), Some(offered)) => Keyring::read(offered, Some(fingerprint))?,
                (Err(error), None) => return Err(error),
            },
            (None, None) => match &self.known {
                Some(known) => known.clone(),
                None => {
                    let none = || Error::usage("no trusted key is set");
                    return Keyring::read(offered.ok_or_else(none)?, None);
                }
            },
        };
        if let Some(offered) = offered {
            keyring.renew(&[offered])?;
        }
        if let Some(memory) = &self.memory {
            keyring.remember(memory)?;
        }
        Ok(keyring)
    }
}

/// A full fingerprint, as gpg prints it, without blanks.
fn normal_fingerprint(text: &str) -> Result<String> {
    let digits: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hex && matches!(digits.len(), 40 | 64) {
        return Ok(digits);
    }
    Err(Error::usage(format!("`{text}` is not a fingerprint"))
        .cause("a fingerprint has 40 hex digits; fewer can be forged")
        .hint("`gpg --list-keys --fingerprint` shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_fingerprints_are_taken() {
        let digits = "0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567";
        assert_eq!(
            normal_fingerprint(digits).unwrap(),
            "0123456789ABCDEF0123456789ABCDEF01234567"
        );
        for bad in [
            "",
            "0123456789ABCDEF",
            "x123456789ABCDEF0123456789ABCDEF01234567",
        ] {
            let error = normal_fingerprint(bad).unwrap_err();
            assert!(error.render().contains("40 hex digits"), "{bad}");
        }
    }
}
