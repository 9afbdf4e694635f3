//! What an image has against what its suites offer, by the rules of apt without pins.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::advisories::Finding;
use super::sources::Sources;
use super::suite::{Asked, Loaded, Want};
use super::{Packages, Update};
use crate::address::hide;
use crate::distro::release::Offer;
use crate::error::Result;
use crate::sbom::version::compare;
use crate::sbom::{Kind, Package};
use crate::severity::Severity;

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

/// Judges one image; `since` says when an update of a package was seen first.
pub(super) fn judge(
    contents: &Packages,
    sources: &Sources,
    loaded: &BTreeMap<Asked, Result<Loaded, String>>,
    since: &dyn Fn(&str) -> u64,
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
    unread.sort();
    unread.dedup();
    let updates = contents.packages.iter();
    let updates = updates.filter_map(|package| update(contents.kind, package, &suites, since));
    let mut updates: Vec<Update> = updates.collect();
    updates.sort();
    Judged { updates, unread }
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
        let ids = closed.iter().map(|finding| finding.id.clone()).collect();
        update.security |= !closed.is_empty();
        update.severity = severity.unwrap_or_default();
        update.advisories = ids;
    }
}

/// The newest version that the image would get of a package, if it is newer than what it has.
fn update(
    kind: Kind,
    package: &Package,
    suites: &[Suite<'_>],
    since: &dyn Fn(&str) -> u64,
) -> Option<Update> {
    let newer = |a: &str, b: &str| compare(kind, a, b) == Ordering::Greater;
    let of = |suite: &Suite<'_>| -> Vec<Offer> {
        // A package for all architectures is in the lists of each.
        let fits = |want: &&Want| matches!(&*package.arch, "" | "all") || want.arch == package.arch;
        let lists = suite.wants.iter().filter(fits);
        let lists = lists.filter_map(|want| suite.loaded.lists.get(want)?.get(&package.name));
        lists.flatten().cloned().collect()
    };
    let offers: Vec<(&Suite<'_>, Offer)> = suites
        .iter()
        .flat_map(|suite| of(suite).into_iter().map(move |offer| (suite, offer)))
        .collect();
    let usual = offers
        .iter()
        .filter(|(suite, _)| !suite.loaded.release.not_automatic);
    let usual: Vec<_> = usual.collect();
    // What is newer than all that is installed by itself came from such as backports, and is upgraded from there.
    let ahead = usual
        .iter()
        .all(|(_, offer)| newer(&package.version, &offer.version));
    let also = offers.iter().filter(|(suite, _)| {
        ahead && suite.loaded.release.not_automatic && suite.loaded.release.upgrades
    });
    let counts: Vec<_> = usual.into_iter().chain(also).collect();
    let pending = counts
        .into_iter()
        .filter(|(_, offer)| newer(&offer.version, &package.version));
    let pending: Vec<&(&Suite<'_>, Offer)> = pending.collect();
    // Of one version in several suites that of security fixes counts.
    let (suite, best) = pending.iter().max_by(|(suite, offer), (other, than)| {
        let version = compare(kind, &offer.version, &than.version);
        version.then(suite.security.cmp(&other.security))
    })?;
    Some(Update {
        package: package.name.clone(),
        source: best.source.clone(),
        source_version: best.source_version.clone(),
        advisories: vec![],
        severity: Severity::Unknown,
        arch: package.arch.clone(),
        installed: package.version.clone(),
        available: best.version.clone(),
        suite: suite.loaded.suite.clone(),
        security: pending.iter().any(|(suite, _)| suite.security),
        since: since(&package.name),
    })
}
