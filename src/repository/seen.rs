//! What this host has seen of a repository before, in `STATE/repositories/ID/`: whose it is, which
//! one, and how new it was. Pulls, copies and publications ask it, and add to it.

mod memory;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::gpg::Keyring;
use crate::host::durable;
use crate::http::Url;
use crate::store::{private_dir, write_atomic};
use crate::ui::Ui;
pub(crate) use memory::{Mark, Memory, Newer, is_to_come, number};

/// The public key that is remembered.
const KEY_FILE: &str = "imgforge.gpg";

/// What is remembered beside it.
const MEMORY_FILE: &str = "memory.json";

/// What an old text with a good signature is.
pub(crate) const REPLAY: &str =
    "an old index is served: by mistake, by a stale proxy, or on purpose";

/// The memory of the repository at one address.
#[derive(Debug, Clone)]
pub struct RememberedRepository {
    dir: PathBuf,
    base: Url,
}

impl RememberedRepository {
    /// That of the repository at `base`, its directory, in a state directory. One that cannot be
    /// understood is put aside, which `ui` says: what is older passes for new from then on.
    ///
    /// # Errors
    /// When it cannot be read: what it has may be right.
    pub fn of(state: &Path, base: &Url, ui: &Ui) -> Result<Self> {
        let base = base.as_directory();
        let (text, id) = (base.to_string(), Key::of(base.to_string().as_bytes()));
        let all = state.join("repositories");
        let (dir, older) = (all.join(id.as_str()), all.join(id.short()));
        // An older imgforge named it by digits so few that somebody could make another repository's
        // address have them: such a one goes on for its own address only.
        if !dir.exists() && read(&older).url == text {
            // Where that fails nothing is remembered, and trusted.
            drop(std::fs::rename(older, &dir));
        }
        let seen = RememberedRepository { dir, base };
        if let Err(cause) = seen.known()? {
            seen.put_aside(&cause, ui);
        }
        Ok(seen)
    }

    /// That of the repository in a directory of this host.
    ///
    /// # Errors
    /// When the directory cannot be found.
    pub fn of_dir(state: &Path, root: &Path, ui: &Ui) -> Result<Self> {
        Self::of(state, &Url::of_path(root)?, ui)
    }

    /// The memory, or why it is none.
    fn known(&self) -> Result<serde_json::Result<Memory>> {
        parse(&self.dir).map_err(|cause| {
            Error::host(format!(
                "what this host remembers of {} cannot be read",
                self.base
            ))
            .cause(format!("{}: {cause}", self.dir.join(MEMORY_FILE).display()))
            .hint("without it an old index would pass for a new one: let this user read it")
        })
    }

    fn put_aside(&self, cause: &serde_json::Error, ui: &Ui) {
        let file = self.dir.join(MEMORY_FILE);
        let lock = File::create(self.dir.join("lock")).and_then(|lock| lock.lock().map(|()| lock));
        // Somebody else may have written it anew meanwhile.
        if lock.is_ok() && parse(&self.dir).is_ok_and(|known| known.is_ok()) {
            return;
        }
        let moved = lock.and_then(|_held| durable::put_aside(&file));
        let kept = match moved {
            Ok(aside) => format!("it is kept as {}", aside.display()),
            Err(cause) => format!("it cannot be put aside: {cause}"),
        };
        ui.warning(format!(
            "what this host remembers of {} is damaged ({}: {cause}) and is not used: its trusted \
             keys and its newest state have to be learned again; {kept}",
            self.base,
            file.display()
        ));
    }

    /// The address of a file below the repository's root.
    pub(crate) fn address(&self, path: &str) -> Result<Url> {
        self.base.below(path)
    }

    pub(crate) fn read(&self) -> Memory {
        read(&self.dir)
    }

    /// Directories of this host in which a repository was seen, too.
    pub(crate) fn elsewhere(&self, repository: &str) -> Vec<PathBuf> {
        let all = self.dir.parent().and_then(|all| all.read_dir().ok());
        let dirs = all.into_iter().flatten().flatten().map(|dir| dir.path());
        let memories = dirs.filter(|dir| *dir != self.dir).map(|dir| read(&dir));
        let of_it = memories.filter(|one| one.repository.as_deref() == Some(repository));
        of_it
            .filter_map(|one| Url::parse(&one.url).ok()?.local())
            .collect()
    }

