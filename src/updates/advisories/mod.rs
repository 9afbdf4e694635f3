//! Advisories: which vulnerabilities packages have, by files in OSV's format or Debian's security tracker's, and
//! which of them do not apply, by OpenVEX. Read as streams: of a file of any length only what is about the
//! wanted packages is kept.

mod osv;
mod tracker;
mod vex;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Packages;
use crate::error::{Error, Result};
use crate::recipe::config::AdvisoryFormat as Format;
use crate::sbom::version::compare;
use crate::sbom::{Kind, Package};
use crate::severity::Severity;
pub use vex::{Excuse, Vex, read as read_vex};

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

/// All advisories about the wanted packages.
#[derive(Debug, Default)]
pub struct Advisories {
    by_package: HashMap<String, Vec<Entry>>,
}

impl Advisories {
    /// Reads a file, or a directory, into these.
    ///
    /// # Errors
    /// When it cannot be read, or is of another format.
    pub fn read(&mut self, format: Format, path: &Path, wanted: &BTreeSet<&str>) -> Result<()> {
        let read = match format {
            Format::Osv => osv::read(path, wanted, self),
            Format::DebianTracker => tracker::read(path, wanted, self),
        };
        read.map_err(|cause| {
            let format = match format {
                Format::Osv => "OSV's format",
                Format::DebianTracker => "the format of Debian's security tracker",
            };
            Error::stage(format!("{} has no advisories in {format}", path.display()))
                .cause(cause)
                .hint("`advisories:` in imgforge.yaml names the file and its format")
        })
    }

    fn add(&mut self, package: &str, entry: Entry) {
        self.by_package
            .entry(package.to_owned())
            .or_default()
            .push(entry);
    }

    /// Whether there is none about any of the wanted packages.
    pub fn is_empty(&self) -> bool {
        self.by_package.is_empty()
    }

    /// The vulnerabilities that an image has; `at` is when those without a date were seen first.
    pub fn of(
        &self,
        contents: &Packages,
        vex: &[Vex],
        image: &str,
        at: &dyn Fn(&str) -> u64,
    ) -> Vec<Finding> {
        let mut found: BTreeSet<Finding> = BTreeSet::new();
        let release = ecosystem::Release::of(contents);
        for package in &contents.packages {
            let (source, version) = package.source(contents.kind);
            // Some name the source package, others each package made of it.
            let names = BTreeSet::from([source, package.name.as_str()]);
            let entries = names
                .into_iter()
                .filter_map(|name| Some((name, self.by_package.get(name)?)));
            for (name, entries) in entries {
                let version = match name == source {
                    true => version,
                    false => package.version.as_str(),
                };
                for entry in entries.iter().filter(|entry| release.is(&entry.ecosystem)) {
                    if let Some(fixed) = entry.affects(contents.kind, version) {
                        let Advisory {
                            id,
                            aliases,
                            severity,
                            published,
                        } = &*entry.advisory;
                        found.insert(Finding {
                            id: id.clone(),
                            aliases: aliases.clone(),
                            severity: *severity,
                            source: source.to_owned(),
                            installed: version.to_owned(),
                            fixed,
                            since: published.unwrap_or_else(|| at(id)),
                            excuse: vex::excuse(vex, &entry.advisory, package, source, image),
                        });
                    }
                }
            }
        }
        found.into_iter().collect()
    }
}

impl Entry {
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

/// Releases, as advisories name them.
mod ecosystem {
    use super::Packages;

    /// The release of an image.
    pub(super) struct Release {
        distro: &'static str,
        version: String,
    }

    /// OSV's words for libguestfs' names of distributions.
    const NAMES: &[(&str, &str)] = &[
        ("debian", "Debian"),
        ("ubuntu", "Ubuntu"),
        ("alpinelinux", "Alpine"),
        ("alpine", "Alpine"),
        ("rocky", "Rocky Linux"),
        ("almalinux", "AlmaLinux"),
        ("rhel", "Red Hat"),
        ("opensuse", "openSUSE"),
        ("sles", "SUSE"),
    ];

    impl Release {
        pub(super) fn of(contents: &Packages) -> Release {
            let name = NAMES.iter().find(|(id, _)| *id == contents.distro);
            let parts: Vec<&str> = contents.release.split('.').collect();
            let version = match contents.distro.as_str() {
                "debian" | "rocky" | "almalinux" | "rhel" => parts[0].to_owned(),
                _ => parts[..parts.len().min(2)].join("."),
            };
            Release {
                distro: name.map_or("", |(_, name)| name),
                version,
            }
        }

        /// Whether an ecosystem such as `Debian:12` or `Ubuntu:24.04:LTS` is this; one without a release is all.
        pub(super) fn is(&self, ecosystem: &str) -> bool {
            let (name, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
            if name != self.distro || self.distro.is_empty() {
                return false;
            }
            // What only customers get is told as such.
            let release = release.strip_prefix('v').unwrap_or(release);
            let release = release.trim_end_matches(":LTS");
            let within = |text: &str| text.split([':', '-']).any(|part| part == self.version);
            match name {
                "Red Hat" => release.starts_with("enterprise_linux:") && within(release),
                _ => release.is_empty() || release == self.version,
            }
        }
    }
}

/// The word of a code name, for the tracker's releases.
fn ecosystem_of_suite(suite: &str) -> Option<String> {
    let (_, known) =
        crate::distro::all().find(|(apt, known)| apt.id == "debian" && known.name == suite)?;
    let number = known.osinfo.strip_prefix("debian")?;
    Some(format!("Debian:{number}"))
}
