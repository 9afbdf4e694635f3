//! What this host knows of advisories: those of imgforge.yaml, and when it saw each first.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use super::advisories::{self, Advisories, Finding, Vex};
use super::cache::Cache;
use super::{ImageUpdates, Settings, Subject, Update, suite};
use crate::error::{Kind, Result};

/// Where it stands when advisories were seen first.
const SEEN: &str = "updates/seen.json";

/// What is known of the vulnerabilities of images.
#[derive(Debug, Default)]
pub struct Vulnerabilities {
    /// Those that the packages of each image have, in the order of the images.
    pub findings: Vec<Vec<Finding>>,
    /// What of the advisories could not be read, a sentence each.
    pub problems: Vec<String>,
    /// The file of advisories that is the oldest, and of when it is, in seconds since 1970.
    pub oldest: Option<(u64, String)>,
}

/// The vulnerabilities that the packages of each image have.
///
/// # Errors
/// As [`look`](super::look), and when an OpenVEX document is wrong.
pub fn vulnerabilities(
    settings: &Settings,
    subjects: &[Subject],
    at: u64,
) -> Result<Vulnerabilities> {
    let dir = settings.state.join("updates/indexes");
    let cache = Cache::open(&dir, settings.offline, at)?;
    let Known {
        known,
        vex,
        problems,
        oldest,
    } = read(&cache, settings, subjects)?;
    let mut seen = Seen::read(&settings.state);
    let mut problems: BTreeSet<String> = problems.into_iter().collect();
    let findings = subjects.iter().map(|subject| match &subject.contents {
        Ok(contents) => {
            let lack = (!settings.advisories.is_empty()).then(|| known.lack(contents));
            let name = &subject.at.image;
            problems.extend(
                lack.flatten()
                    .map(|why| format!("{name} is not judged: {why}")),
            );
            let since = |id: &str, published| seen.since(id, published, at);
            known.of(contents, &vex, name, &since)
        }
        Err(_) => vec![],
    });
    let findings: Vec<Vec<Finding>> = findings.collect();
    findings.iter().for_each(|findings| seen.add(findings));
    seen.keep(&settings.state)?;
    Ok(Vulnerabilities {
        findings,
        problems: problems.into_iter().collect(),
        oldest,
    })
}

/// The updates that were seen before, `old`, and are not among what could be judged now, as far as they still wait: a
/// mirror that does not answer for a day takes nobody's days away.
pub(super) fn waited(
    old: Option<&ImageUpdates>,
    updates: &[Update],
    still_waits: impl Fn(&Update) -> bool,
) -> Vec<Update> {
    let before = old.into_iter();
    let before = before.flat_map(|old| old.updates.iter().chain(&old.waited));
    let is_judged = |one: &Update| updates.iter().any(|it| it.package == one.package);
    let waits = before.filter(|one| !is_judged(one) && still_waits(one));
    waits.cloned().collect()
}

/// When this host saw advisories first.
#[derive(Debug, Default)]
pub(super) struct Seen {
    first: BTreeMap<String, u64>,
    /// Why nobody knows, as a sentence: then nothing is kept, and no time of grace begins anew.
    damaged: Option<String>,
}

impl Seen {
    pub(super) fn read(state: &Path) -> Self {
        let path = state.join(SEEN);
        let first = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        };
        match first {
            Ok(first) => Seen {
                first,
                damaged: None,
            },
            Err(why) => Seen {
                first: BTreeMap::new(),
                damaged: Some(format!(
                    "nobody knows since when this host knows advisories: {} is damaged ({why}); put it back, \
                     or remove it: then they are new",
                    path.display()
                )),
            },
        }
    }

    /// Since when an advisory is known: when it was published, else when it was seen first; `at` is now. One that
    /// is published some day only has no other day than that.
    pub(super) fn since(&self, id: &str, published: Option<u64>, at: u64) -> u64 {
        let first = || self.first.get(id).copied().unwrap_or(at).min(at);
        published
            .filter(|published| *published <= at)
            .unwrap_or_else(first)
    }

    pub(super) fn add(&mut self, findings: &[Finding]) {
        for finding in findings {
            let first = &mut self.first;
            first.entry(finding.id.clone()).or_insert(finding.since);
        }
    }

    /// Keeps it, with what others have seen since it was read; a damaged one stays as it is.
    pub(super) fn keep(&self, state: &Path) -> Result<()> {
        let Seen {
            first: mut all,
            damaged,
        } = Seen::read(state);
        if damaged.is_some() || self.damaged.is_some() {
            return Ok(());
        }
        for (id, since) in &self.first {
            let first = all.entry(id.clone()).or_insert(*since);
            *first = (*first).min(*since);
        }
        let text = serde_json::to_vec(&all).unwrap_or_default();
        crate::host::durable::write_atomic(&state.join(SEEN), &text)
    }
}

