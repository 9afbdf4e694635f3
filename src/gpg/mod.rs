//! gpg: who signs, whose signatures count, and what they cover.
//!
//! The private keys stay with gpg and its agent; what it verifies with is only ever told here.

mod agent;
mod key;
pub mod keyboxd;
mod keyring;
mod listing;
mod memo;
mod signers;
mod verify;

pub use key::Signer;
pub use keyring::Keyring;
pub(crate) use listing::fingerprints_of;
pub use listing::{Key, keys};
pub use signers::Signers;
pub use verify::{Verified, verify, verify_all, verify_any, verify_detached};

use crate::error::{Error, Kind, Result};

/// Whether this host lacks something, or somebody ended it: that says nothing of keys and signatures.
fn is_of_host(error: &Error) -> bool {
    matches!(error.kind(), Kind::Host | Kind::Interrupted(_))
}

/// What others wrote may be wrong, and then is nothing; what this host lacks is an error.
pub(crate) fn unless_host<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if is_of_host(&error) => Err(error),
        result => Ok(result.ok()),
    }
}

/// How a file is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is not.
    No,
    /// The file becomes a clear-signed text.
    Clear,
    /// The signature lies beside it, `PATH.asc`.
    Detached,
}
