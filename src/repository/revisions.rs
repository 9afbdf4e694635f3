//! Which revision of a name has which bytes: `.imgforge/revisions/NAME.json`, never shortened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files;
use crate::error::{Error, Result};
use crate::index::MAX_REVISION;

/// All revisions that a name ever had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Revisions {
    version: u32,
    revisions: BTreeMap<u64, Bound>,
}

/// What a revision is bound to, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Bound {
    /// Architecture of the image.
    pub(super) arch: String,
    /// SHA-512 of the blob.
    pub(super) sha512: String,
    /// Path of the blob below the root; an older revision's when the bytes are the same.
    pub(super) file: String,
}

/// What [`Revisions::choose`] chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The number.
    pub(super) revision: u64,
    /// Path of the blob below the root.
    pub(super) file: String,
    /// Whether the number was allocated just now, and must be written down.
    pub(super) new: bool,
}

impl Revisions {
    /// Reads those of `name`; the caller holds the lock.
    pub(super) fn read(private: &Path, name: &str) -> Result<Self> {
        let none = Revisions {
            version: 1,
            revisions: BTreeMap::new(),
        };
        let found = files::read_json::<Self>(&path(private, name))?.unwrap_or(none);
        if found.version == 1 {
            return Ok(found);
        }
        Err(Error::usage(format!(
            "the revisions of `{name}` were written by a newer imgforge"
        ))
        .hint("use that version"))
    }

    /// Whether `name` ever had a revision.
    pub(super) fn exist(private: &Path, name: &str) -> bool {
        path(private, name).exists()
    }

    /// Writes them down, synced.
    pub(super) fn write(&self, private: &Path, name: &str) -> Result<()> {
        files::write_json(&path(private, name), self)
    }

    /// The blob with these bytes, if the name ever had one.
    pub(super) fn blob(&self, arch: &str, sha512: &str) -> Option<&Bound> {
        self.revisions
            .values()
            .find(|bound| bound.arch == arch && bound.sha512 == sha512)
    }

    /// The revision for these bytes: one above `current` that is bound to them, else a new one,
    /// bound to them from now on. `name` says where the blob of a new revision lies, unless an
    /// older one has the same bytes.
    pub(super) fn choose(
        &mut self,
        current: u64,
        arch: &str,
        sha512: &str,
        name: impl Fn(u64) -> String,
    ) -> Result<Choice> {
        let same = |bound: &Bound| bound.arch == arch && bound.sha512 == sha512;
        let above = self
            .revisions
            .iter()
            .rev()
            .find(|(n, bound)| **n > current && same(bound));
        if let Some((number, bound)) = above {
            return Ok(Choice {
                revision: *number,
                file: bound.file.clone(),
                new: false,
            });
        }
        // An index that lost its ledger still knows a number that must not come again.
        let last = self
            .revisions
            .keys()
            .next_back()
            .copied()
            .unwrap_or(0)
            .max(current);
        if last >= MAX_REVISION {
            return Err(Error::stage("there is no higher revision number"));
        }
        let revision = last + 1;
        let file = match self.blob(arch, sha512) {
            Some(bound) => bound.file.clone(),
            None => name(revision),
        };
        let bound = Bound {
            arch: arch.into(),
            sha512: sha512.into(),
            file: file.clone(),
        };
        self.revisions.insert(revision, bound);
        Ok(Choice {
            revision,
            file,
            new: true,
        })
    }
}

fn path(private: &Path, name: &str) -> PathBuf {
    private.join("revisions").join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_for_other_bytes() {
        let mut all = Revisions {
            version: 1,
            revisions: BTreeMap::new(),
        };
        let mut choose = |current, arch: &str, sha512: &str| {
            let choice = all
                .choose(current, arch, sha512, |number| format!("f{number}"))
                .unwrap();
            (choice.revision, choice.file, choice.new)
        };
        let is = |number, file: &str, new| (number, file.to_owned(), new);
        assert_eq!(choose(0, "x86_64", "a"), is(1, "f1", true));
        assert_eq!(choose(0, "x86_64", "a"), is(1, "f1", false), "a second try");
        assert_eq!(choose(0, "x86_64", "b"), is(2, "f2", true));
        assert_eq!(
            choose(0, "x86_64", "a"),
            is(1, "f1", false),
            "another channel"
        );
        assert_eq!(
            choose(2, "x86_64", "a"),
            is(3, "f1", true),
            "back to old bytes"
        );
        assert_eq!(choose(2, "x86_64", "a"), is(3, "f1", false));
        assert_eq!(
            choose(9, "x86_64", "c"),
            is(10, "f10", true),
            "a lost ledger"
        );
        assert_eq!(
            choose(0, "aarch64", "a"),
            is(11, "f11", true),
            "one counter for all"
        );
        assert!(
            all.choose(MAX_REVISION, "x86_64", "d", |_| String::new())
                .is_err()
        );
    }
}
