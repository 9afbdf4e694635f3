//! Reads kits, which anybody can have written: nothing of one is used before all of it is verified.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tar::{Archive, Entry, EntryType};

use super::{BLOBS, MANIFEST, Manifest};
use crate::digest::{Hashed, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::gpg::{self, Keyring};
use crate::host::interrupt;

/// The largest manifest, in bytes: of a hundred thousand files.
const LARGEST: u64 = 64 << 20;

/// How much is copied until it is asked whether to end, in bytes.
const CHUNK: u64 = 8 << 20;

/// A kit that is verified: each content has the digest that somebody who counts has signed.
#[derive(Debug)]
pub struct Kit {
    path: PathBuf,
    file: File,
    /// What it has.
    pub manifest: Manifest,
    /// The fingerprint of who signed it.
    pub signer: String,
    /// First byte and size of each content.
    places: BTreeMap<Sha256, (u64, u64)>,
}

impl Kit {
    /// Opens a kit, and reads all of it.
    ///
    /// # Errors
    /// When none of the keys in `keyring` has signed it, or something in it is not what was signed.
    pub fn open(path: &Path, keyring: &Keyring) -> Result<Kit> {
        let shown = path.display();
        let cannot =
            |cause: io::Error| Error::usage(format!("the kit {shown} cannot be read")).cause(cause);
        let refuse = |why: String| {
            Error::gate(format!("{shown} is refused"))
                .cause(why)
                .hint("nothing was written; export it again, and copy it once more")
        };
        // A pipe that nobody writes to would keep whoever opens it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let file = File::from(file.map_err(cannot)?);
        let about = file.metadata().map_err(cannot)?;
        if !about.is_file() {
            return Err(cannot(io::Error::other("it is not a file"))
                .hint("all of a kit is verified before it is used: copy it into a file"));
        }
        let broken = |cause: io::Error| refuse(format!("it is cut off, or not a kit: {cause}"));
        let mut archive = Archive::new(&file);
        // What archives say of long names and sizes beside a member's header is not obeyed.
        let mut entries = archive.entries().map_err(broken)?.raw(true);
        let mut first = match entries.next() {
            Some(first) => first.map_err(broken)?,
            None => return Err(refuse("it is empty".into())),
        };
        if name(&first).as_deref() != Some(MANIFEST) || first.size() > LARGEST {
            return Err(refuse(format!("its first member is not {MANIFEST}")));
        }
        let mut signed = vec![];
        first.read_to_end(&mut signed).map_err(broken)?;
        let verified = gpg::verify(&signed, keyring).map_err(|error| {
            let hint = "--key FILE names the public key of who exported it";
            error.within(format!("{shown} is refused")).hint(hint)
        })?;
        let manifest = Manifest::read(&verified.text)
            .map_err(|error| error.within(format!("{shown} is refused")))?;
        let sizes = manifest.sizes().map_err(&refuse)?;
        let mut places = BTreeMap::new();
        let mut end = padded(first.raw_file_position(), signed.len() as u64);
        for (sha256, size) in sizes {
            let missing = || refuse(format!("it has not the content {sha256}"));
            let mut entry = entries.next().ok_or_else(missing)?.map_err(broken)?;
            if name(&entry).as_deref() != Some(&format!("{BLOBS}{sha256}")) {
                return Err(refuse(format!(
                    "{} is in the place of the content {sha256}",
                    String::from_utf8_lossy(&entry.path_bytes())
                )));
            }
            if entry.size() != size {
                return Err(refuse(format!("the content {sha256} has another size")));
            }
            let mut hashed = Hashed::new(io::sink());
            copy(&mut entry, &mut hashed)?.map_err(broken)?;
            let (_, found, read) = hashed.finish();
            if read != size {
                return Err(refuse("it is cut off".into()));
            }
            if found != *sha256 {
                return Err(refuse(format!(
                    "the content {sha256} was changed: it is {found}"
                )));
            }
            let at = entry.raw_file_position();
            places.insert(sha256.clone(), (at, size));
            end = padded(at, size);
        }
        if let Some(more) = entries.next() {
            let more = more.map_err(broken)?;
            let name = String::from_utf8_lossy(&more.path_bytes()).into_owned();
            return Err(refuse(format!("it has {name:?}, which nobody has signed")));
        }
        if about.len() != end + 1024 {
            return Err(refuse("it does not end where its contents do".into()));
        }
        Ok(Kit {
            path: path.to_owned(),
            manifest,
            signer: verified.fingerprint,
            places,
            file,
        })
    }

    /// A content, if it still is what it was.
    ///
    /// # Errors
    /// When it cannot be read, is larger than `most` bytes, or was changed meanwhile.
    pub fn bytes(&self, sha256: &Sha256, most: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![];
        let size = self.places.get(sha256).map_or(0, |(_, size)| *size);
        if size > most {
            return Err(Error::gate(format!("{} is refused", self.path.display()))
                .cause(format!("the file {sha256} has {size} bytes")));
        }
        self.copy(sha256, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies a content, if it still is what it was.
    ///
    /// # Errors
    /// When it was changed meanwhile, or one of both cannot be read or written.
    pub fn copy(&self, sha256: &Sha256, to: &mut impl io::Write) -> Result<()> {
        let (at, size) = self.places.get(sha256).copied().unwrap_or_default();
        let mut hashed = Hashed::new(to);
        let mut file = &self.file;
        let doing = || format!("unpacking {}", self.path.display());
        file.seek(SeekFrom::Start(at)).doing(doing)?;
        copy(&mut file.take(size), &mut hashed)?.doing(doing)?;
        match hashed.finish().1 == *sha256 {
            true => Ok(()),
            false => Err(Error::stage(format!("{} failed", doing()))
                .cause(format!("the content {sha256} was changed meanwhile"))),
        }
    }
}

/// As [`io::copy`], until somebody ends imgforge.
fn copy(from: &mut impl Read, to: &mut impl io::Write) -> Result<io::Result<u64>> {
    let mut all = 0;
    loop {
        interrupt::check()?;
        match io::copy(&mut from.by_ref().take(CHUNK), to) {
            Ok(0) => return Ok(Ok(all)),
            Ok(copied) => all += copied,
            Err(cause) => return Ok(Err(cause)),
        }
    }
}

/// Whether a file begins as kits do; nothing in it is verified.
pub fn is_kit(file: &File) -> bool {
    let mut first = [0; MANIFEST.len() + 1];
    let read = file.read_exact_at(&mut first, 0);
    read.is_ok() && first.strip_prefix(MANIFEST.as_bytes()) == Some(&[0])
}

/// The name of a member that is a plain file.
fn name<R: Read>(entry: &Entry<'_, R>) -> Option<String> {
    let is_file = entry.header().entry_type() == EntryType::Regular;
    let name = String::from_utf8(entry.path_bytes().into_owned()).ok();
    name.filter(|_| is_file)
}

/// Where a member ends that begins at `at`.
fn padded(at: u64, size: u64) -> u64 {
    at.saturating_add(size).next_multiple_of(512)
}
