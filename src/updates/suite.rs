//! The suites of archives: which addresses are tried for each, what counts of what they say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use super::asked::Asked;
use super::cache::{Cache, check_date, is_behind};
use super::lists::Lists;
use super::rpm::xml::Notice;
use super::{Settings, SuiteStatus, apk, kernel, rpm};
use crate::address::hide;
use crate::distro::release::{Offer, Release};
use crate::distro::repos::Way;
use crate::error::{Error, Kind, Result};
use crate::gpg;
use crate::http::Url;
use crate::mutex::Unpoisoned as _;

/// A mirror that is so much older than another one is told, in seconds: several are never quite the same.
const LAGS: u64 = 86_400;

/// How many archives are asked at once.
const AT_ONCE: usize = 4;

/// A list of packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Want {
    pub(super) component: String,
    /// In dpkg's words.
    pub(super) arch: String,
}

/// Packages by name.
pub(super) type Offers = HashMap<String, Vec<Offer>>;

/// What a suite has of the wanted packages.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) release: Release,
    pub(super) suite: String,
    pub(super) uri: String,
    pub(super) fetched: u64,
    pub(super) refused: Vec<String>,
    /// By list, by name; a list that the suite does not have is missing.
    pub(super) lists: BTreeMap<Want, Offers>,
    /// Security fixes by package, where the repository tells them.
    pub(super) notices: BTreeMap<String, Vec<Notice>>,
    /// Whether the repository tells any, about whatever package.
    pub(super) tells_notices: bool,
}

impl Loaded {
    pub(super) fn status(&self) -> SuiteStatus {
        SuiteStatus {
            suite: self.suite.clone(),
            uri: hide(&self.uri).into_owned(),
            date: self.release.date,
            fetched: self.fetched,
            refused: self.refused.clone(),
        }
    }
}

type AllLoaded = BTreeMap<Asked, Result<Loaded, String>>;

/// Reads all suites, several at once.
///
/// # Errors
/// When imgforge is interrupted. What else fails stands with its suite.
pub(super) fn load_all(
    cache: &Cache,
    settings: &Settings,
    asked: &BTreeMap<Asked, BTreeSet<Want>>,
    wanted: &BTreeSet<&str>,
    at: u64,
) -> Result<AllLoaded> {
    let queue = Mutex::new(asked.iter());
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().unpoisoned().next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(asked.len()) {
            scope.spawn(|| {
                while let Some((asked, wants)) = next() {
                    let load = Load {
                        cache,
                        asked,
                        wants,
                        wanted,
                        at: (!settings.offline).then_some(at),
                    };
                    let loaded = match asked.other {
                        None => load.first(),
                        Some((Way::Apk, _)) => apk::load(&load),
                        Some((way, signed)) => rpm::load(&load, way, signed),
                    };
                    done.lock().unpoisoned().push((asked.clone(), loaded));
                }
            });
        }
    });
    let done = done.into_inner().unpoisoned();
    let one = |(asked, loaded): (Asked, Result<Loaded>)| match loaded {
        Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => Err(error),
        Err(error) => Ok((asked, Err(sentence(&error)))),
        Ok(loaded) => Ok((asked, Ok(loaded))),
    };
    done.into_iter().map(one).collect()
}

pub(super) fn sentence(error: &Error) -> String {
    match error.causes().first() {
        Some(cause) => format!("{}: {cause}", error.message()),
        None => error.message().to_owned(),
    }
}

/// A signed index that counts.
struct Index<'u> {
    uri: &'u str,
    base: Url,
    release: Release,
    fetched: u64,
}

pub(super) struct Load<'a> {
    pub(super) cache: &'a Cache,
    pub(super) asked: &'a Asked,
    pub(super) wants: &'a BTreeSet<Want>,
    pub(super) wanted: &'a BTreeSet<&'a str>,
    /// Now; none where an index may have expired since it was read.
    pub(super) at: Option<u64>,
}

/// What addresses did not serve, in the order in which they were asked.
#[derive(Default)]
pub(super) struct Failures {
    refused: Vec<String>,
    first: Option<Error>,
}

impl Failures {
    /// # Errors
    /// An interruption, after which no other address is asked.
    pub(super) fn add(&mut self, error: Error) -> Result<()> {
        if let Kind::Interrupted(_) = error.kind() {
            return Err(error);
        }
        self.refused.push(sentence(&error));
        self.first.get_or_insert(error);
        Ok(())
    }

