//! Installation media and images: files by address and digest, kept as entries of the store.
//!
//! A file whose digest is known is found by it, wherever it comes from; another one by its address
//! and what the server says of its version. Who downloads holds the entry's lock, so that nobody
//! downloads it twice; what an interrupt leaves is gone on with.

mod archive;
pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::digest::{self, Key};
use crate::error::{Context as _, Error, Result};
use crate::http::{Client, Limits, Url};
use crate::store::files::Files;
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::store::lock::Lock;
use crate::store::{Entry, Meta, Store};
use crate::time::now;
use crate::ui::{StageUi, Unit};
pub use tree::{Tree, Vouched};

/// Media are large; beyond this it is no medium.
const LARGEST: u64 = 64 << 30;

/// The stage that entries with media say they are of.
const STAGE: &str = "media";

/// Where media come from and go to.
#[derive(Debug, Clone, Copy)]
pub struct Media<'a> {
    /// Keeps them.
    pub store: &'a Store,
    /// Owns what is unfinished.
    pub ledger: &'a Ledger,
    /// Takes what is on this host.
    pub files: &'a Files,
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
            .cause(format!("{url} stands for an address that only you know"))
            .hint("set the recipe's variables: --var NAME=… or `vars:` in imgforge.yaml"));
        }
        let client = client(url, self.ui)?;
        let identity = match sha256 {
            Some(sha256) => format!("sha256 {}", sha256.to_ascii_lowercase()),
            None => self.version(&client, url)?,
        };
        let key = Key::of(format!("media\n{identity}").as_bytes());
        // Waits while somebody else downloads it.
        let shared = self.store.share(&key)?;
        if let Some(entry) = self.whole(&key)? {
            return found(&entry, shared);
        }
        drop(shared);
        let lock = self.store.lock(&key, |pid| {
            self.ui
                .step(format!("waiting for process {pid}, which downloads it"));
        })?;
        let entry = match self.whole(&key)? {
            Some(entry) => entry,
            None => self.download(&client, url, &key, sha256)?,
        };
        found(&entry, lock.downgrade()?)
    }

    /// The kept file, if its bytes are those that were kept: somebody may have written to it.
    fn whole(&self, key: &Key) -> Result<Option<Entry>> {
        let Some(entry) = self.store.get(key) else {
            return Ok(None);
        };
        let (Ok(path), Ok(kept)) = (file_of(&entry), text(&entry, "sha256")) else {
            return Ok(None);
        };
        if !path.is_file() {
            return Ok(None);
        }
        let name = name_of(&path);
        self.ui.step(format!("verifying {name}"));
        let same = digest::file_sha256(&path)? == kept;
        if !same {
            self.ui.line(format!(
                "{name} was changed in the store: it is fetched again"
            ));
        }
        Ok(same.then_some(entry))
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
    ) -> Result<Entry> {
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
        let mut inputs = Inputs::new(STAGE, 1);
        inputs.value("url", url.to_string());
        let meta = Meta {
            key: key.clone(),
            image: name.clone(),
            stage: STAGE.into(),
            parent: None,
            disk: None,
            created: now(),
            took: began.elapsed().as_secs_f64(),
            inputs,
            facts: json!({
                "file": name, "sha256": found, "size": size, "url": url.to_string()
            }),
        };
        draft.commit_over(self.store, meta)
    }
}

/// The client of all downloads of a stage; retries become lines of its log.
fn client(url: &Url, ui: &StageUi) -> Result<Client> {
    let ui = ui.clone();
    Ok(Client::to(url, Limits::default())?.on_notice(move |text| ui.line(text)))
}

fn failed(url: &Url, error: Error) -> Error {
    error
        .within(format!("downloading {url} failed"))
        .hint("check the address and http_proxy, then run the same command again: it goes on where it stopped")
}

/// Compares the digest that somebody promised with the one that was found.
fn compare(what: &str, promised: Option<&str>, found: &str) -> Result<()> {
    match promised {
        Some(promised) if !promised.eq_ignore_ascii_case(found) => Err(Error::stage(format!(
            "{what} is not the file that was promised"
        ))
        .cause(format!("expected sha256 {promised}, found {found}"))
        .hint("if the file was changed on purpose, write its new digest into the recipe")),
        _ => Ok(()),
    }
}

fn found(entry: &Entry, lock: Lock) -> Result<MediaFile> {
    entry.touch();
    Ok(MediaFile {
        path: file_of(entry)?,
        sha256: Some(text(entry, "sha256")?.to_owned()),
        _held: Held::Kept(lock),
    })
}

fn file_of(entry: &Entry) -> Result<PathBuf> {
    Ok(entry.path().join(text(entry, "file")?))
}

fn text<'e>(entry: &'e Entry, fact: &str) -> Result<&'e str> {
    let missing = || Error::internal(format!("an entry with media does not tell `{fact}`"));
    entry.meta().facts[fact].as_str().ok_or_else(missing)
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
