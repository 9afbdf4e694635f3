//! Advisories: which vulnerabilities packages have, by files in OSV's format or Debian's security tracker's, and
//! which of them do not apply, by OpenVEX. Read as streams: of a file of any length only what is about the
//! wanted packages is kept.

mod ecosystem;
mod osv;
mod tracker;
mod vex;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Packages;
use crate::error::{Error, Result};
use crate::recipe::config::AdvisoryFormat as Format;
use crate::sbom::Kind;
use crate::sbom::version::compare;
use crate::severity::Severity;
pub use vex::{Excuse, Vex, of_bytes as vex_of_bytes, read as read_vex};

/// What an advisory is, wherever it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Its identifier.
    pub id: String,
    /// Other identifiers of the same.
    pub aliases: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// When it was published, seconds since 1970.
    pub published: Option<u64>,
}

/// A vulnerability that an image's package has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The advisory's identifier.
    pub id: String,
    /// Other identifiers of the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// The source package.
    pub source: String,
    /// The version of that in the image.
    pub installed: String,
    /// The version that does not have it; none where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// When it was published, else when it was seen first; seconds since 1970.
    pub since: u64,
    /// Why it does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excuse: Option<Excuse>,
}

/// Versions of a source package that an advisory is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Span {
    /// The first; none for all.
    introduced: Option<String>,
    /// The first that is not affected any more.
    fixed: Option<String>,
    /// The last that is affected.
    last: Option<String>,
}

/// An advisory about one source package of one release.
#[derive(Debug, Clone)]
struct Entry {
    advisory: Arc<Advisory>,
    ecosystem: String,
    spans: Vec<Span>,
    /// Further versions.
    versions: Vec<String>,
}

/// How much is kept of all advisories, in bytes: of Debian's tracker 100,000 states of vulnerabilities.
const MOST: usize = 96 << 20;

/// All advisories about the wanted packages of the releases that images have.
#[derive(Debug, Default)]
pub struct Advisories {
    by_package: HashMap<String, Vec<Entry>>,
    /// The images' releases, and whether any advisory is about one.
    releases: BTreeMap<ecosystem::Release, bool>,
    /// How many advisories were read, those about other packages too.
    count: u64,
    /// About how much memory they take, in bytes.
    kept: usize,
}

impl Advisories {
    /// None yet, to read those that are about the releases of these images.
    pub fn about<'a>(images: impl IntoIterator<Item = &'a Packages>) -> Self {
        let releases = images.into_iter().map(ecosystem::Release::of);
        Advisories {
            releases: releases.map(|release| (release, false)).collect(),
            ..Advisories::default()
        }
    }

    /// Reads a file, or a directory, into these.
    ///
    /// # Errors
    /// When it cannot be read, is of another format, or has more about the wanted packages than fits.
    pub fn read(&mut self, format: Format, path: &Path, wanted: &BTreeSet<&str>) -> Result<()> {
        let before = self.count;
        let read = match format {
            Format::Osv => osv::read(path, wanted, self),
            Format::DebianTracker => tracker::read(path, wanted, self),
        };
        let shown = path.display();
        if self.kept > MOST {
            let said = format!("{shown} has more advisories about the images' packages than fit");
            return Err(Error::stage(said)
                .cause(format!("{} MiB are kept of all of them", MOST >> 20))
                .hint("`advisories:` in imgforge.yaml names the file: does it belong there?"));
        }
        let read = match self.count == before {
            true => read.and(Err(io::Error::other("it has no advisory at all"))),
            false => read,
        };
        read.map_err(|cause| {
            let format = match format {
                Format::Osv => "OSV's format",
                Format::DebianTracker => "the format of Debian's security tracker",
            };
            Error::stage(format!("{shown} has no advisories in {format}"))
                .cause(cause)
                .hint("`advisories:` in imgforge.yaml names the file and its format")
        })
    }

    /// Counts an advisory, whatever it is about.
    fn count(&mut self) {
        self.count += 1;
    }

    /// Notes that some advisory is about a release.
    fn knows(&mut self, ecosystem: &str) {
        for (release, known) in &mut self.releases {
            *known |= release.is(ecosystem);
        }
    }

    /// Why the advisories do not tell which vulnerabilities an image has, as a sentence: none of them is about
    /// its release.
    pub fn lack(&self, contents: &Packages) -> Option<String> {
        let known = self.releases.get(&ecosystem::Release::of(contents));
        let (distro, number) = (&contents.distro, &contents.release);
        (known != Some(&true)).then(|| {
            let what = format!("{distro} {number}");
            format!("no advisory is about its release, {}", what.trim())
        })
    }

    /// Keeps an advisory about a package, where an image has its release, and as long as there is room.
    fn add(&mut self, package: &str, entry: Entry) {
        if self.kept > MOST || !self.releases.keys().any(|it| it.is(&entry.ecosystem)) {
            return;
        }
        self.kept += entry.size();
        self.by_package
            .entry(package.to_owned())
            .or_default()
            .push(entry);
    }

    /// Whether there is none about any of the wanted packages.
    pub fn is_empty(&self) -> bool {
        self.by_package.is_empty()
    }

    /// The vulnerabilities that an image has; `since` says since when one is known, by its identifier and the day
    /// of its publication.
    pub fn of(
        &self,
        contents: &Packages,
        vex: &[Vex],
        image: &str,
        since: &dyn Fn(&str, Option<u64>) -> u64,
    ) -> Vec<Finding> {
        let mut found: BTreeSet<Finding> = BTreeSet::new();
        let release = ecosystem::Release::of(contents);
        for package in &contents.packages {
            let (source, version) = package.fixed_source(contents.kind);
            let mut names = vec![(&*source, version)];
            // Of RPM packages some name the source package, others each package made of it. A package of
            // Debian's may have the name of another source package.
            if contents.kind == Kind::Rpm && package.name != source {
                names.push((&*package.name, &*package.version));
            }
            for (name, version) in names {
                let entries = self.by_package.get(name).into_iter().flatten();
                for entry in entries.filter(|entry| release.is(&entry.ecosystem)) {
                    let Some(fixed) = entry.affects(contents.kind, version) else {
                        continue;
                    };
                    let advisory = &*entry.advisory;
                    let about = vex::About {
                        contents,
                        package,
                        source: (&*source, version),
                        image,
                    };
                    found.insert(Finding {
                        id: advisory.id.clone(),
                        aliases: advisory.aliases.clone(),
                        severity: advisory.severity,
                        source: (*source).to_owned(),
                        installed: version.to_owned(),
                        fixed,
                        since: since(&advisory.id, advisory.published),
                        excuse: vex::excuse(vex, advisory, &about),
                    });
                }
            }
        }
        let mut found: Vec<Finding> = found.into_iter().collect();
        rate(&mut found);
        found
    }
}