    /// What was read at last, with what was refused before.
    ///
    /// # Errors
    /// The first failure where nothing was read, or `none` where nothing was asked.
    pub(super) fn end(
        self,
        loaded: Option<Loaded>,
        none: impl FnOnce() -> Error,
    ) -> Result<Loaded> {
        let refused = self.refused;
        match loaded {
            Some(loaded) => Ok(Loaded { refused, ..loaded }),
            None => Err(self.first.unwrap_or_else(none)),
        }
    }
}

impl Load<'_> {
    /// From the mirror with the newest index that counts, else from the first other address that has one.
    fn first(&self) -> Result<Loaded> {
        let (mirrors, others) = self.asked.uris.split_at(self.asked.mirrors);
        let mut failures = Failures::default();
        let mut indexes: Vec<Index<'_>> = vec![];
        for uri in mirrors {
            match self.index(uri) {
                Ok(index) => indexes.push(index),
                Err(error) => failures.add(error)?,
            }
        }
        let newest = indexes.iter().filter_map(|it| it.release.date).max();
        indexes.sort_by_key(|index| Reverse(index.release.date));
        let mut loaded = None;
        for index in indexes {
            let dates = newest.zip(index.release.date);
            let behind = dates.map_or(0, |(newest, made)| newest.saturating_sub(made));
            if loaded.is_some() && behind > LAGS {
                let age = crate::units::age(behind);
                let said = format!("{} {} is {age} older", hide(index.uri), self.asked.suite);
                failures.add(Error::stage(said))?;
            } else if loaded.is_none() {
                match self.lists(index) {
                    Ok(one) => loaded = Some(one),
                    Err(error) => failures.add(error)?,
                }
            }
        }
        for uri in others {
            if loaded.is_some() {
                break;
            }
            match self.index(uri).and_then(|index| self.lists(index)) {
                Ok(one) => loaded = Some(one),
                Err(error) => failures.add(error)?,
            }
        }
        failures.end(loaded, || Error::internal("a suite without an address"))
    }

    /// What an address has, if that counts.
    fn index<'u>(&self, uri: &'u str) -> Result<Index<'u>> {
        let suite = &self.asked.suite;
        let base = Url::parse(&format!("{uri}/dists/{suite}/"))?;
        let url = base.join("InRelease")?;
        let current = self.cache.current(&url)?;
        let mut release = self.release(&url, &current.bytes)?;
        let before = current.before.as_ref();
        match before.and_then(|bytes| self.release(&url, bytes).ok()) {
            // An old index, good signature and all, would hide what is known already.
            Some(before) if is_behind(release.date, before.date) => release = before,
            _ => self.cache.keep(&url, &current)?,
        }
        if let (Some(until), Some(at)) = (release.valid_until, self.at)
            && until < at
        {
            return Err(Error::stage(format!("{url} has expired"))
                .cause("the mirror lags behind its archive"));
        }
        Ok(Index {
            uri,
            base,
            release,
            fetched: current.fetched,
        })
    }

    fn lists(&self, index: Index<'_>) -> Result<Loaded> {
        let mut lists = BTreeMap::new();
        let wanted = |name: &str| self.wanted.contains(name) || kernel::is_image(name);
        for want in self.wants {
            let list = Lists {
                cache: self.cache,
                base: &index.base,
                release: &index.release,
                wanted: &wanted,
            };
            if let Some(list) = list.read(want)? {
                lists.insert(want.clone(), list);
            }
        }
        Ok(Loaded {
            release: index.release,
            suite: self.asked.suite.clone(),
            uri: index.uri.to_owned(),
            fetched: index.fetched,
            refused: vec![],
            lists,
            notices: BTreeMap::new(),
            tells_notices: false,
        })
    }

    /// What the suite says of itself, by its signed index.
    fn release(&self, url: &Url, signed: &[u8]) -> Result<Release> {
        let text = self.verified(signed).map_err(|error| {
            let said = format!("{url} does not count");
            Error::gate(said).cause(sentence(&error))
        })?;
        let release = Release::read(&text)
            .map_err(|why| Error::stage(format!("{url} is no index of a suite")).cause(why))?;
        check_date(url, release.date, self.at)?;
        match release.is_of(&self.asked.suite) {
            true => Ok(release),
            false => {
                let own = format!("it is that of `{}`", crate::ui::printable(&release.suite));
                Err(Error::gate(format!("{url} is the index of another suite")).cause(own))
            }
        }
    }

    /// What a signature by one of the keyrings covers.
    fn verified(&self, signed: &[u8]) -> Result<String> {
        let mut failed = Error::internal("a suite without a keyring");
        for keyring in &self.asked.keyrings {
            match gpg::verify_any(signed, keyring) {
                Ok(text) => return Ok(text),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}
