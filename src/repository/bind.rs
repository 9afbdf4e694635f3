//! Which revision some bytes get: a number is never used for other bytes.

use super::files;
use super::manifest::revision_dir;
use super::state::{Image, Revision, State};
use super::transaction::Transaction;
use crate::error::{Error, Result};
use crate::index::MAX_REVISION;

/// The number of a revision, and whether nothing was published under it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) number: u64,
    pub(super) new: bool,
}

/// How a number is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// One that is bound to the same bytes already, if it is above what the channel has.
    Reuse,
    /// Always a new one: a rollback must look newer than what it takes back.
    Fresh,
}

impl Image {
    /// The oldest published revision with these bytes whose files are there.
    pub(super) fn with_bytes(&self, arch: &str, sha512: &str) -> Option<(u64, &Revision)> {
        let same = |revision: &Revision| revision.arch == arch && revision.sha512 == sha512;
        let mut all = self.published().filter(|(_, revision)| same(revision));
        all.clone()
            .find(|(_, revision)| revision.removed.is_none())
            .or_else(|| all.next())
            .map(|(number, revision)| (*number, revision))
    }

    /// The number for these bytes in a channel that has `current`.
    pub(super) fn choose(
        &self,
        current: u64,
        arch: &str,
        sha512: &str,
        how: Number,
    ) -> Result<Bound> {
        let fits = |revision: &Revision| {
            revision.arch == arch && revision.sha512 == sha512 && revision.yanked.is_none()
        };
        let above = self
            .revisions
            .iter()
            .rev()
            .find(|(number, revision)| **number > current && fits(revision));
        if let (Some((number, revision)), Number::Reuse) = (above, how) {
            return Ok(Bound {
                number: *number,
                new: revision.pending,
            });
        }
        // An index whose record was lost still knows a number that must not come again.
        let last = self.revisions.keys().next_back().copied().unwrap_or(0);
        let last = last.max(current);
        if last >= MAX_REVISION {
            return Err(Error::stage("there is no higher revision number"));
        }
        Ok(Bound {
            number: last + 1,
            new: true,
        })
    }
}

impl Transaction<'_> {
    /// Binds a revision to its bytes as [`Image::choose`] says, written down at once: should the transaction be killed
    /// later, the number still never gets other bytes. The path of a new revision's blob is made
    /// from `directory`, the blob's name, unless an older one has the same bytes.
    pub(super) fn bind(
        &mut self,
        name: &str,
        Bound { number, new }: Bound,
        mut revision: Revision,
    ) -> Result<u64> {
        let image = self.image(name);
        if new {
            match image.with_bytes(&revision.arch, &revision.sha512) {
                Some((older, same)) => {
                    revision.same_as = Some(same.same_as.unwrap_or(older));
                    revision.file = same.file.clone();
                    revision.companions = same.companions.clone();
                }
                None => {
                    let dir = revision_dir(name, number);
                    revision.file = format!("{dir}/{}", revision.file);
                    for (name, beside) in &mut revision.companions {
                        beside.path = format!("{dir}/{name}");
                    }
                }
            }
            image.revisions.insert(number, revision.clone());
            self.write_down(name, number, revision)?;
        }
        Ok(number)
    }

    fn write_down(&self, name: &str, number: u64, revision: Revision) -> Result<()> {
        // What else this transaction changes in the record does not count yet.
        let saved = self.repository.saved(name)?;
        let mut saved = saved.unwrap_or_else(|| Image::new(name));
        let pending = Revision {
            pending: true,
            ..revision
        };
        saved.revisions.insert(number, pending);
        let (path, bytes) = State::image_file(&saved)?;
        self.repository.step("bind the revision");
        files::write(&self.repository.root, &path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Stamp;
    use super::*;

    fn revision(arch: &str, sha512: &str) -> Revision {
        Revision {
            arch: arch.into(),
            sha512: sha512.into(),
            file: String::new(),
            size: 1,
            virtual_size: 1,
            image_version: String::new(),
            title: String::new(),
            osinfo: None,
            expand: None,
            notes: None,
            companions: [].into(),
            built_on: vec![],
            same_as: None,
            pending: false,
            created: Stamp::now(),
            yanked: None,
            retired: None,
            removed: None,
        }
    }

    #[test]
    fn a_number_is_never_used_for_other_bytes() {
        let mut all = Image::new("a");
        let mut choose = |current, arch: &str, sha512: &str, how| {
            let bound = all.choose(current, arch, sha512, how).unwrap();
            if bound.new {
                let old = all.revisions.insert(bound.number, revision(arch, sha512));
                assert!(old.is_none());
            }
            (bound.number, bound.new)
        };
        use Number::{Fresh, Reuse};
        assert_eq!(choose(0, "x86_64", "a", Reuse), (1, true));
        assert_eq!(choose(0, "x86_64", "a", Reuse), (1, false), "a second try");
        assert_eq!(choose(0, "x86_64", "b", Reuse), (2, true));
        assert_eq!(
            choose(0, "x86_64", "a", Reuse),
            (1, false),
            "another channel"
        );
        assert_eq!(choose(2, "x86_64", "a", Reuse), (3, true), "old bytes");
        assert_eq!(choose(2, "x86_64", "a", Reuse), (3, false));
        assert_eq!(choose(2, "x86_64", "a", Fresh), (4, true), "a rollback");
        assert_eq!(choose(9, "x86_64", "c", Reuse), (10, true), "a lost record");
        assert_eq!(choose(0, "aarch64", "a", Reuse), (11, true), "one counter");
        all.revisions.get_mut(&4).unwrap().yanked = Some(Stamp::now());
        assert_eq!(all.choose(3, "x86_64", "a", Reuse).unwrap().number, 12);
        assert!(all.choose(MAX_REVISION, "x86_64", "d", Reuse).is_err());
        // Whoever was killed after that has published nothing under it.
        all.revisions.get_mut(&2).unwrap().pending = true;
        let bound = all.choose(0, "x86_64", "b", Reuse).unwrap();
        assert_eq!((bound.number, bound.new), (2, true));
        assert_eq!(all.with_bytes("x86_64", "b"), None);
    }
}
