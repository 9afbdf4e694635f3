//! What an image has against what its suites offer, by the rules of apt without pins.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::advisories::Finding;
use super::asked::Asked;
use super::rpm::xml::Notice;
use super::sources::Sources;
use super::suite::{Loaded, Offers, Want};
use super::{Packages, Update, kernel};
use crate::address::hide;
use crate::distro::release::Offer;
use crate::error::Result;
use crate::sbom::package::unsigned;
use crate::sbom::version::compare;
use crate::sbom::{Kind, Package};

/// What is told of an image whose updates are known, and nobody says which are security fixes.
pub const UNRATED: &str =
    "none of its repositories says which updates are security fixes: only advisories tell";

/// What was found out about an image.
pub(super) struct Judged {
    pub(super) updates: Vec<Update>,
    pub(super) unread: Vec<String>,
}

/// A suite of the image, and its lists.
struct Suite<'a> {
    loaded: &'a Loaded,
    wants: &'a [Want],
    security: bool,
}

impl Suite<'_> {
    /// What it has for an architecture under a name; a package for all architectures is in the lists of each.
    fn offers(&self, arch: &str, name: &str) -> impl Iterator<Item = &Offer> {
        let lists = self.lists(arch).filter_map(move |list| list.get(name));
        lists.flatten()
    }

    fn lists(&self, arch: &str) -> impl Iterator<Item = &Offers> {
        let fits = move |want: &&Want| matches!(arch, "" | "all" | "noarch") || want.arch == arch;
        let wants = self.wants.iter().filter(fits);
        wants.filter_map(|want| self.loaded.lists.get(want))
    }
}

/// Judges one image; `since` says of a package and a version when an update was seen first, and when that version.
pub(super) fn judge(
    contents: &Packages,
    sources: &Sources,
    loaded: &BTreeMap<Asked, Result<Loaded, String>>,
    since: &dyn Fn(&str, &str) -> (u64, u64),
) -> Judged {
    let mut unread = sources.unread.clone();
    let mut suites = vec![];
    for (asked, wants) in &sources.read {
        match loaded.get(asked) {
            Some(Ok(loaded)) => {
                let missing = wants.iter().filter(|want| !loaded.lists.contains_key(want));
                unread.extend(missing.map(|want| {
                    let (uri, suite) = (hide(&asked.uris[0]), &asked.suite);
                    format!("{uri} {suite} has no {} for {}", want.component, want.arch)
                }));
                suites.push(Suite {
                    loaded,
                    wants,
                    security: loaded.release.is_security(&asked.suite),
                });
            }
            Some(Err(why)) => unread.push(why.clone()),
            None => {}
        }
    }
    if sources.lacks_security && !suites.iter().any(|suite| suite.security) {
        unread.push(
            "none of its sources is one of security fixes: those that are in no other suite are not seen".to_owned(),
        );
    }
    let tells = suites.iter().any(|suite| suite.loaded.tells_notices);
    if contents.kind == Kind::Rpm && !suites.is_empty() && !tells {
        unread.push(UNRATED.to_owned());
    }
    unread.sort();
    unread.dedup();
    let updates = newest(contents).into_iter();
    let updates = updates.filter_map(|package| update(contents.kind, package, &suites, since));
    let mut updates: Vec<Update> = updates.collect();
    updates.extend(kernels(contents, &suites, since));
    updates.sort();
    Judged { updates, unread }
}

/// The packages; of those that RPM has in several versions, as kernels, the newest.
fn newest(contents: &Packages) -> Vec<&Package> {
    if contents.kind != Kind::Rpm {
        return contents.packages.iter().collect();
    }
    let mut all: BTreeMap<(&str, &str), &Package> = BTreeMap::new();
    for package in &contents.packages {
        let best = all.entry((&package.name, &package.arch)).or_insert(package);
        if compare(contents.kind, &best.version, &package.version) == Ordering::Less {
            *best = package;
        }
    }
    all.into_values().collect()
}

