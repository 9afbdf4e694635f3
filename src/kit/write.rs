//! Writes kits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use tar::{EntryType, Header};

use super::{BLOBS, MANIFEST, Manifest};
use crate::digest::{Hashed, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::gpg::{Sign, Signer};
use crate::host::interrupt;

/// Where a content is taken from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a file, whose name people know.
    File(PathBuf, String),
}

/// Writes a kit whose contents come from `sources`. Each is compared with the digest that the manifest has.
///
/// # Errors
/// When a content is missing or another one, the manifest cannot be signed, or `to` cannot be written.
pub fn write(
    manifest: &Manifest,
    sources: &BTreeMap<Sha256, Source>,
    signer: &Signer,
    to: &File,
) -> Result<()> {
    let doing = || "writing the kit".to_owned();
    let wrong = |why: String| Error::internal("the kit would be refused").cause(why);
    manifest.check().map_err(wrong)?;
    let text = serde_json::to_string_pretty(manifest)
        .map_err(|cause| Error::internal("a manifest has no JSON form").cause(cause))?;
    let mut signed = signer.sign(&[(Sign::Clear, text.as_bytes())])?;
    let signed = signed.pop().unwrap_or_default();
    let mut to = BufWriter::with_capacity(1 << 20, to);
    let size = signed.len() as u64;
    member(&mut to, MANIFEST, size, &mut signed.as_slice()).doing(doing)?;
    for (sha256, size) in manifest.sizes().map_err(wrong)? {
        interrupt::check()?;
        let source = sources
            .get(sha256)
            .ok_or_else(|| wrong(format!("nobody has {sha256}")))?;
        let name = format!("{BLOBS}{sha256}");
        let mut hashed = Hashed::new(io::sink());
        let (shown, written) = match source {
            Source::Bytes(bytes) => {
                let mut from = Tee(bytes.as_slice(), &mut hashed);
                ("a recipe's file", member(&mut to, &name, size, &mut from))
            }
            Source::File(path, shown) => {
                let file = File::open(path).doing(|| format!("reading {}", path.display()))?;
                let mut from = Tee(file, &mut hashed);
                (shown.as_str(), member(&mut to, &name, size, &mut from))
            }
        };
        let found = hashed.finish().1;
        match written {
            Err(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(cause).doing(doing);
            }
            Ok(()) if found == *sha256 => {}
            _ => return Err(is_another(shown, &format!("sha256:{sha256}"))),
        }
    }
    to.write_all(&[0; 1024]).doing(doing)?;
    let to = to.into_inner().map_err(io::IntoInnerError::into_error);
    to.and_then(|to| to.sync_all()).doing(doing)
}

/// Says that what `shown` is known as has not the digest that a lock names.
pub fn is_another(shown: &str, digest: &str) -> Error {
    Error::gate(format!("{shown} is not what the lock names"))
        .cause(format!("expected {digest}"))
        .hint("`imgforge build NAME --locked` fetches again what is damaged")
}

/// One member with this many bytes of `from`, in whole blocks.
fn member(to: &mut impl Write, name: &str, size: u64, from: &mut impl Read) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    to.write_all(header.as_bytes())?;
    let written = io::copy(&mut from.take(size), to)?;
    if written != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let rest = (512 - size % 512) % 512;
    to.write_all(&[0; 512][..rest as usize])
}

/// Gives what it reads to a writer, too.
struct Tee<R, W>(R, W);

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.write_all(&into[..count])?;
        Ok(count)
    }
}