    /// Changes the memory under a lock; an error of `change` leaves it as it was.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Memory) -> Result<()>) -> Result<()> {
        let doing = || format!("writing {}", self.dir.display());
        private_dir(&self.dir).doing(doing)?;
        let lock = File::create(self.dir.join("lock")).doing(doing)?;
        lock.lock().doing(doing)?;
        let mut memory = self.known()?.unwrap_or_default();
        memory.url = self.base.to_string();
        change(&mut memory)?;
        let text = serde_json::to_vec_pretty(&memory).unwrap_or_default();
        write_atomic(&self.dir.join(MEMORY_FILE), &text)
    }

    /// Where the renewed certificates of these keys are kept.
    pub(crate) fn renewed(&self, fingerprints: &[String]) -> PathBuf {
        self.dir.join(Keyring::kept_as(fingerprints))
    }

    /// The directory that it is in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a key is remembered, readable or not.
    pub(crate) fn has_key(&self) -> bool {
        self.dir.join(KEY_FILE).symlink_metadata().is_ok()
    }

    /// The keyring of an earlier time, if it has the keys that were named then and no others.
    pub(crate) fn remembered(&self) -> Option<Keyring> {
        let keyring = Keyring::of_file(&self.dir.join(KEY_FILE), None).ok()?;
        keyring.is_of(&self.read().fingerprints).then_some(keyring)
    }

    /// Remembers whose signatures count from now on.
    pub(crate) fn remember(&self, keyring: &Keyring, ui: &Ui) -> Result<()> {
        let known = self.read().fingerprints == keyring.fingerprints;
        if std::fs::read(self.dir.join(KEY_FILE)).ok().as_ref() != Some(&keyring.bytes) {
            self.keep(keyring)?;
        }
        if known {
            return Ok(());
        }
        self.update(|memory| {
            memory.fingerprints.clone_from(&keyring.fingerprints);
            memory.refreshed = Timestamp::now().as_second();
            Ok(())
        })?;
        let (base, keys) = (&self.base, keyring.fingerprints.join(", "));
        ui.notice(format!("{base} is trusted from now on if {keys} signs it"));
        Ok(())
    }

    /// Writes the remembered certificates.
    pub(crate) fn keep(&self, keyring: &Keyring) -> Result<()> {
        private_dir(&self.dir).doing(|| format!("writing {}", self.dir.display()))?;
        write_atomic(&self.dir.join(KEY_FILE), &keyring.bytes)
    }

    /// Refuses what is of another repository than was here before, or does not say so any more, and
    /// what does not say how long it counts any more; remembers the rest, but for a time that is yet
    /// to come, or that is not the newest by now. `older` lets pass what an older imgforge may have
    /// signed, and goes back; `whole` is the number of the state as a whole, where that was verified.
    ///
    /// # Errors
    /// When it is refused, or cannot be remembered.
    pub(crate) fn take(&self, marks: &[Mark<'_>], whole: Option<u64>, older: bool) -> Result<()> {
        let news = |memory: &Memory| {
            marks.iter().any(|mark| {
                let address = mark.address.to_string();
                memory.signed.get(&address) != Some(&mark.when.as_second())
                    || memory.claimed.contains(&address) != mark.claims
                    || memory.repository != mark.repository
                    || memory.numbers.get(&address).copied() != mark.number
            }) || whole > memory.serial
        };
        if !news(&self.read()) {
            return Ok(());
        }
        self.update(|memory| {
            memory.overtake(whole);
            // What is signed on demand goes on from the highest one.
            memory.serial = memory.serial.max(whole);
            for mark in marks {
                self.judge(memory, mark, older)?;
                let address = mark.address.to_string();
                if mark.claims {
                    memory.claimed.insert(address.clone());
                }
                if mark.repository.is_some() {
                    memory.repository.clone_from(&mark.repository);
                }
                // Somebody else may have seen a newer one since this one was compared.
                if older || memory.newer(mark).is_none() {
                    memory.note(address, mark.when, mark.number);
                }
            }
            Ok(())
        })
    }

    /// Remembers that these keys sign the repository no more; `only` they, where a newer state is
    /// lost.
    pub(crate) fn retire(&self, keys: BTreeSet<String>, only: bool) -> Result<()> {
        let known = self.read().retired;
        if known == keys || (!only && keys.is_subset(&known)) {
            return Ok(());
        }
        self.update(|memory| {
            if only {
                memory.retired.clear();
            }
            memory.retired.extend(keys);
            Ok(())
        })
    }

    /// What to do where a retired key signs again.
    pub(crate) fn go_back(&self) -> String {
        format!(
            "restore the newest state from a backup or a copy; if that is lost, and you want to go \
             back to this key, remove {}, what this host remembers of the repository",
            self.dir.display()
        )
    }

    /// What to do where the repository was made anew.
    pub(crate) fn anew(&self) -> String {
        format!(
            "if it was made again, remove {}, what this host remembers of it",
            self.dir.display()
        )
    }

    /// Remembers what this host has signed of a repository in a transaction, when, and whether it says
    /// until when it counts.
    pub(crate) fn made(
        &self,
        repository: &str,
        serial: u64,
        signed: Vec<(Url, Timestamp, bool)>,
    ) -> Result<()> {
        self.update(|memory| {
            memory.repository = Some(repository.to_owned());
            memory.serial = memory.serial.max(Some(serial));
            for (address, when, ends) in signed {
                if ends {
                    memory.claimed.insert(address.to_string());
                }
                memory.note(address.to_string(), when, Some(serial));
            }
            Ok(())
        })
    }

    fn judge(&self, memory: &Memory, mark: &Mark<'_>, older: bool) -> Result<()> {
        let Mark {
            address,
            repository,
            ..
        } = mark;
        let forget = || {
            let dir = self.dir.display();
            format!(
                "ask the repository's owner; if it was made again, remove {dir}, and name its key \
                 again"
            )
        };
        match (&memory.repository, repository) {
            (Some(known), Some(found)) if known != found => {
                return Err(Error::gate(format!(
                    "{address} is of the repository {found}, and {known} was there before"
                ))
                .cause("what another repository has signed is served in its place")
                .hint(forget()));
            }
            (Some(known), None) if !older => {
                return Err(Error::gate(format!(
                    "{address} does not say of which repository it is, and what was there before is of {known}"
                ))
                .cause("it is of another repository, or older than this one's")
                .hint(forget()));
            }
            _ => {}
        }
        let claimed = memory.claimed.contains(&address.to_string());
        if claimed && !mark.claims && !older {
            return Err(Error::gate(format!(
                "{address} does not say any more until when it is valid"
            ))
            .cause(REPLAY)
            .hint("ask the repository's owner"));
        }
        Ok(())
    }
}

/// Refuses a time that has not come yet: whoever remembered it would refuse all that is right until
/// then.
///
/// # Errors
/// When it is more than a day ahead.
pub(crate) fn refuse_future(what: &str, when: Timestamp) -> Result<()> {
    if !is_to_come(when) {
        return Ok(());
    }
    let now = Timestamp::now();
    Err(Error::gate(format!(
        "{what} was signed at {when:.0}, which is yet to come"
    ))
    .cause(format!("this host's clock says {now:.0}"))
    .hint(
        "set this host's clock, if it is wrong; else the publisher's was: its owner signs \
         everything again with `imgforge channel renew --allow-older`",
    ))
}

/// The memory in a directory; an empty one where there is none that can be read and understood, which
/// [`RememberedRepository::of`] has said.
fn read(dir: &Path) -> Memory {
    let known = parse(dir).ok().and_then(serde_json::Result::ok);
    known.unwrap_or_default()
}

fn parse(dir: &Path) -> io::Result<serde_json::Result<Memory>> {
    match std::fs::read(dir.join(MEMORY_FILE)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(Memory::default())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
