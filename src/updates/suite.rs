//! The suites of archives: which addresses are tried for each, what counts of what they say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::cache::Cache;
use super::lists::Lists;
use super::{Settings, SuiteStatus, kernel};
use crate::address::{Address, hide};
use crate::distro::apt::Archive;
use crate::distro::release::{Offer, Release};
use crate::distro::sources::{self, Source};
use crate::distro::{apt, suite_by_osinfo};
use crate::error::{Error, Kind, Result};
use crate::gpg;
use crate::http::Url;
use crate::mutex::Unpoisoned as _;

/// Where keyrings lie that sources of packages name, on this host as in the guest.
const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/",
    "/etc/apt/keyrings/",
    "/etc/apt/trusted.gpg.d/",
];

/// A mirror that is so much older than another one is told, in seconds: several are never quite the same.
const LAGS: u64 = 86_400;

/// How many archives are asked at once.
const AT_ONCE: usize = 4;

/// A suite that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// Addresses of archives: of the site's mirrors the newest counts, the others are tried in order.
    pub(super) uris: Vec<String>,
    /// How many of them are the site's mirrors, the first ones.
    mirrors: usize,
    /// The suite's name.
    pub(super) suite: String,
    /// Files of public keys; a signature by one of them counts.
    keyrings: Vec<PathBuf>,
}

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
    uri: String,
    fetched: u64,
    refused: Vec<String>,
    /// By list, by name; a list that the suite does not have is missing.
    pub(super) lists: BTreeMap<Want, Offers>,
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

/// The suite of a line of a `sources.list`, and all that the line says.
///
/// # Errors
/// Why it cannot be read from here, as a sentence.
pub(super) fn asked(settings: &Settings, line: &str) -> Result<(Asked, Source), String> {
    let source: Source = line.parse()?;
    let distro = source.distro();
    // What an image says of its sources has no password, what imgforge.yaml says may have one.
    let shown = hide(&source.uri).into_owned();
    let mut uris = vec![];
    if let Some(mirrors) = distro.and_then(|distro| settings.mirrors.get(distro.id)) {
        let beside = |mirror: &Address| {
            let main = mirror.as_str().trim_end_matches('/');
            match source.is_beside() {
                false => Some(main.to_owned()),
                // By convention the security archive lies beside the archive itself.
                true => (main.ends_with("/debian")).then(|| format!("{main}-security")),
            }
        };
        let of_site: Vec<String> = mirrors.iter().filter_map(beside).collect();
        let is_of_site = of_site.iter().any(|uri| hide(uri) == shown);
        if is_of_site || distro.is_some_and(|distro| source.is_own(distro)) {
            uris = of_site;
        }
    }
    let mirrors = uris.len();
    let reachable = ["http://", "https://"]
        .iter()
        .any(|scheme| source.uri.starts_with(scheme));
    if reachable && !uris.iter().any(|uri| hide(uri) == shown) {
        uris.push(source.uri.clone());
    }
    let name = format!("{shown} {}", source.suite);
    if uris.is_empty() {
        return Err(format!(
            "{name} is not read: this host cannot reach that address"
        ));
    }
    if source.components.is_empty() {
        return Err(format!(
            "{name} is not read: it is an archive without suites"
        ));
    }
    let named = source.signed_by.as_deref().filter(|path| {
        let known = KEYRINGS.iter().any(|dir| path.starts_with(dir));
        known && !path.contains("..") && Path::new(path).is_file()
    });
    let own = distro.map(|distro| distro.keyring);
    let own = own.filter(|path| Path::new(path).is_file());
    let mut keyrings: Vec<PathBuf> = named.into_iter().chain(own).map(PathBuf::from).collect();
    keyrings.extend(settings.keyrings.iter().cloned());
    keyrings.dedup();
    if keyrings.is_empty() {
        let hint = match distro {
            Some(distro) => format!("install the package {}", distro.keyring_package),
            None => "name its file in `updates: {keyrings: […]}` of imgforge.yaml".to_owned(),
        };
        return Err(format!(
            "{name} is not read: this host has no keyring for it; {hint}"
        ));
    }
    let asked = Asked {
        uris,
        mirrors,
        suite: source.suite.clone(),
        keyrings,
    };
    Ok((asked, source))
}

/// What a release usually has for sources, as lines of a `sources.list`, where the site names a mirror.
pub(super) fn usual(settings: &Settings, distro: &str, version: &str) -> Vec<String> {
    let major = match distro {
        "ubuntu" => version,
        _ => version.split('.').next().unwrap_or_default(),
    };
    let Some((apt, suite)) = suite_by_osinfo(&format!("{distro}{major}")) else {
        return vec![];
    };
    let mirror = settings.mirrors.get(apt.id).and_then(|all| all.first());
    let Some(mirror) = mirror else {
        return vec![];
    };
    let main = mirror.as_str().trim_end_matches('/');
    let archive = Archive {
        main: main.to_owned(),
        security: main
            .ends_with("/debian")
            .then(|| format!("{main}-security")),
    };
    let text = apt::sources(apt, suite, &archive, &[]);
    let sources = sources::read("usual.sources", &text);
    sources.iter().map(ToString::to_string).collect()
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
                    let loaded = load.first();
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

struct Load<'a> {
    cache: &'a Cache,
    asked: &'a Asked,
    wants: &'a BTreeSet<Want>,
    wanted: &'a BTreeSet<&'a str>,
    /// Now; none where an index may have expired since it was read.
    at: Option<u64>,
}

impl Load<'_> {
    /// From the mirror with the newest index that counts, else from the first other address that has one.
    fn first(&self) -> Result<Loaded> {
        let (mirrors, others) = self.asked.uris.split_at(self.asked.mirrors);
        let mut refused = vec![];
        let mut failed = None;
        let mut fail = |error: Error| match error.kind() {
            Kind::Interrupted(_) => Err(error),
            _ => {
                refused.push(sentence(&error));
                failed = failed.take().or(Some(error));
                Ok(())
            }
        };
        let mut indexes: Vec<Index<'_>> = vec![];
        for uri in mirrors {
            match self.index(uri) {
                Ok(index) => indexes.push(index),
                Err(error) => fail(error)?,
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
                fail(Error::stage(said))?;
            } else if loaded.is_none() {
                match self.lists(index) {
                    Ok(one) => loaded = Some(one),
                    Err(error) => fail(error)?,
                }
            }
        }
        for uri in others {
            if loaded.is_some() {
                break;
            }
            match self.index(uri).and_then(|index| self.lists(index)) {
                Ok(one) => loaded = Some(one),
                Err(error) => fail(error)?,
            }
        }
        match loaded {
            Some(loaded) => Ok(Loaded { refused, ..loaded }),
            None => Err(failed.unwrap_or_else(|| Error::internal("a suite without an address"))),
        }
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
            Some(before) if before.date > release.date => release = before,
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
