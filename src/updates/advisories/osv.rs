//! OSV's format: <https://ossf.github.io/osv-schema/>.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::super::limited::Limited;
use super::{Advisories, Advisory, Entry, Span, ecosystem};
use crate::host::opened;
use crate::sbom::Kind;
use crate::sbom::version::compare;
use crate::severity::Severity;

/// The largest single advisory, in bytes.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct Osv {
    id: String,
    #[serde(default, deserialize_with = "or_null")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    severity: Vec<Score>,
    #[serde(default, deserialize_with = "or_null")]
    affected: Vec<Affected>,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    database_specific: Words,
}

/// What some databases say of the severity; all else there is passed over.
#[derive(Default, Deserialize)]
struct Words {
    #[serde(default)]
    severity: Value,
    /// Debian's.
    #[serde(default)]
    urgency: Value,
    /// Ubuntu's.
    #[serde(default)]
    ubuntu_priority: Value,
}

impl Words {
    fn severity(&self) -> Option<Severity> {
        let words = [&self.severity, &self.urgency, &self.ubuntu_priority];
        words.iter().find_map(|word| word.as_str()?.parse().ok())
    }
}

/// Some programs write `null` for nothing.
fn or_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Score {
    #[serde(default)]
    score: String,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default)]
    package: Option<Named>,
    #[serde(default, deserialize_with = "or_null")]
    ranges: Vec<Range>,
    #[serde(default, deserialize_with = "or_null")]
    versions: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    severity: Vec<Score>,
    #[serde(default, deserialize_with = "or_null")]
    ecosystem_specific: Words,
}

#[derive(Deserialize)]
struct Named {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_null")]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    introduced: Option<String>,
    #[serde(default)]
    fixed: Option<String>,
    #[serde(default)]
    last_affected: Option<String>,
}

/// Reads a zip, a directory, or a file: one advisory, many after each other, or a list of them.
pub(super) fn read(path: &Path, wanted: &BTreeSet<&str>, into: &mut Advisories) -> io::Result<()> {
    if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|end| end == "json"));
        files.sort();
        return files
            .iter()
            .try_for_each(|file| stream(opened::open(file)?, wanted, into));
    }
    let mut file = opened::open(path)?;
    let mut magic = [0u8; 2];
    let read = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    if &magic[..read] != b"PK" {
        return stream(file, wanted, into);
    }
    let mut archive = zip::ZipArchive::new(BufReader::new(file))?;
    for number in 0..archive.len() {
        let entry = archive.by_index(number)?;
        if entry.name()?.ends_with(".json") {
            stream(entry, wanted, into)?;
        }
    }
    Ok(())
}

fn stream(from: impl Read, wanted: &BTreeSet<&str>, into: &mut Advisories) -> io::Result<()> {
    let left = Cell::new(LARGEST);
    let from = Limited {
        from,
        left: &left,
        said: "an advisory has more than 64 MiB",
    };
    let mut from = BufReader::with_capacity(256 << 10, from);
    let is_list = loop {
        use std::io::BufRead as _;
        let next = from
            .fill_buf()?
            .iter()
            .find(|byte| !byte.is_ascii_whitespace())
            .copied();
        match (next, from.buffer().len()) {
            (Some(byte), _) => break byte == b'[',
            (None, 0) => return Ok(()),
            (None, blank) => from.consume(blank),
        }
    };
    let mut take = |osv: Osv| {
        left.set(LARGEST);
        add(osv, wanted, into);
    };
    if is_list {
        let mut json = serde_json::Deserializer::from_reader(from);
        json.deserialize_seq(Each(&mut take))?;
        return Ok(json.end()?);
    }
    let all = serde_json::Deserializer::from_reader(from).into_iter::<Osv>();
    for osv in all {
        take(osv?);
    }
    Ok(())
}

/// The elements of a list, one at a time.
struct Each<'a>(&'a mut dyn FnMut(Osv));

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of advisories")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while let Some(osv) = all.next_element()? {
            (self.0)(osv);
        }
        Ok(())
    }
}

fn add(osv: Osv, wanted: &BTreeSet<&str>, into: &mut Advisories) {
    into.count();
    if osv.withdrawn.is_some() {
        return;
    }
    let packages = || osv.affected.iter().filter_map(|it| it.package.as_ref());
    packages().for_each(|package| into.knows(&package.ecosystem));
    if !packages().any(|package| wanted.contains(package.name.as_str())) {
        return;
    }
    let published = osv
        .published
        .as_deref()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let published = published.and_then(|at| u64::try_from(at.as_second()).ok());
    let best = |scores: &[Score]| {
        let scores = scores
            .iter()
            .filter_map(|score| score.score.parse::<Severity>().ok());
        scores.max()
    };
    let whole = best(&osv.severity).or_else(|| osv.database_specific.severity());
    let mut aliases = [osv.aliases, osv.upstream].concat();
    aliases.sort();
    aliases.dedup();
    for affected in osv.affected {
        let Some(package) = affected
            .package
            .filter(|it| wanted.contains(it.name.as_str()))
        else {
            continue;
        };
        let severity = best(&affected.severity)
            .or_else(|| affected.ecosystem_specific.severity())
            .or(whole)
            .unwrap_or_default();
        let kind = ecosystem::kind(&package.ecosystem);
        let ranges = affected.ranges.iter().filter(|range| range.kind != "GIT");
        let spans = ranges.flat_map(|range| spans(kind, &range.events));
        let spans: Vec<Span> = spans.collect();
        let versions = match spans.is_empty() {
            true => affected.versions,
            false => vec![],
        };
        let entry = Entry {
            advisory: Arc::new(Advisory {
                id: osv.id.clone(),
                aliases: aliases.clone(),
                severity,
                published,
            }),
            ecosystem: package.ecosystem,
            spans,
            versions,
        };
        into.add(&package.name, entry);
    }
}