/// Newer kernels whose packages have other names, of the newest of each flavour that the image has.
fn kernels(
    contents: &Packages,
    suites: &[Suite<'_>],
    since: &dyn Fn(&str, &str) -> (u64, u64),
) -> Vec<Update> {
    let kind = contents.kind;
    if kind != Kind::Deb {
        return vec![];
    }
    let older = |a: &str, b: &str| compare(kind, a, b) == Ordering::Less;
    let mut newest: BTreeMap<(String, String), &Package> = BTreeMap::new();
    for package in &contents.packages {
        let Some(flavour) = kernel::flavour(&package.name) else {
            continue;
        };
        let (source, version) = package.fixed_source(kind);
        let best = newest
            .entry((flavour, source.into_owned()))
            .or_insert(package);
        if older(best.fixed_source(kind).1, version) {
            *best = package;
        }
    }
    let mut updates = vec![];
    for ((flavour, source), package) in &newest {
        let (_, version) = package.fixed_source(kind);
        let mut counts: Vec<Counted<'_>> = vec![];
        for suite in suites {
            let offers = suite.lists(&package.arch).flatten();
            let offers = offers.flat_map(|(_, offers)| offers);
            let offers = offers.filter(|offer| {
                kernel::flavour(&offer.name).as_deref() == Some(flavour)
                    && *fixed_source(offer).0 == **source
            });
            counts.extend(offers.map(|offer| Counted { suite, offer }));
        }
        let counts = upgrades(counts, &|one| older(fixed_source(one.offer).1, version));
        let pending = counts.into_iter();
        let pending = pending.filter(|one| older(version, fixed_source(one.offer).1));
        let made = said(kind, package, pending.collect(), since).into_iter();
        // Of the same name is what every other package is, too.
        updates.extend(made.filter(|update| update.replaced_by.is_some()));
    }
    updates
}

/// Says of each update which advisories it closes: those that nothing excuses.
pub(super) fn close(kind: Kind, updates: &mut [Update], findings: &[Finding]) {
    for update in updates {
        let closes = |finding: &&Finding| {
            let newer =
                |fixed: &String| compare(kind, &update.source_version, fixed) != Ordering::Less;
            finding.source == update.source
                && finding.excuse.is_none()
                && finding.fixed.as_ref().is_some_and(newer)
        };
        let closed: Vec<&Finding> = findings.iter().filter(closes).collect();
        let severity = closed.iter().map(|finding| finding.severity).max();
        let ids: BTreeSet<&String> = closed.iter().map(|finding| &finding.id).collect();
        update.security |= !closed.is_empty();
        update.severity = update.severity.max(severity.unwrap_or_default());
        let own = std::mem::take(&mut update.advisories);
        let all: BTreeSet<String> = own.into_iter().chain(ids.into_iter().cloned()).collect();
        update.advisories = all.into_iter().collect();
    }
}

/// A package that a suite has.
#[derive(Clone, Copy)]
struct Counted<'a> {
    suite: &'a Suite<'a>,
    offer: &'a Offer,
}

/// What counts of these for upgrades: suites that are automatic, and others where what is installed is `ahead` of
/// all of those: it came from such as backports, and is upgraded from there.
fn upgrades<'a>(
    offers: Vec<Counted<'a>>,
    ahead: &dyn Fn(&Counted<'a>) -> bool,
) -> Vec<Counted<'a>> {
    let usual = |one: &&Counted<'a>| !one.suite.loaded.release.not_automatic;
    let all_ahead = offers.iter().filter(usual).all(ahead);
    let counts = |one: &Counted<'a>| {
        let release = &one.suite.loaded.release;
        !release.not_automatic || (all_ahead && release.upgrades)
    };
    offers.into_iter().filter(counts).collect()
}

/// The newest version that the image would get of a package, if it is newer than what it has.
fn update(
    kind: Kind,
    package: &Package,
    suites: &[Suite<'_>],
    since: &dyn Fn(&str, &str) -> (u64, u64),
) -> Option<Update> {
    let newer = |a: &str, b: &str| compare(kind, a, b) == Ordering::Greater;
    let mut offers = vec![];
    for suite in suites {
        let of = suite.offers(&package.arch, &package.name);
        offers.extend(of.map(|offer| Counted { suite, offer }));
    }
    let counts = upgrades(offers, &|one| newer(&package.version, &one.offer.version));
    let pending = counts.into_iter();
    let pending = pending.filter(|one| newer(&one.offer.version, &package.version));
    said(kind, package, pending.collect(), since)
}

/// Name and version of the source package that an offer's fixes are made in.
fn fixed_source(offer: &Offer) -> (Cow<'_, str>, &str) {
    unsigned(&offer.source, &offer.source_version, &offer.version)
}

/// The best of what is newer.
fn said(
    kind: Kind,
    package: &Package,
    pending: Vec<Counted<'_>>,
    since: &dyn Fn(&str, &str) -> (u64, u64),
) -> Option<Update> {
    // Of one version in several suites that of security fixes counts.
    let best = pending.iter().max_by(|one, other| {
        let version = compare(kind, &one.offer.version, &other.offer.version);
        version.then(one.suite.security.cmp(&other.suite.security))
    })?;
    let offer = best.offer;
    let (source, source_version) = match kind {
        Kind::Deb => fixed_source(offer),
        _ => (offer.source.as_str().into(), offer.source_version.as_str()),
    };
    // What the repositories say of it: fixes that come with this version, and that the installed one lacks.
    let notices = pending.iter();
    let notices = notices.filter_map(|one| one.suite.loaded.notices.get(&package.name));
    let closes = |notice: &&Notice| {
        compare(kind, &package.version, &notice.version) == Ordering::Less
            && compare(kind, &notice.version, &offer.version) != Ordering::Greater
    };
    let notices: Vec<&Notice> = notices.flatten().filter(closes).collect();
    let ids: BTreeSet<&String> = notices.iter().map(|notice| &notice.id).collect();
    let (since, offered) = since(&package.name, &offer.version);
    Some(Update {
        package: package.name.clone(),
        source: source.into_owned(),
        source_version: source_version.to_owned(),
        advisories: ids.into_iter().cloned().collect(),
        severity: notices
            .iter()
            .map(|it| it.severity)
            .max()
            .unwrap_or_default(),
        arch: package.arch.clone(),
        installed: package.version.clone(),
        available: offer.version.clone(),
        replaced_by: (offer.name != package.name).then(|| offer.name.clone()),
        suite: best.suite.loaded.suite.clone(),
        security: !notices.is_empty() || pending.iter().any(|one| one.suite.security),
        since,
        offered,
    })
}
