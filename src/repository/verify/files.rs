//! Files with a known digest.

use std::path::Path;

use sha2::{Digest as _, Sha512};

use super::Audit;
use crate::error::Result;
use crate::gpg::verify_detached;
use crate::http::Piece;
use crate::repository::below;

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) size: Option<u64>,
    sha512: String,
    /// A signature lies beside it.
    pub(super) signed: bool,
    /// Who says so.
    by: String,
}

impl Expected {
    pub(super) fn new(size: Option<u64>, sha512: &str) -> Self {
        Expected {
            size,
            sha512: sha512.to_owned(),
            signed: false,
            by: String::new(),
        }
    }

    pub(super) fn of(mut self, by: &str) -> Self {
        by.clone_into(&mut self.by);
        self
    }

    /// Two entry points must not say different things about one file.
    pub(super) fn conflict(&self, other: &Expected) -> Option<String> {
        let sizes = self.size.is_some() && other.size.is_some() && self.size != other.size;
        (self.sha512 != other.sha512 || sizes).then(|| {
            format!(
                "{} and {} contradict each other about it",
                self.by, other.by
            )
        })
    }
}

impl Audit {
    /// Says how a file differs from what it must be.
    pub(super) fn compare_one(
        &mut self,
        path: &str,
        expected: &Expected,
        progress: impl Fn(u64),
    ) -> Result<Option<String>> {
        let Ok(url) = self.base.below(path) else {
            return Ok(Some(format!("{} leads out of the repository", expected.by)));
        };
        // Of a directory no link is followed, nor a pipe or a device read.
        if let Some(root) = &self.root
            && let Err(cause) = below::open(root, Path::new(path))
        {
            let error = below::explained(root, path, "reading", cause);
            return Ok(Some(format!("{} names it, and {error}", expected.by)));
        }
        let mut hasher = Sha512::new();
        let mut size = 0;
        let mut stream = match self.client.open_at(&url, 0, None, None) {
            Ok(stream) => stream,
            Err(error) => {
                crate::host::interrupt::check()?;
                return Ok(Some(format!("{} names it, and {error}", expected.by)));
            }
        };
        loop {
            match stream.next_piece() {
                Ok(Some(Piece::Bytes(bytes))) => {
                    hasher.update(&bytes);
                    size += bytes.len() as u64;
                    if expected.size.is_some_and(|expected| size > expected) {
                        break;
                    }
                    progress(size);
                }
                Ok(Some(Piece::Restart)) => (hasher, size) = (Sha512::new(), 0),
                Ok(None) => break,
                Err(error) => {
                    crate::host::interrupt::check()?;
                    return Ok(Some(error.to_string()));
                }
            }
        }
        self.report.files += 1;
        self.report.bytes += size;
        if expected.size.is_some_and(|expected| expected != size) {
            let has = if Some(size) > expected.size {
                "at least "
            } else {
                ""
            };
            return Ok(Some(format!(
                "it has {has}{size} bytes, and {} says otherwise",
                expected.by
            )));
        }
        let found = hex::encode(hasher.finalize());
        let same = found == expected.sha512;
        Ok((!same).then(|| format!("its SHA-512 is not what {} says", expected.by)))
    }

    /// Says what is wrong with the signature beside a file.
    pub(super) fn detached(&mut self, path: &str) -> Result<Option<String>> {
        let Some(signature) = self.read(&format!("{path}.asc"))? else {
            return Ok(Some("the signature is missing".into()));
        };
        let Some(bytes) = self.read(path)? else {
            return Ok(None);
        };
        let copy = self.scratch.join("signed");
        crate::error::Context::doing(std::fs::write(&copy, bytes), || "keeping a file".into())?;
        let result = verify_detached(&copy, &signature, &self.keyring);
        Ok(result.err().map(|error| error.to_string()))
    }
}