/// What begins or ends at a version.
#[derive(Clone, Copy, PartialEq)]
enum Bound {
    Introduced,
    Fixed,
    Last,
}

/// The spans between events, which need not be in order.
fn spans(kind: Kind, events: &[Event]) -> Vec<Span> {
    let mut bounds: Vec<(Bound, &str)> = vec![];
    for event in events {
        let all = [
            (Bound::Introduced, &event.introduced),
            (Bound::Fixed, &event.fixed),
            (Bound::Last, &event.last_affected),
        ];
        bounds.extend(
            all.iter()
                .filter_map(|(bound, at)| Some((*bound, at.as_deref()?))),
        );
    }
    bounds.sort_by(|(_, a), (_, b)| match (*a, *b) {
        // Before all versions.
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        (a, b) => compare(kind, a, b),
    });
    let mut all: Vec<Span> = vec![];
    let mut open = false;
    for (bound, version) in bounds {
        let version = version.to_owned();
        match (bound, all.last_mut()) {
            (Bound::Introduced, _) if !open => all.push(Span {
                introduced: (version != "0").then_some(version),
                ..Span::default()
            }),
            (Bound::Fixed, Some(span)) if open => span.fixed = Some(version),
            (Bound::Last, Some(span)) if open => span.last = Some(version),
            _ => continue,
        }
        open = bound == Bound::Introduced;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::Packages;
    use super::*;

    /// Of each version whether it is affected, and what fixes it.
    fn judged(events: &str, versions: &[&str]) -> Vec<Option<Option<String>>> {
        let events: Vec<Event> = serde_json::from_str(events).unwrap();
        let entry = Entry {
            advisory: Arc::new(Advisory {
                id: String::new(),
                aliases: vec![],
                severity: Severity::Unknown,
                published: None,
            }),
            ecosystem: "Debian:12".into(),
            spans: spans(Kind::Deb, &events),
            versions: vec![],
        };
        let all = versions.iter();
        all.map(|version| entry.affects(Kind::Deb, version))
            .collect()
    }

    #[test]
    fn events_in_any_order_are_what_osv_says() {
        let fixed = |version: &str| Some(Some(version.to_owned()));
        for events in [
            r#"[{"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "2.0"}, {"fixed": "2.5"}]"#,
            r#"[{"fixed": "2.5"}, {"fixed": "1.10"}, {"introduced": "2.0"}, {"introduced": "0"}]"#,
        ] {
            let judged = judged(events, &["0~", "1.9", "1.10", "1.99", "2.0", "2.5"]);
            let expected = [fixed("1.10"), fixed("1.10"), None, None, fixed("2.5"), None];
            assert_eq!(judged, expected, "{events}");
        }
        let last = r#"[{"last_affected": "1.1"}, {"introduced": "1.0"}]"#;
        assert_eq!(
            judged(last, &["0.9", "1.0", "1.1", "1.2"]),
            [None, Some(None), Some(None), None]
        );
        // What is fixed twice is fixed by the first.
        let twice = r#"[{"introduced": "0"}, {"fixed": "2.1"}, {"fixed": "1.1"}]"#;
        assert_eq!(judged(twice, &["1.0", "1.5"]), [fixed("1.1"), None]);
    }

    #[test]
    fn what_real_databases_write_is_read() {
        let text = r#"{"id": "CVE-1", "aliases": null, "related": [], "severity": [
            {"type": "CVSS_V3", "score": "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}], "database_specific": null,
            "affected": [{"package": {"ecosystem": "Ubuntu:24.04:LTS", "name": "glibc"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}], "versions": ["2.39-0ubuntu8"],
            "ecosystem_specific": {"binaries": [{"libc6": "1"}], "ubuntu_priority": "negligible"}}]}"#;
        let image = Packages {
            kind: Kind::Deb,
            distro: "ubuntu".into(),
            release: "24.04".into(),
            packages: vec![],
            sources: vec![],
        };
        let mut read = Advisories::about([&image]);
        stream(text.as_bytes(), &BTreeSet::from(["glibc"]), &mut read).unwrap();
        let entry = &read.by_package["glibc"][0];
        assert_eq!(entry.advisory.severity, Severity::Negligible);
        assert_eq!(read.lack(&image), None);
    }

    #[test]
    fn an_advisory_without_an_end_is_refused_before_it_fills_the_memory() {
        let endless = br#"{"id": ""#.chain(io::repeat(b'x')).take(1 << 40);
        let error = stream(endless, &BTreeSet::new(), &mut Advisories::default()).unwrap_err();
        assert!(
            error.to_string().contains("an advisory has more than"),
            "{error}"
        );
    }
}
