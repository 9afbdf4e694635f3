//! Which key signs a repository whose public key is another one than the configured key's: one rule
//! for who publishes and who reads. What lies in the directory is not signed, and the host may have
//! many keys: one counts here only because a text that one of them has signed says so of this very
//! repository. A key that this host knows to be retired never counts again.

use std::path::Path;

use jiff::Timestamp;

use super::renew::text_of;
use super::rotate::{Keys, second_path};
use super::seen::RememberedRepository;
use super::{Repository, State, below, files};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Signer, verify};
use crate::index::Claims;

/// A repository whose public key is not that of the signing key.
pub(super) struct Former<'a> {
    pub(super) root: &'a Path,
    pub(super) state: &'a State,
    pub(super) seen: Option<&'a RememberedRepository>,
    /// The configured key, or the newest of imgforge's own, and its fingerprint.
    pub(super) signer: &'a Signer,
    pub(super) ours: &'a str,
    /// Fingerprint of the repository's.
    pub(super) theirs: &'a str,
}

impl Former<'_> {
    /// The repository's key, if it signs: while a rotation is not finished, the old one does,
    /// whichever of the two is configured; and an older one of imgforge's own goes on where nobody
    /// has begun a rotation.
    pub(super) fn find(&self) -> Result<Option<Signer>> {
        if self.is_over() {
            return Ok(None);
        }
        let own = self.signer.own_with(self.theirs)?;
        let signs = match &own {
            Some(own) => self.signs_here(own)? == Some(true),
            None => false,
        };
        Ok((signs || self.awaits()?)
            .then(|| own.unwrap_or_else(|| self.signer.with_key(self.theirs, false))))
    }

    /// One of imgforge's own keys, where nothing is published yet.
    fn unpublished(&self) -> Result<Option<Signer>> {
        match self.signer.own_with(self.theirs)? {
            Some(own) if !self.is_over() && self.signs_here(&own)?.is_none() => Ok(Some(own)),
            _ => Ok(None),
        }
    }

    /// Whether this host knows that the key signs no more, or that another repository was here.
    fn is_over(&self) -> bool {
        let Some(memory) = self.seen.map(RememberedRepository::read) else {
            return false;
        };
        let other = memory.repository.is_some_and(|id| id != self.state.id);
        other || memory.retired.contains(self.theirs)
    }

    /// Whether one of imgforge's own keys signs this repository, by an index of its own; none where
    /// there is no index.
    fn signs_here(&self, own: &Signer) -> Result<Option<bool>> {
        for channel in self.state.channels.keys() {
            let claims = self.said(own, &self.state.index_path(channel))?;
            return Ok(Some(match claims {
                Said::Nothing => continue,
                Said::Wrong => false,
                // One without an owner is by an older imgforge.
                Said::By(claims) => claims.owner.is_none_or(|owner| {
                    owner.repository == self.state.id && owner.key == self.theirs
                }),
            }));
        }
        Ok(None)
    }

    /// Whether our key has signed, in a rotation of this repository that goes on, that the other
    /// signs it.
    fn awaits(&self) -> Result<bool> {
        let keys = files::read_json::<Keys>(self.root, ".imgforge/keys.json")?.unwrap_or_default();
        let mut seconds = keys.seconds.into_iter();
        let Some(second) = seconds.find(|second| second.fingerprint == self.ours) else {
            return Ok(false);
        };
        let pair = (second.suffix, second.fingerprint);
        for channel in self.state.channels.keys() {
            let Some(path) = second_path(&self.state.index_path(channel), &pair.0) else {
                continue;
            };
            if let Said::By(claims) = self.said(self.signer, &path)? {
                let fresh = claims.expired(Timestamp::now()).is_none();
                return Ok(claims.owner.is_some_and(|owner| {
                    fresh
                        && owner.repository == self.state.id
                        && owner.key == self.theirs
                        && owner.seconds.contains(&pair)
                }));
            }
        }
        Ok(false)
    }

    /// What a signer has said in an index.
    fn said(&self, signer: &Signer, path: &str) -> Result<Said> {
        let Some(signed) = below::read(self.root, path)? else {
            return Ok(Said::Nothing);
        };
        let keyring = Keyring::read(&signer.public_key()?, None)?;
        Ok(match verify(&signed, &keyring) {
            Ok(verified) => Said::By(Claims::parse(&verified.text)),
            Err(_) => Said::Wrong,
        })
    }
}

/// See [`Former::said`].
enum Said {
    /// There is no such index.
    Nothing,
    /// Somebody else has signed it.
    Wrong,
    By(Claims),
}

impl Repository {
    /// Goes on with the key that signs, which is not the configured one.
    pub(super) fn former_key(&mut self, theirs: &str, ours: &str) -> Result<String> {
        let state = State::read(&self.root)?;
        let former = Former {
            root: &self.root,
            state: &state,
            seen: self.seen.as_ref(),
            signer: &self.signer,
            ours,
            theirs,
        };
        let found = match former.find()? {
            None => former.unpublished()?,
            found => found,
        };
        match found {
            Some(found) => {
                self.signer = found;
                Ok(theirs.to_owned())
            }
            None => Err(self.not_by(theirs, ours)?),
        }
    }

    /// The key that signs, as an index says; nobody has verified that yet.
    pub(super) fn named_key(&self) -> Result<Option<String>> {
        let state = State::read(&self.root)?;
        for channel in state.channels.keys() {
            let signed = below::read(&self.root, &state.index_path(channel))?;
            let claims = signed.map(|signed| Claims::parse(&text_of(&signed)));
            if let Some(owner) = claims.and_then(|claims| claims.owner) {
                return Ok(Some(owner.key));
            }
        }
        Ok(None)
    }

    fn not_by(&self, theirs: &str, ours: &str) -> Result<Error> {
        let keys = self.written_keys()?.unwrap_or_default();
        let root = self.root.display();
        let error = Error::usage(format!(
            "{root} is signed by the key {theirs}, not by {ours}"
        ));
        let retired = self.seen.as_ref();
        if let Some(seen) = retired.filter(|seen| seen.read().retired.contains(theirs)) {
            return Ok(error
                .cause("a rotation from that key to another was finished here")
                .hint(seen.go_back()));
        }
        let begun = keys
            .seconds
            .iter()
            .find(|second| second.fingerprint == ours);
        Ok(if let Some(second) = begun {
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
}
