//! Kits: all that locked builds need, in one signed file, for hosts without a network.
//!
//! A tar with `manifest.asc`, a clear-signed text of JSON, then one `blobs/SHA256` for each content that the
//! manifest has, in order, and nothing else: no member has a path of its own, a link or a mode. Equal contents
//! give equal files, but for the time of the signature.

mod manifest;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use manifest::{Content, Directory, Image, Manifest, RecipeFile};
pub use read::{Kit, is_kit};
pub use write::{Source, is_another, write};

/// The name of the manifest in the archive.
const MANIFEST: &str = "manifest.asc";

/// Where the contents are in the archive.
const BLOBS: &str = "blobs/";