/// What this host has read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) known: Advisories,
    /// What excuses from some.
    pub(super) vex: Vec<Vex>,
    /// What could not be read.
    pub(super) problems: Vec<String>,
    oldest: Option<(u64, String)>,
}

/// The advisories about the packages of these images, what excuses from some, and what could not be read.
///
/// # Errors
/// When an OpenVEX document is wrong, or imgforge is interrupted.
pub(super) fn read(cache: &Cache, settings: &Settings, subjects: &[Subject]) -> Result<Known> {
    let mut wanted: BTreeSet<Cow<'_, str>> = BTreeSet::new();
    for contents in subjects.iter().flat_map(|subject| &subject.contents) {
        for package in &contents.packages {
            let (source, _) = package.fixed_source(contents.kind);
            wanted.extend([source, (&*package.name).into()]);
        }
    }
    let wanted: BTreeSet<&str> = wanted.iter().map(|name| &**name).collect();
    let images = subjects.iter().flat_map(|subject| &subject.contents);
    let (mut known, mut problems) = (Advisories::about(images), vec![]);
    if !settings.advisories.is_empty() {
        problems.extend(Seen::read(&settings.state).damaged);
    }
    let mut files = vec![];
    for (format, url) in &settings.advisories {
        let read = cache.large(url).and_then(|(path, of)| {
            files.push((of, url.to_string()));
            known.read(*format, &path, &wanted)
        });
        match read {
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error),
            Err(error) => problems.push(suite::sentence(&error)),
            Ok(()) => {}
        }
    }
    let vex = settings.vex.iter().map(|path| advisories::read_vex(path));
    let vex: Vec<Vec<Vex>> = vex.collect::<Result<_>>()?;
    Ok(Known {
        known,
        vex: vex.concat(),
        problems,
        oldest: files.into_iter().min(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::severity::Severity;

    fn finding(id: &str, since: u64) -> Finding {
        Finding {
            id: id.into(),
            aliases: vec![],
            severity: Severity::Unknown,
            source: String::new(),
            installed: String::new(),
            fixed: None,
            since,
            excuse: None,
        }
    }

    #[test]
    fn an_advisory_of_tomorrow_is_known_since_it_was_seen() {
        let mut seen = Seen::default();
        assert_eq!(seen.since("CVE-1", Some(50), 100), 50);
        assert_eq!(seen.since("CVE-1", Some(9000), 100), 100);
        seen.add(&[finding("CVE-1", 100)]);
        assert_eq!(seen.since("CVE-1", Some(9000), 200), 100);
        assert_eq!(seen.since("CVE-1", None, 200), 100);
    }

    #[test]
    fn what_two_builds_have_seen_at_once_is_kept_of_both() {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("updates")).unwrap();
        let [mut one, mut other] = [0, 0].map(|_| Seen::read(state.path()));
        one.add(&[finding("CVE-1", 100)]);
        other.add(&[finding("CVE-1", 200), finding("CVE-2", 200)]);
        one.keep(state.path()).unwrap();
        other.keep(state.path()).unwrap();
        let kept = Seen::read(state.path()).first;
        assert_eq!(kept, [("CVE-1".into(), 100), ("CVE-2".into(), 200)].into());
    }

    #[test]
    fn what_is_damaged_is_told_and_stays() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(SEEN);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        assert_eq!(Seen::read(state.path()).damaged, None);
        for text in ["", "{\"CVE-1\": 100", "[]", "\0\0"] {
            std::fs::write(&path, text).unwrap();
            let mut seen = Seen::read(state.path());
            let why = seen.damaged.clone().unwrap();
            assert!(why.contains("seen.json is damaged"), "{why}");
            seen.add(&[finding("CVE-1", 200)]);
            seen.keep(state.path()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
