//! Whom to trust for a repository of this host that nobody names a key for: one rule for all who
//! read it. Whoever can write to its directory can put another key there.

use std::path::Path;

use super::former::Former;
use super::seen::RememberedRepository;
use super::{State, below};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Signer, Signers, unless_host};
use crate::ui::Ui;

/// The public key in a repository.
const KEY_FILE: &str = "imgforge.gpg";

/// Why a keyring counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrustSource {
    /// This host signs the repository with it.
    Signs,
    /// It was there at first, or a command named it.
    Remembered,
    /// This host has a signing key, and the repository has another, which nobody knows.
    Stranger,
    /// It is there, and was never asked for before.
    First,
}

/// Finds the keyring for the repository in `root`: that of the signing key, if it is of this host;
/// what is remembered; else what is there, the first time.
///
/// # Errors
/// When gpg cannot be asked, or the key file cannot be read.
pub(crate) fn find(
    root: &Path,
    signer: Option<&Signer>,
    seen: &RememberedRepository,
) -> Result<Option<(TrustSource, Keyring)>> {
    let offered = below::read(root, KEY_FILE)?;
    let offered = offered.map(|bytes| unless_host(Keyring::read(&bytes, None)));
    let offered = offered.transpose()?.flatten();
    if let (Some(signer), Some(offered)) = (signer, &offered)
        && let Some(signer) = signs(root, signer, offered, seen)?
    {
        let keyring = Keyring::read(&signer.public_key()?, None)?;
        return Ok(Some((TrustSource::Signs, keyring)));
    }
    if seen.has_key() {
        let known = seen.remembered();
        return Ok(known.map(|keyring| (TrustSource::Remembered, keyring)));
    }
    if let Some(signer) = signer {
        let keyring = Keyring::read(&signer.public_key()?, None)?;
        let source = match offered {
            Some(_) => TrustSource::Stranger,
            None => TrustSource::Signs,
        };
        return Ok(Some((source, keyring)));
    }
    match offered {
        Some(keyring) if keyring.fingerprints.len() > 1 => Err(several(root, &keyring)),
        offered => Ok(offered.map(|keyring| (TrustSource::First, keyring))),
    }
}

/// One key signs a repository, and lies there alone.
fn several(root: &Path, keyring: &Keyring) -> Error {
    let file = root.join(KEY_FILE);
    let keys = keyring.fingerprints.join(" and ");
    Error::gate(format!("{} has more than one key", file.display()))
        .cause(format!("it has {keys}, and none of them is set as the trusted one"))
        .hint("find out who put the others there; write the right one's `fingerprint:` in imgforge.yaml")
}

/// The signing key of this host that is the one of the repository, by the rule of who publishes.
fn signs(
    root: &Path,
    signer: &Signer,
    offered: &Keyring,
    seen: &RememberedRepository,
) -> Result<Option<Signer>> {
    let [theirs] = offered.fingerprints.as_slice() else {
        return Ok(None);
    };
    let ours = Keyring::read(&signer.public_key()?, None)?.fingerprints;
    if ours.contains(theirs) {
        return Ok(Some(signer.clone()));
    }
    let Some(state) = unless_host(State::read(root))? else {
        return Ok(None);
    };
    let former = Former {
        root,
        state: &state,
        seen: Some(seen),
        signer,
        ours: &ours.join(" "),
        theirs,
    };
    match unless_host(former.find())?.flatten() {
        Some(found) if !found.is_own() => signer.secret_with(theirs),
        found => Ok(found),
    }
}

/// Whose signatures on the repository in `root` count, as [`find`] says. What is there the first time
/// is remembered by [`proved`].
pub(crate) fn signers(
    root: &Path,
    signer: Option<&Signer>,
    seen: &RememberedRepository,
    ui: &Ui,
) -> Result<Signers> {
    let Some((source, keyring)) = find(root, signer, seen)? else {
        return Ok(Signers::default());
    };
    if source == TrustSource::Stranger {
        ui.warning(stranger(root, &keyring));
    }
    Ok(Signers {
        first: source == TrustSource::First,
        ..Signers::of_keyring(keyring)
    })
}

/// Remembers whose signatures count from now on, if that was looked for the first time: all that was
/// asked of the repository has proved good.
pub(crate) fn proved(signers: &Signers, seen: &RememberedRepository, ui: &Ui) {
    let Some(keyring) = signers.known.as_ref().filter(|_| signers.first) else {
        return;
    };
    if let Err(error) = seen.remember(keyring, ui) {
        ui.warning(format!("the trusted keys cannot be remembered: {error}"));
    }
}

/// What is told of a key that is not this host's.
pub(crate) fn stranger(root: &Path, ours: &Keyring) -> String {
    format!(
        "the key in {} is not {}, with which this host signs, and it is not a trusted key; if the \
         repository's owner confirms it, write its fingerprint as `fingerprint:` of the repository \
         in imgforge.yaml",
        root.display(),
        ours.fingerprints.join(", ")
    )
}
