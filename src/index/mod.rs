//! The index of a repository in virt-builder's native format.
//!
//! [`parse()`] is lenient: it takes every file that some released virt-builder takes. [`check()`]
//! applies the rules that clients enforce after parsing, where one mistake makes all of a
//! client's repositories unusable. [`write()`] is strict: what it writes, every client reads.

mod check;
mod claims;
pub mod clients;
mod parse;
mod reference;
#[cfg(test)]
mod tests;
mod write;

pub use check::check;
pub use claims::{Claims, Owner};
pub use parse::{Field, Section, parse};
pub use reference::Reference;
pub use write::write;

use crate::machine;
use std::fmt;

/// A mistake in an index, with the number of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when there is no file yet.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

/// One image for one architecture, as the index describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexEntry {
    /// The name that users type; letters, digits and `-._`.
    pub id: String,
    /// One line for people.
    pub name: Option<String>,
    /// Short id in the libosinfo database.
    pub osinfo: Option<String>,
    /// Architecture; clients compare it with the kernel's spelling.
    pub arch: String,
    /// Path of the blob, relative to the index.
    pub file: String,
    /// Path of a detached signature (deprecated; a checksum replaces it).
    pub sig: Option<String>,
    /// SHA-512 of the blob, in lower-case hex.
    pub sha512: Option<String>,
    /// What clients cache the blob by.
    pub revision: u64,
    /// Format of the disk inside the blob.
    pub format: Option<String>,
    /// Size of the disk as a guest sees it, in bytes.
    pub size: u64,
    /// Size of the blob, in bytes.
    pub compressed_size: Option<u64>,
    /// The partition that grows with the disk.
    pub expand: Option<String>,
    /// The logical volume that grows with the disk.
    pub lvexpand: Option<String>,
    /// Text for people: language (none for the default one) and lines.
    pub notes: Vec<(Option<String>, String)>,
    /// Other names of the image.
    pub aliases: Vec<String>,
    /// Whether lists leave the image out.
    pub hidden: bool,
    /// Fields that only others know: `key` or `key[subkey]`, and value.
    pub other: Vec<(String, String)>,
}

/// The largest revision that clients can hold, a 63-bit signed number.
pub const MAX_REVISION: u64 = (1 << 62) - 1;

/// The hidden entry of an index without images: current clients cannot read an empty signed index.
pub const PLACEHOLDER: &str = "imgforge-empty";

/// Brings the spellings of an architecture together as clients do; `arm64` is not one that they know.
pub fn normalize_arch(arch: &str) -> &str {
    machine::canonical(arch)
}

/// Whether `id` can be the name of an entry or a channel.
pub fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Whether `path` can be the path of a blob: relative, and the same before and after URL-escaping.
fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with('/')
        && path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._/+~".contains(&b))
}