/// Gives advisories that do not say how bad they are (DSA, USN) the severity of the worst vulnerability that
/// they name, where another advisory says that.
fn rate(found: &mut [Finding]) {
    let mut known: HashMap<String, Severity> = HashMap::new();
    for finding in found.iter() {
        for id in finding.ids() {
            let worst = known.entry(id.clone()).or_default();
            // What says nothing of itself says nothing of others.
            *worst = (*worst).max(finding.severity);
        }
    }
    for finding in found.iter_mut() {
        if finding.severity == Severity::Unknown {
            let all = finding.ids().filter_map(|id| known.get(id));
            finding.severity = all.copied().max().unwrap_or_default();
        }
    }
}

impl Finding {
    fn ids(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.id).chain(&self.aliases)
    }

    /// Whether all that it is about is among what `accepts` takes: it itself, or each of its CVEs where it has
    /// several, or any of its names where it has one.
    pub fn is_accepted(&self, accepts: &dyn Fn(&str) -> bool) -> bool {
        let cves: Vec<&String> = self.ids().filter(|id| is_cve(id)).collect();
        match cves.len() > 1 {
            true => accepts(&self.id) || cves.into_iter().all(|id| accepts(id)),
            false => self.ids().any(|id| accepts(id)),
        }
    }
}

/// Whether an identifier is that of one vulnerability, by its only registry.
fn is_cve(id: &str) -> bool {
    id.starts_with("CVE-")
}

impl Entry {
    /// About how much memory it takes, in bytes.
    fn size(&self) -> usize {
        let texts = |all: &[String]| all.iter().map(|one| one.len() + 40).sum::<usize>();
        let Advisory { id, aliases, .. } = &*self.advisory;
        // A list has room for up to twice as much.
        2 * size_of::<Entry>()
            + size_of::<Advisory>()
            + self.spans.len() * (size_of::<Span>() + 80)
            + (id.len() + self.ecosystem.len() + 80)
            + texts(aliases)
            + texts(&self.versions)
    }

    /// Whether a version is affected, and which is not any more.
    fn affects(&self, kind: Kind, version: &str) -> Option<Option<String>> {
        let before = |a: &str, b: &str| compare(kind, a, b) == Ordering::Less;
        let span = self.spans.iter().find(|span| {
            let begun = span
                .introduced
                .as_deref()
                .is_none_or(|first| !before(version, first));
            let fixed = span
                .fixed
                .as_deref()
                .is_some_and(|fixed| !before(version, fixed));
            let past = span
                .last
                .as_deref()
                .is_some_and(|last| before(last, version));
            begun && !fixed && !past
        });
        match span {
            Some(span) => Some(span.fixed.clone()),
            None => self
                .versions
                .iter()
                .any(|one| one == version)
                .then_some(None),
        }
    }
}
