//! Installation media and images: files by address and digest, kept as entries of the store.
//!
//! A file whose digest is known is found by it, wherever it comes from; another one by its address
//! and what the server says of its version. Who downloads holds the entry's lock, so that nobody
//! downloads it twice; what an interrupt leaves is gone on with.

mod archive;
mod index;
mod kept;
pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::address;
use crate::digest::{self, Key, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::http::{Client, Limits, Url};
use crate::lock::{Fetched, Fetching, Locked};
use crate::machine::Arch;
use crate::proxy::Cache;
use crate::store::files::Files;
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::store::lock::Lock;
use crate::store::{Facts, Layer, Meta, Store};
use crate::ui::{StageUi, Unit};
pub(super) use kept::locked;
pub use kept::{kept, put};
pub use tree::{InstallerDigests, Tree};

/// Media are large; beyond this it is no medium.
const LARGEST: u64 = 64 << 30;

/// What the store knows of a file that it keeps.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Its name in the entry.
    file: String,
    /// Its digest, 64 hex digits.
    sha256: String,
    /// Its size in bytes.
    size: u64,
    /// Where it was fetched from first.
    url: String,
}

impl Facts for Kept {
    const STAGE: &'static str = "media";
}

/// Where media come from and go to.
#[derive(Debug, Clone, Copy)]
pub struct Media<'a> {
    /// Keeps them.
    pub store: &'a Store,
    /// Owns what is unfinished.
    pub ledger: &'a Ledger,
    /// The architecture of installers.
    pub arch: Arch,
    /// Takes what is on this host.
    pub files: &'a Files,
    /// What the stage fetches, and may fetch.
    pub fetching: &'a Fetching,
    /// Keeps the files that describe install trees.
    pub cache: &'a Cache,
    /// Where progress goes.
    pub ui: &'a StageUi,
}

/// A file that is there and verified. Nobody removes it while this lives.
#[derive(Debug)]
pub struct MediaFile {
    path: PathBuf,
    sha256: Option<String>,
    _held: Held,
}

/// What keeps a file as it is.
#[derive(Debug)]
#[expect(dead_code, reason = "they only have to live")]
enum Held {
    AsItIs,
    Kept(Lock),
}

impl MediaFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of its content, in hex; a local file without a digest is taken as it is.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

