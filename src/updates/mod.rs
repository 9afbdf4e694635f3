//! Which images have fixes waiting: what the mirrors' signed indexes offer, against the packages that
//! images have.

pub mod advisories;
pub mod apk;
mod asked;
mod cache;
mod judge;
mod kernel;
mod known;
mod limited;
mod lists;
mod report;
pub mod rpm;
mod sources;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::http::Url;
use crate::recipe::Config;
use crate::recipe::config::AdvisoryFormat;
use crate::sbom::cyclonedx::Bill;
use crate::sbom::{self, Contents, Package};
use crate::severity::Severity;
use advisories::Finding;
use cache::Cache;
use judge::Judged;
pub use judge::UNRATED;
use known::{Known, Seen};
pub use known::{Vulnerabilities, vulnerabilities};
use report::key;
use suite::Loaded;

/// An image whose packages are known.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Where it is.
    pub at: Place,
    /// Its packages, or why they are not known.
    pub contents: Result<Packages, String>,
}

/// Where an image is: in a channel, or on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// The image.
    pub image: String,
    /// The architecture, in the kernel's spelling.
    pub arch: String,
    /// The repository, by its name in imgforge.yaml; empty for what this host has built.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The channel; empty for what this host has built.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// The revision that the channel has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// It is the channel's canary, which a share of the machines gets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
}

/// The packages of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// Whose rules their versions follow.
    pub kind: sbom::Kind,
    /// The distribution, such as `debian`.
    pub distro: String,
    /// Its version, such as `12.11`.
    pub release: String,
    /// The packages.
    pub packages: Vec<Package>,
    /// Where they come from, as lines of a `sources.list`; none where nobody has written it down.
    pub sources: Vec<String>,
}

impl From<Contents> for Packages {
    fn from(contents: Contents) -> Self {
        Packages {
            kind: contents.kind,
            distro: contents.distro,
            release: contents.release,
            packages: contents.packages,
            sources: contents.sources,
        }
    }
}

impl From<Bill> for Packages {
    fn from(bill: Bill) -> Self {
        Packages {
            kind: bill.kind,
            distro: bill.distro,
            release: bill.release,
            packages: bill.packages,
            sources: bill.sources,
        }
    }
}

/// What decides which indexes count.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Mirrors by distribution, tried before the addresses that an image names.
    pub mirrors: BTreeMap<String, Vec<Address>>,
    /// Further keyrings by which indexes count, beside the distributions' own.
    pub keyrings: Vec<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
    /// Asks no server.
    pub offline: bool,
    /// Files of advisories.
    pub advisories: Vec<(AdvisoryFormat, Url)>,
    /// OpenVEX documents.
    pub vex: Vec<PathBuf>,
}

impl Settings {
    /// Those of the imgforge.yaml at `root`, for the state directory `state`.
    ///
    /// # Errors
    /// When an address of advisories is none, or what it gives can be changed on its way: nobody signs them.
    pub fn of(config: &Config, root: &Path, state: &Path, offline: bool) -> Result<Self> {
        let below = |names: &[String]| names.iter().map(|name| root.join(name)).collect();
        let files = config.advisories.iter().map(|file| {
            let url = match file.from.contains("://") {
                true => Url::parse(&file.from),
                false => Url::of_path(&root.join(&file.from)),
            }?;
            if url.local().is_none() && !url.is_https() && !url.is_loopback() {
                let said = format!("advisories of {url} can be changed on their way");
                return Err(Error::usage(said).hint(
                    "write its https address, or a file's path, in `advisories:` of imgforge.yaml",
                ));
            }
            Ok((file.format, url))
        });
        Ok(Settings {
            mirrors: config.mirrors.clone(),
            keyrings: below(&config.updates.keyrings),
            state: state.to_owned(),
            offline,
            advisories: files.collect::<Result<_>>()?,
            vex: below(&config.vex),
        })
    }
}

/// Fixes that wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// When it was made, seconds since 1970.
    pub at: u64,
    /// The suites that were read.
    pub suites: Vec<SuiteStatus>,
    /// What of the advisories could not be read, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The images.
    pub images: Vec<ImageUpdates>,
}

/// A suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteStatus {
    /// Its name, such as `trixie-security`.
    pub suite: String,
    /// Address of the archive that was read.
    pub uri: String,
    /// When the archive made its index, seconds since 1970.
    pub date: Option<u64>,
    /// When a server was asked for it last, seconds since 1970.
    pub fetched: u64,
    /// What the mirrors before this one had that did not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// What waits for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageUpdates {
    /// Where it is.
    #[serde(flatten)]
    pub at: Place,
    /// When it was looked at, seconds since 1970.
    #[serde(default)]
    pub looked: u64,
    /// How many packages it has.
    pub packages: usize,
    /// The packages of which there is a newer version.
    pub updates: Vec<Update>,
    /// The vulnerabilities that its packages have, by the advisories that imgforge.yaml names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<Finding>,
    /// What could not be judged, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Updates that were seen before and could not be judged this time, of packages that the image still has as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waited: Vec<Update>,
}

