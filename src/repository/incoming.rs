//! Blobs on their way in: copied, verified and synced beside the repository's own files, so that
//! one rename moves each to its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256, Sha512};

use super::publication::{Companion, Source};
use super::state::CompanionRecord;
use super::{below, files, lock};
use crate::error::{Error, Result};
use crate::gpg::{Sign, Signer};

const INCOMING: &str = ".imgforge/incoming";

/// A directory of files on their way in; what is still there is removed with it.
#[derive(Debug)]
pub(super) struct Incoming {
    root: PathBuf,
    /// Its path below the root.
    dir: String,
    /// Every file, by name.
    names: Vec<String>,
    companions: BTreeMap<String, CompanionRecord>,
    _lock: File,
}

impl Incoming {
    /// Makes a directory of its own below the repository's root; the caller holds the lock of that.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let dir = format!("{INCOMING}/{}", uuid::Uuid::new_v4().simple());
        below::create_dir(root, &format!("{dir}/files"))?;
        let path = format!("{dir}/lock");
        let file = below::create(root, Path::new(&path));
        let file = file.map_err(|cause| below::explained(root, &path, "writing", cause))?;
        if !lock::try_now(&file) {
            return Err(Error::internal(format!("{dir} is in use already")));
        }
        Ok(Incoming {
            root: root.to_owned(),
            dir,
            names: vec![],
            companions: BTreeMap::new(),
            _lock: file,
        })
    }

    /// The names of the files.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    /// The files that will lie beside the blob; their paths are names only.
    pub(super) fn companions(&self) -> BTreeMap<String, CompanionRecord> {
        self.companions.clone()
    }

    /// Takes a file in that will lie beside the blob.
    pub(super) fn companion(&mut self, companion: &Companion) -> Result<()> {
        let name = &companion.name;
        let mut sha256 = Sha256::new();
        let (size, sha512) = match &companion.source {
            Source::File(path) => {
                let to = self.inside(name);
                let copied = files::copy(path, &self.root, &to, |bytes| sha256.update(bytes))?;
                self.names.push(name.clone());
                copied
            }
            Source::Bytes(bytes) => {
                self.add(name, bytes)?;
                sha256.update(bytes);
                (bytes.len() as u64, hex::encode(Sha512::digest(bytes)))
            }
        };
        let beside = CompanionRecord {
            path: name.clone(),
            size,
            sha256: hex::encode(sha256.finalize()),
            sha512,
            signed: companion.signed,
            about: companion.about.clone(),
        };
        self.companions.insert(name.clone(), beside);
        Ok(())
    }

    /// Signs the files that want it.
    pub(super) fn sign(&mut self, signer: &Signer) -> Result<()> {
        let wanted = self.companions.iter().filter(|(_, beside)| beside.signed);
        let names: Vec<String> = wanted.map(|(name, _)| name.clone()).collect();
        let contents = names.iter().map(|name| self.unchanged(name));
        let contents = contents.collect::<Result<Vec<_>>>()?;
        let batch = contents
            .iter()
            .map(|bytes| (Sign::Detached, bytes.as_slice()));
        let signatures = signer.sign(&batch.collect::<Vec<_>>())?;
        for (name, signature) in names.iter().zip(signatures) {
            self.add(&format!("{name}.asc"), &signature)?;
        }
        Ok(())
    }

    /// A file beside the blob as it was taken in: others may write to the directory, too.
    fn unchanged(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.inside(name);
        let bytes = below::read_present(&self.root, &path)?;
        let found = hex::encode(Sha512::digest(&bytes));
        let beside = self.companions.get(name);
        if beside.is_some_and(|beside| beside.sha512 == found) {
            return Ok(bytes);
        }
        let path = self.root.join(path);
        Err(
            Error::gate(format!("{} was changed on its way in", path.display()))
                .cause("what was to be signed is not there any more")
                .hint("find out who writes to the repository's directory, then publish again"),
        )
    }

    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.inside(name);
        files::write_aside(&self.root, &path, &path, bytes)?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Where a file on its way in lies, below the repository's root.
    pub(super) fn inside(&self, name: &str) -> String {
        format!("{}/files/{name}", self.dir)
    }

    /// Copies a file in, synced.
    ///
    /// # Errors
    /// When it is not what `expected` says: size in bytes, and SHA-512.
    pub(super) fn copy(&mut self, name: &str, from: &Path, expected: (u64, &str)) -> Result<()> {
        let (size, found) = files::copy(from, &self.root, &self.inside(name), |_| {})?;
        if expected != (size, found.as_str()) {
            return Err(
                Error::stage(format!("{} is not what was packed", from.display()))
                    .cause(format!("it has {size} bytes and the SHA-512 {found}"))
                    .hint("build the image again: `imgforge build NAME --from pack`"),
            );
        }
        self.names.push(name.to_owned());
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What cannot be removed now, the next holder of the repository's lock removes.
        drop(below::remove_dir(&self.root, &self.dir));
    }
}

/// Removes what killed publishers left; the caller holds the repository's lock.
pub(super) fn clean(root: &Path) -> Result<()> {
    for name in below::names(root, INCOMING)? {
        let dir = format!("{INCOMING}/{name}");
        let lock = below::open(root, Path::new(&format!("{dir}/lock")));
        if !lock.is_ok_and(|file| !lock::try_now(&file)) {
            // Its owner may just be removing it, too.
            drop(below::remove_dir(root, &dir));
        }
    }
    Ok(())
}
