//! Which repository a directory has: `.imgforge/repository.json`, what must stay the same for ever.
//! Nobody has signed that file, and whoever can write to the directory can change it at any moment:
//! it is read once, with the records, and what it says counts as far as signed texts say so, too.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::seen::RememberedRepository;
use super::state::State;
use super::{Repository, check_name, files};
use crate::error::{Error, Result};

const PATH: &str = ".imgforge/repository.json";

/// `.imgforge/repository.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Identity {
    version: u32,
    /// Made up once; a copy has the same.
    pub(super) id: String,
    pub(super) default_channel: String,
}

/// An id that no repository has.
pub(super) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// Whether there is such a file in `root`, readable or not.
pub(super) fn is_there(root: &Path) -> bool {
    root.join(PATH).symlink_metadata().is_ok()
}

impl Identity {
    /// Reads that of the repository in `root`, if there is one.
    ///
    /// # Errors
    /// When it is damaged, or not what imgforge writes: it gets into signed texts.
    pub(super) fn read(root: &Path) -> Result<Option<Self>> {
        let Some(found) = files::read_json::<Self>(root, PATH)? else {
            return Ok(None);
        };
        if found.version != 1 {
            return Err(
                Error::usage(format!("{} was made by a newer imgforge", root.display()))
                    .hint("use that version, or publish to another directory"),
            );
        }
        let path = root.join(PATH).display().to_string();
        let wrong = |why: String| {
            Error::gate(format!("{path} is not what imgforge writes: {why}")).hint(
                "find out who changed it, and restore it from a backup or a copy of the repository",
            )
        };
        let id = Uuid::try_parse(&found.id).map(|id| id.to_string());
        if id.as_ref() != Ok(&found.id) {
            return Err(wrong(format!("{:?} is not a UUID", found.id)));
        }
        check_name("channel", &found.default_channel).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(found))
    }

    /// That of a repository that was read, as a file.
    ///
    /// # Errors
    /// Never, in fact.
    pub(super) fn file(state: &State) -> Result<(String, Vec<u8>)> {
        let identity = Identity {
            version: 1,
            id: state.id.clone(),
            default_channel: state.default_channel.clone(),
        };
        Ok((PATH.into(), files::json(&identity)?))
    }
}

impl Repository {
    /// Makes the file, where it is missing.
    pub(super) fn identify(&self) -> Result<()> {
        match Identity::read(&self.root)? {
            Some(found) => self.refuse_other_default(&found.default_channel),
            None => {
                let new = State {
                    id: new_id(),
                    default_channel: self.default_channel.clone(),
                    ..State::default()
                };
                let (path, bytes) = Identity::file(&new)?;
                files::write(&self.root, &path, &bytes)
            }
        }
    }

    /// The default channel cannot change.
    pub(super) fn refuse_other_default(&self, found: &str) -> Result<()> {
        if *found == self.default_channel {
            return Ok(());
        }
        Err(Error::usage(format!(
            "the default channel of {} is `{found}`, not `{}`",
            self.root.display(),
            self.default_channel
        ))
        .hint(format!("write `default-channel: {found}` in imgforge.yaml")))
    }

    /// Whether this host has seen the repository with this id.
    pub(super) fn has_seen(&self, id: &str) -> bool {
        let memory = self.seen.as_ref().map(RememberedRepository::read);
        memory.is_some_and(|memory| memory.repository.as_deref() == Some(id))
    }
}
