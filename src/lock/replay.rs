//! What a locked stage may have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::{Fetched, Mirrors, Record};
use crate::digest::{Key, Sha256};
use crate::error::{Error, Result};
use crate::mutex::Unpoisoned as _;

/// Why a locked stage does not get a file.
pub const NOT_LOCKED: &str = "not in the lock that this build is bound to";

/// The part of a lock that one stage is bound to.
#[derive(Debug)]
pub struct Locked {
    file: String,
    image: String,
    record: Record,
    by_url: HashMap<String, usize>,
    /// No mirror is asked.
    offline: bool,
    refused: Mutex<BTreeMap<String, String>>,
}

impl Locked {
    /// Of the lock `file`, of which people are told, for `image`.
    pub fn new(file: &str, image: &str, record: Record) -> Self {
        let urls = record.fetched.iter().enumerate();
        Locked {
            by_url: urls.map(|(at, one)| (one.url.clone(), at)).collect(),
            file: file.to_owned(),
            image: image.to_owned(),
            record,
            offline: false,
            refused: Mutex::default(),
        }
    }

    /// Has only what this host has be served.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Whether no mirror is asked.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The name of the lock.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What to type where the lock lacks something.
    pub fn again(&self) -> String {
        let image = &self.image;
        format!(
            "build without --locked, then `imgforge lock {image}` writes it anew; or take out of the recipe \
             what needs it"
        )
    }

    /// The archive that the stage chose.
    pub fn mirrors(&self) -> Option<&Mirrors> {
        self.record.mirrors.as_ref()
    }

    /// The file under the first of these addresses that the lock has.
    pub fn find<'u>(&self, urls: impl IntoIterator<Item = &'u str>) -> Option<&Fetched> {
        let at = urls.into_iter().find_map(|url| self.by_url.get(url))?;
        self.record.fetched.get(*at)
    }

    /// Whether there was nothing at one of these addresses.
    pub fn is_absent<'u>(&self, urls: impl IntoIterator<Item = &'u str>) -> bool {
        urls.into_iter().any(|url| self.record.absent.contains(url))
    }

    /// Whether the lock says that nobody could read what comes from a host.
    pub fn passes(&self, host: &str) -> bool {
        self.record.not_locked.contains(host)
    }

    /// Remembers that the stage asked for something in vain, and why.
    pub fn refuse(&self, what: &str, why: &str) {
        let mut refused = self.refused.lock().unpoisoned();
        refused.insert(what.to_owned(), why.to_owned());
    }

    /// Forgets it again: the stage has got it at last.
    pub fn serve(&self, what: &str) {
        self.refused.lock().unpoisoned().remove(what);
    }

    /// What the stage asked for in vain, sorted, with the reasons.
    pub fn refused(&self) -> Vec<String> {
        let refused = self.refused.lock().unpoisoned();
        let line = |(what, why): (&String, &String)| format!("{what}: {why}");
        refused.iter().map(line).collect()
    }

    /// What a file must be that somebody else fetches.
    ///
    /// # Errors
    /// When the lock does not have it.
    pub fn digest_of(&self, url: &str) -> Result<Sha256> {
        let found = self.find([url]).and_then(|one| one.sha256.parse().ok());
        found.ok_or_else(|| self.lacks(url))
    }

    /// The medium at an address.
    ///
    /// # Errors
    /// When the lock does not have it.
    pub fn medium(&self, url: &str) -> Result<&Fetched> {
        let mut all = self.record.media.iter();
        all.find(|one| one.url == url)
            .ok_or_else(|| self.lacks(url))
    }

    /// What a program fetched by a protocol of its own, by its name.
    ///
    /// # Errors
    /// When the lock does not have it.
    pub fn archive(&self, name: &str) -> Result<&Fetched> {
        self.archive_of(name).ok_or_else(|| self.lacks(name))
    }

    /// As [`Locked::archive`], of what the stage does without where the lock has none.
    pub fn archive_of(&self, name: &str) -> Option<&Fetched> {
        let mut all = self.record.archives.iter();
        all.find(|one| one.url == name)
    }

    /// What binds what is made beside the disk.
    ///
    /// # Errors
    /// When the lock does not have it.
    pub fn beside(&self, name: &str) -> Result<Locked> {
        let record = self
            .record
            .beside
            .get(name)
            .ok_or_else(|| self.lacks(name))?;
        Ok(Locked::new(&self.file, &self.image, record.clone()).offline(self.offline))
    }

    /// What all of it depends on.
    pub fn digest(&self) -> Key {
        self.record.digest()
    }

    /// Says that something is not on this host, and that nobody is asked for it.
    pub fn is_nowhere(&self, url: &str) -> Error {
        self.refuse(url, "it is not on this host, and --offline asks nobody");
        Error::host(format!("{url} is not on this host"))
            .cause(format!(
                "{} names it, and --offline asks nobody for it",
                self.file
            ))
            .hint("build once with --locked and without --offline")
    }

    /// Says that the lock does not have something that was asked for.
    pub fn lacks(&self, what: &str) -> Error {
        self.refuse(what, NOT_LOCKED);
        Error::stage(format!("{what} is not in {}", self.file)).hint(self.again())
    }
}
