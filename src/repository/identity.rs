//! Which repository a directory has: `.imgforge/repository.json`, what must stay the same for ever.
//! Nobody has signed that file, and whoever can write to the directory can change it at any moment:
//! it is read once, with the records, and what it says counts as far as signed texts say so, too.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::replica::KEY_FILE;
use super::seen::RememberedRepository;
use super::state::State;
use super::{Repository, below, check_name, files, set};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, fingerprints_of, verify_all};
use crate::index::Claims;

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

/// Whether there is such a file in `root`, readable or not, or a signed text that says the same.
pub(super) fn is_told(root: &Path) -> Result<bool> {
    Ok(root.join(PATH).symlink_metadata().is_ok() || !telling(root)?.is_empty())
}

/// The paths of the signed texts that say which repository it is, whatever the records say.
pub(super) fn telling(root: &Path) -> Result<Vec<String>> {
    let mut channels = below::names(root, "channels")?;
    channels.retain(|name| check_name("channel", name).is_ok());
    let indexes = channels
        .iter()
        .map(|name| format!("channels/{name}/index.asc"));
    let all = [set::PATH.to_owned(), "index.asc".to_owned()].into_iter();
    let all = all.chain(indexes);
    Ok(all.filter(|path| root.join(path).is_file()).collect())
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
    /// Makes the file, where it is missing: as what is signed there says, if it was lost.
    pub(super) fn identify(&self) -> Result<()> {
        if let Some(found) = Identity::read(&self.root)? {
            return self.refuse_other_default(&found.default_channel);
        }
        let new = State {
            id: self.signed_id()?.unwrap_or_else(new_id),
            default_channel: self.default_channel.clone(),
            ..State::default()
        };
        let (path, bytes) = Identity::file(&new)?;
        files::write(&self.root, &path, &bytes)
    }

    /// Which repository it is, as one of its signed texts says; none by an older imgforge does.
    fn signed_id(&self) -> Result<Option<String>> {
        let paths = telling(&self.root)?;
        if paths.is_empty() {
            return Ok(None);
        }
        let read = |path: &String| below::read_present(&self.root, path);
        let texts = paths.iter().map(read).collect::<Result<Vec<_>>>()?;
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let (mut right, mut id) = (false, None);
        for (path, verified) in paths.iter().zip(verify_all(&texts, &self.signing()?)?) {
            let Ok(verified) = verified else { continue };
            right = true;
            let claims = Claims::parse(&verified.text);
            if let Some(default) = claims.channel.filter(|_| claims.default) {
                self.refuse_other_default(&default)?;
            }
            id = id.or(match path == set::PATH {
                true => set::repository(&verified.text),
                false => claims.owner.map(|owner| owner.repository),
            });
        }
        if right {
            return Ok(id);
        }
        Err(Error::gate(format!(
            "{} has no {PATH}, and no signed file here says which repository it is",
            self.root.display()
        ))
        .cause(format!(
            "{} is not signed by a key of this repository",
            paths.join(" and ")
        ))
        .hint(format!(
            "restore {PATH} from a backup or a copy, or its `id` from the line `# imgforge \
             repository=` of an index that you trust"
        )))
    }

    /// The keys that count before anybody knows which repository it is.
    fn signing(&self) -> Result<Keyring> {
        let offered = below::read(&self.root, KEY_FILE)?;
        if self.signers.is_named() {
            return self.signers.keyring(offered.as_deref());
        }
        let theirs = offered.map(|key| fingerprints_of(&key)).transpose()?;
        // In a rotation of imgforge's own keys the old one does.
        let own = self
            .signer
            .own_with(&theirs.unwrap_or_default().join(" "))?;
        Keyring::read(&own.as_ref().unwrap_or(&self.signer).public_key()?, None)
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