/// A newer version of a package that an image has.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// The package.
    pub package: String,
    /// Its source package.
    pub source: String,
    /// Its architecture.
    pub arch: String,
    /// The version that the image has.
    pub installed: String,
    /// The version that the image would get.
    pub available: String,
    /// The package that has it, where that has another name, as kernels' have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The suite that has it.
    pub suite: String,
    /// The version of its source package.
    pub source_version: String,
    /// Whether a suite of security fixes has a newer version than the image, or an advisory is closed by it.
    pub security: bool,
    /// Identifiers of the advisories that it closes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<String>,
    /// How bad the worst of them is.
    #[serde(default)]
    pub severity: Severity,
    /// When it was seen first, seconds since 1970.
    pub since: u64,
    /// When this version was seen first: while one waits, there may come another one.
    // Reports of an older imgforge lack it.
    #[serde(default)]
    pub offered: u64,
}

/// Judges all images. What one of them needs and no mirror has is told there; the others are judged all
/// the same.
///
/// # Errors
/// When the cache cannot be written, or imgforge is interrupted.
pub fn look(settings: &Settings, subjects: &[Subject], at: u64) -> Result<Report> {
    let cache = Cache::open(
        &settings.state.join("updates/indexes"),
        settings.offline,
        at,
    )?;
    let asked = sources::ask(settings, subjects);
    let wanted: BTreeSet<&str> = subjects
        .iter()
        .filter_map(|subject| subject.contents.as_ref().ok())
        .flat_map(|contents| {
            contents
                .packages
                .iter()
                .map(|package| package.name.as_str())
        })
        .collect();
    let loaded = suite::load_all(&cache, settings, &asked, &wanted, at)?;
    let Known {
        known,
        vex,
        problems,
        ..
    } = known::read(&cache, settings, subjects)?;
    let before = Report::last(&settings.state).unwrap_or_default();
    let mut seen = Seen::read(&settings.state);
    let images = subjects.iter().map(|subject| {
        let old = before
            .images
            .iter()
            .find(|image| key(&image.at) == key(&subject.at));
        let before = |package: &str| {
            let all = old.into_iter();
            let mut all = all.flat_map(|old| old.updates.iter().chain(&old.waited));
            all.find(|update| update.package == package)
        };
        let since = |package: &str, version: &str| match before(package) {
            None => (at, at),
            Some(old) if old.available == version => (old.since, old.offered.max(old.since)),
            Some(old) => (old.since, at),
        };
        match &subject.contents {
            Err(why) => ImageUpdates {
                at: subject.at.clone(),
                looked: at,
                packages: 0,
                updates: vec![],
                advisories: vec![],
                waited: known::waited(old, &[], |_| true),
                unread: vec![why.clone()],
            },
            Ok(contents) => {
                let Judged {
                    mut updates,
                    mut unread,
                } = judge::judge(
                    contents,
                    &sources::of(settings, contents, &subject.at.arch),
                    &loaded,
                    &since,
                );
                let since = |id: &str, published| seen.since(id, published, at);
                let advisories = known.of(contents, &vex, &subject.at.image, &since);
                let lack = (!settings.advisories.is_empty()).then(|| known.lack(contents));
                unread.extend(lack.flatten());
                judge::close(contents.kind, &mut updates, &advisories);
                let is_unread = !unread.is_empty();
                let waits = |old: &Update| {
                    let mut packages = contents.packages.iter();
                    is_unread
                        && packages
                            .any(|one| one.name == old.package && one.version == old.installed)
                };
                ImageUpdates {
                    at: subject.at.clone(),
                    looked: at,
                    advisories,
                    packages: contents.packages.len(),
                    waited: known::waited(old, &updates, waits),
                    updates,
                    unread,
                }
            }
        }
    });
    let images: Vec<ImageUpdates> = images.collect();
    images.iter().for_each(|image| seen.add(&image.advisories));
    seen.keep(&settings.state)?;
    let suites: BTreeSet<SuiteStatus> = loaded.values().flatten().map(Loaded::status).collect();
    cache.tidy();
    Ok(Report {
        at,
        suites: suites.into_iter().collect(),
        problems,
        images,
    })
}
