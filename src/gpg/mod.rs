//! gpg: who signs, whose signatures count, and what they cover.
//!
//! The private keys stay with gpg and its agent; what it verifies with is only ever told here.

mod agent;
pub mod expiry;
mod key;
pub mod keyboxd;
mod keyring;
mod listing;
mod signers;
mod verify;

pub use key::Signer;
pub use keyring::Keyring;
pub(crate) use listing::fingerprints_of;
pub use signers::Signers;
pub use verify::{Verified, verify, verify_all, verify_any, verify_detached};

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
