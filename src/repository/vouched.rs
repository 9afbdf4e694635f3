//! What is signed is signed for ever, so a transaction signs no more than was signed before, and what
//! it changes itself. Records are not signed: whoever can write to the directory can change them.

use super::transaction::Transaction;
use super::{Repository, below, verify};
use crate::error::Result;
use crate::gpg::Keyring;

impl Transaction<'_> {
    /// Refuses the record of a name that says something else than what is signed. That comes before
    /// this transaction changes it.
    pub(super) fn vouch(&mut self, name: &str) -> Result<()> {
        self.vouch_for(vec![name.to_owned()])
    }

    /// As [`Transaction::vouch`], for all that will be signed.
    pub(super) fn vouch_all(&mut self) -> Result<()> {
        let names = match self.all {
            true => self.state.images.keys().cloned().collect(),
            false => self.names.iter().cloned().collect(),
        };
        self.vouch_for(names)
    }

    pub(super) fn vouch_for(&mut self, mut names: Vec<String>) -> Result<()> {
        names.retain(|name| !self.vouched.contains(name));
        if !names.is_empty() {
            verify::records(&self.state, &names, self.repository.trusted()?)?;
            self.vouched.extend(names);
        }
        Ok(())
    }
}

impl Repository {
    /// The public keys that this repository's indexes are checked with: of those who are named,
    /// as their copies in the repository renew them, else the one that signs, as gpg has it: what
    /// lies in the directory may change.
    pub(super) fn trusted(&self) -> Result<&Keyring> {
        if let Some(trusted) = self.trusted.get() {
            return Ok(trusted);
        }
        let keyring = if self.signers.is_named() {
            let offered = below::read(&self.root, "imgforge.gpg")?;
            self.signers.keyring(offered.as_deref())?
        } else {
            Keyring::read(&self.signer.public_key()?, None)?
        };
        Ok(self.trusted.get_or_init(|| keyring))
    }
}
