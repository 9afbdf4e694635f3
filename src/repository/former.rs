//! Which key goes on to sign a repository whose public key is another one than the configured key's.
//! What lies in the directory is not signed, and who publishes may have many keys: one signs here
//! only because a text that one of them has signed says so of this very repository.

use super::rotate::{Keys, second_path};
use super::{Repository, State, below};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Signer, verify};
use crate::index::{Claims, Owner};

impl Repository {
    /// While a rotation is not finished, the old key signs, whichever of the two is configured.
    pub(super) fn former_key(&mut self, theirs: &str, ours: &str) -> Result<String> {
        let state = State::read(&self.root)?;
        let keys = self.written_keys()?.unwrap_or_default();
        let former = match self.signer.own_with(theirs)? {
            Some(own) if self.signs_here(&state, &own, theirs)? => Some(own),
            _ if self.awaits(&state, &keys, theirs, ours)? => {
                Some(match self.signer.own_with(theirs)? {
                    Some(own) => own,
                    None => self.signer.with_key(theirs, false),
                })
            }
            _ => None,
        };
        if let Some(former) = former {
            self.signer = former;
            return Ok(theirs.to_owned());
        }
        let root = self.root.display();
        let error = Error::usage(format!(
            "{root} is signed by the key {theirs}, not by {ours}"
        ));
        let begun = keys
            .seconds
            .iter()
            .find(|second| second.fingerprint == ours);
        Err(if let Some(second) = begun {
            error.hint(format!(
                "if an older imgforge has begun a rotation to your key: write `signing-key: \
                 {theirs}` in imgforge.yaml until it is finished, then `imgforge repo rotate-key \
                 {ours} --suffix {}`",
                second.suffix
            ))
        } else if keys.retired.iter().any(|key| key == ours) {
            error.hint(format!(
                "if you have finished a rotation of its key: write `signing-key: {theirs}` in \
                 imgforge.yaml, which follows the other"
            ))
        } else {
            error.hint("publish with the key that it was made with, or to another directory")
        })
    }

    /// Whether one of imgforge's own keys signs this repository, by an index of its own.
    fn signs_here(&self, state: &State, own: &Signer, fingerprint: &str) -> Result<bool> {
        for channel in state.channels.keys() {
            let owner = self.owner_said(own, &state.index_path(channel))?;
            return Ok(match owner {
                Said::Nothing => continue,
                Said::Wrong => false,
                // By an older imgforge.
                Said::By(None) => true,
                Said::By(Some(owner)) => owner.repository == self.id && owner.key == fingerprint,
            });
        }
        // Nothing is published here yet.
        Ok(true)
    }

    /// Whether our key has signed, in a rotation of this repository, that the other signs it.
    fn awaits(&self, state: &State, keys: &Keys, theirs: &str, ours: &str) -> Result<bool> {
        for second in keys
            .seconds
            .iter()
            .filter(|second| second.fingerprint == ours)
        {
            for channel in state.channels.keys() {
                let Some(path) = second_path(&state.index_path(channel), &second.suffix) else {
                    continue;
                };
                if let Said::By(Some(owner)) = self.owner_said(&self.signer, &path)? {
                    let pair = (second.suffix.clone(), ours.to_owned());
                    let right = owner.repository == self.id && owner.key == theirs;
                    return Ok(right && owner.seconds.contains(&pair));
                }
            }
        }
        Ok(false)
    }

    /// What a signer has said of an index's owner.
    fn owner_said(&self, signer: &Signer, path: &str) -> Result<Said> {
        let Some(signed) = below::read(&self.root, path)? else {
            return Ok(Said::Nothing);
        };
        let keyring = Keyring::read(&signer.public_key()?, None)?;
        Ok(match verify(&signed, &keyring) {
            Ok(verified) => Said::By(Claims::parse(&verified.text).owner),
            Err(_) => Said::Wrong,
        })
    }
}

/// See [`Repository::owner_said`].
enum Said {
    /// There is no such index.
    Nothing,
    /// Somebody else has signed it.
    Wrong,
    By(Option<Owner>),
}