impl Media<'_> {
    /// A file by its path or address, with its SHA-256 where it is known.
    ///
    /// # Errors
    /// When it does not exist, cannot be downloaded, or has another digest.
    pub fn file(&self, place: &str, sha256: Option<&str>) -> Result<MediaFile> {
        let url = Url::parse_or_path(place)?;
        match url.local() {
            Some(path) => self.local(path, sha256),
            None => self.remote(&url, sha256),
        }
    }

    /// A file of this host: by its digest it is taken for the stage, as it may be another one when
    /// it is used. Without one it was taken already.
    fn local(&self, path: PathBuf, sha256: Option<&str>) -> Result<MediaFile> {
        if !path.is_file() {
            let shown = path.display();
            return Err(Error::stage(format!("there is no file {shown}")).hint(
                "put it there, or correct the recipe: `media:` of virt-install, `image:` of import",
            ));
        }
        let Some(promised) = sha256 else {
            return Ok(MediaFile {
                path,
                sha256: None,
                _held: Held::AsItIs,
            });
        };
        self.ui.step(format!("verifying {}", name_of(&path)));
        let (copy, found) = self.files.by_sha256(&path)?;
        compare(&path.display().to_string(), Some(promised), &found)?;
        Ok(MediaFile {
            path: copy,
            sha256: Some(found),
            _held: Held::AsItIs,
        })
    }

    fn remote(&self, url: &Url, sha256: Option<&str>) -> Result<MediaFile> {
        if url.to_string().contains(".invalid/") {
            return Err(Error::usage(format!(
                "the recipe does not say where {} is",
                url.file_name()
            ))
            .cause(format!(
                "{url} is a placeholder for an address that only you know"
            ))
            .hint("set the recipe's variables: --var NAME=… or `vars:` in imgforge.yaml"));
        }
        if let Some(locked) = self.fetching.locked() {
            return self.locked(locked, url, sha256);
        }
        self.anywhere(url, sha256)
    }

    fn anywhere(&self, url: &Url, sha256: Option<&str>) -> Result<MediaFile> {
        let client = client(url, self.ui)?;
        let key = match sha256 {
            Some(sha256) => key_of(&sha256.to_ascii_lowercase()),
            None => Key::of(format!("media\n{}", self.version(&client, url)?).as_bytes()),
        };
        // Waits while somebody else downloads it.
        let shared = self.store.share(&key)?;
        if let Some(kept) = self.whole(&key)? {
            self.note(url, &kept);
            return Ok(found(&kept, shared));
        }
        drop(shared);
        let lock = self.store.lock(&key, |pid| {
            self.ui
                .step(format!("waiting for process {pid}, which downloads it"));
        })?;
        let kept = match self.whole(&key)? {
            Some(kept) => kept,
            None => self.download(&client, url, &key, sha256)?,
        };
        self.note(url, &kept);
        Ok(found(&kept, lock.downgrade()?))
    }

    /// The file that the lock names, from the store whatever its address was there, or from its server.
    fn locked(&self, locked: &Locked, url: &Url, sha256: Option<&str>) -> Result<MediaFile> {
        let shown = plain(url);
        let promised = locked.medium(&shown)?;
        compare(&shown, sha256, &promised.sha256)?;
        let promised: Sha256 = promised.sha256.parse().map_err(Error::internal)?;
        if let Some(layer) = kept::find(self.store, &promised) {
            let key = &layer.entry().meta().key;
            let shared = self.store.share(key)?;
            if let Some(kept) = self.whole(key)? {
                self.note(url, &kept);
                return Ok(found(&kept, shared));
            }
        }
        match locked.is_offline() {
            true => Err(locked.is_nowhere(&shown)),
            false => self.anywhere(url, Some(promised.as_str())),
        }
    }

    /// Writes down that the stage uses it.
    fn note(&self, url: &Url, kept: &Layer<Kept>) {
        let Kept { sha256, size, .. } = kept.facts();
        self.fetching.medium(Fetched {
            url: plain(url),
            sha256: sha256.clone(),
            size: *size,
        });
    }

    /// The kept file, if its bytes are those that were kept: somebody may have written to it.
    fn whole(&self, key: &Key) -> Result<Option<Layer<Kept>>> {
        let kept = match self.store.look::<Kept>(key) {
            Ok(Some(kept)) if path_of(&kept).is_file() => kept,
            Ok(_) => return Ok(None),
            Err(why) => {
                let key = key.short();
                self.ui.line(format!(
                    "the store's {key} cannot be read, it is fetched again: {why}"
                ));
                return Ok(None);
            }
        };
        let path = path_of(&kept);
        let name = name_of(&path);
        self.ui.step(format!("verifying {name}"));
        let same = digest::file_sha256(&path)? == kept.facts().sha256;
        if !same {
            self.ui.line(format!(
                "{name} was changed in the store: it is fetched again"
            ));
        }
        Ok(same.then_some(kept))
    }

    /// What tells one version of a file from another, where nobody says its digest.
    fn version(&self, client: &Client, url: &Url) -> Result<String> {
        let stream = client.open(url).map_err(|error| failed(url, error))?;
        Ok(match stream.validator() {
            Some(validator) => {
                let size = stream.total().unwrap_or_default();
                format!("{url}\n{validator}\n{size}")
            }
            // It may have changed since the last time, so it is another one.
            None => format!("{url}\n{}", uuid::Uuid::new_v4()),
        })
    }

    fn download(
        &self,
        client: &Client,
        url: &Url,
        key: &Key,
        sha256: Option<&str>,
    ) -> Result<Layer<Kept>> {
        let began = Instant::now();
        let name = safe_name(url);
        self.ui.step(format!("downloading {name}"));
        let part = self.store.part(key);
        let mut progress = |done: u64, total: Option<u64>| {
            self.ui.progress(done, total.unwrap_or(done), Unit::Bytes);
        };
        let fetched = client.fetch(url, &part, LARGEST, &mut progress);
        fetched.map_err(|error| failed(url, error))?;
        self.ui.step(format!("verifying {name}"));
        let found = digest::file_sha256(&part)?;
        if let Err(wrong) = compare(&url.to_string(), sha256, &found) {
            // The next attempt begins anew: these bytes are of no use.
            drop(std::fs::remove_file(&part));
            return Err(wrong);
        }
        let draft = self.store.draft(self.ledger)?;
        let file = draft.path().join(&name);
        let size = std::fs::metadata(&part)
            .and_then(|meta| std::fs::rename(&part, &file).map(|()| meta.len()))
            .doing(|| format!("writing {}", file.display()))?;
        let mut inputs = Inputs::new(Kept::STAGE, 1);
        inputs.value("url", url.to_string());
        let meta = Meta::new(key.clone(), &name, Kept::STAGE, inputs, began);
        let kept = Kept {
            file: name,
            sha256: found,
            size,
            url: url.to_string(),
        };
        draft.commit_over(self.store, meta, kept)
    }
}

/// An address without user and password.
fn plain(url: &Url) -> String {
    address::hide(&url.secret_text()).into_owned()
}

/// The key of a file whose digest is known.
fn key_of(sha256: &str) -> Key {
    Key::of(format!("media\nsha256 {sha256}").as_bytes())
}

/// The client of all downloads of a stage; retries become lines of its log.
fn client(url: &Url, ui: &StageUi) -> Result<Client> {
    let ui = ui.clone();
    Ok(Client::to(url, Limits::default())?.on_notice(move |text| ui.line(text)))
}

fn failed(url: &Url, error: Error) -> Error {
    error.within(format!("downloading {url} failed")).hint(
        "check the address and http_proxy, then run the same command again: it resumes where \
             it stopped",
    )
}

/// Compares the digest that somebody promised with the one that was found.
fn compare(what: &str, promised: Option<&str>, found: &str) -> Result<()> {
    match promised {
        Some(promised) if !promised.eq_ignore_ascii_case(found) => {
            Err(Error::stage(format!("{what} is not the expected file"))
                .cause(format!("expected sha256 {promised}, found {found}"))
                .hint("if the file was changed on purpose, write its new digest into the recipe"))
        }
        _ => Ok(()),
    }
}

fn found(kept: &Layer<Kept>, lock: Lock) -> MediaFile {
    kept.entry().touch();
    MediaFile {
        path: path_of(kept),
        sha256: Some(kept.facts().sha256.clone()),
        _held: Held::Kept(lock),
    }
}

fn path_of(kept: &Layer<Kept>) -> PathBuf {
    kept.entry().path().join(&kept.facts().file)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The file's own name where it is one, so that tools see what it is.
fn safe_name(url: &Url) -> String {
    let name = url.file_name();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let taken = ["meta.json", "used"].contains(&name);
    match name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good) && !taken
    {
        true => name.to_owned(),
        false => "file".to_owned(),
    }
}

#[cfg(test)]
mod tests;
