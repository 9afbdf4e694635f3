//! Digests of bytes and keys of stages, as values.

use std::fmt;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::holes;
use crate::text::as_text;

/// The key of a stage: the hash of everything its result depends on. 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key of these bytes (BLAKE3).
    pub fn of(bytes: &[u8]) -> Self {
        Key(blake3::hash(bytes).to_hex().to_string())
    }

    /// Parses 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let valid =
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Key(text.to_owned()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits: what people see, and `IMAGE_VERSION`.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest that somebody promises, 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "sha256"))]
pub struct Sha256(String);

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Sha256(hex::encode(sha2::Sha256::digest(bytes)))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Passes bytes on, and hashes and counts what it passes on.
#[derive(Debug)]
pub struct Hashed<W> {
    to: W,
    hasher: sha2::Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    /// Nothing has been written to `to` yet.
    pub fn new(to: W) -> Self {
        Hashed {
            to,
            hasher: sha2::Sha256::default(),
            size: 0,
        }
    }

    /// Where the bytes went, their digest, and how many they were. Nothing is flushed.
    pub fn finish(self) -> (W, Sha256, u64) {
        use sha2::Digest as _;
        let digest = Sha256(hex::encode(self.hasher.finalize()));
        (self.to, digest, self.size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use sha2::Digest as _;
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl FromStr for Sha256 {
    type Err = String;

    /// What is wrong is a sentence without its subject.
    fn from_str(text: &str) -> Result<Self, String> {
        match Key::parse(text) {
            Some(Key(digits)) => Ok(Sha256(digits)),
            None => Err("is not 64 lower-case hex digits; `sha256sum FILE` prints it".into()),
        }
    }
}

as_text!(as_str: Sha256);

/// A file that was read once, whole.
#[derive(Debug)]
pub struct Read {
    /// Its content.
    pub bytes: Vec<u8>,
    /// As a walk of the file tells it: `file`, its permissions, BLAKE3.
    pub found: String,
}

/// Reads a file, and says of the very bytes what a key is made of.
///
/// # Errors
/// When it cannot be read, or has more than `most` bytes, whatever it says of its size.
pub fn read(path: &Path, most: u64) -> io::Result<Read> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    let mut bytes = Vec::new();
    if file.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let found = format!("file {mode:o} {}", blake3::hash(&bytes).to_hex());
    Ok(Read { bytes, found })
}

/// The BLAKE3 digest of a file, in hex.
///
/// # Errors
/// When the file cannot be read.
pub fn file_blake3(path: &Path) -> Result<String> {
    let doing = || format!("reading {}", path.display());
    let mut hasher = blake3::Hasher::new();
    each(path, |bytes| {
        hasher.update(bytes);
    })
    .doing(doing)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The SHA-256 digest of a file, in hex.
///
/// # Errors
/// When the file cannot be read.
pub fn file_sha256(path: &Path) -> Result<String> {
    file_sha::<sha2::Sha256>(path)
}

/// The SHA-512 digest of a file, in hex.
///
/// # Errors
/// When the file cannot be read.
pub fn file_sha512(path: &Path) -> Result<String> {
    file_sha::<sha2::Sha512>(path)
}

fn file_sha<D: sha2::Digest>(path: &Path) -> Result<String> {
    let doing = || format!("reading {}", path.display());
    let mut hasher = D::new();
    each(path, |bytes| hasher.update(bytes)).doing(doing)?;
    Ok(hex::encode(hasher.finalize()))
}

/// Gives `take` the bytes of a file; one that is none of a file system (a pipe, a device) has its end
/// where reading ends.
fn each(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let about = file.metadata()?;
    if about.is_file() && about.len() > 0 {
        return holes::read(&file, 0..about.len(), take);
    }
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => take(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_of_all_bytes_of_a_file_whatever_size_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut bytes = vec![0; 3 << 20];
        bytes[2_000_000..2_000_004].copy_from_slice(b"data");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", 2_000_000).unwrap();
        let version = std::fs::read("/proc/version").unwrap();
        for (path, bytes) in [(&*path, bytes), (Path::new("/proc/version"), version)] {
            use sha2::Digest as _;
            let expected = blake3::hash(&bytes).to_hex().to_string();
            assert_eq!(file_blake3(path).unwrap(), expected);
            let expected = hex::encode(sha2::Sha512::digest(&bytes));
            assert_eq!(file_sha512(path).unwrap(), expected);
        }
    }
}
