//! OSV's format: <https://ossf.github.io/osv-schema/>.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::Value;

use super::{Advisories, Advisory, Entry, Span};
use crate::severity::Severity;

/// The largest single advisory, in bytes.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct Osv {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    upstream: Vec<String>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    affected: Vec<Affected>,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    database_specific: Value,
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
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    ecosystem_specific: Value,
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
    #[serde(default)]
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
            .try_for_each(|file| stream(File::open(file)?, wanted, into));
    }
    let mut file = File::open(path)?;
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
            stream(entry.take(LARGEST), wanted, into)?;
        }
    }
    Ok(())
}

fn stream(from: impl Read, wanted: &BTreeSet<&str>, into: &mut Advisories) -> io::Result<()> {
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
    let mut take = |osv: Osv| add(osv, wanted, into);
    if is_list {
        let mut json = serde_json::Deserializer::from_reader(from);
        json.deserialize_seq(Each(&mut take))?;
        return Ok(());
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
    let any = |affected: &Affected| {
        let package = affected.package.as_ref();
        package.is_some_and(|package| wanted.contains(package.name.as_str()))
    };
    if osv.withdrawn.is_some() || !osv.affected.iter().any(any) {
        return;
    }
    let published = osv
        .published
        .as_deref()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let published = published.and_then(|at| u64::try_from(at.as_second()).ok());
    let word = |value: &Value| {
        let words = ["severity", "urgency"];
        let word = words.iter().find_map(|name| value.get(name)?.as_str());
        word.and_then(|word| word.parse::<Severity>().ok())
    };
    let best = |scores: &[Score]| {
        let scores = scores
            .iter()
            .filter_map(|score| score.score.parse::<Severity>().ok());
        scores.max()
    };
    let whole = best(&osv.severity).or_else(|| word(&osv.database_specific));
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
            .or_else(|| word(&affected.ecosystem_specific))
            .or(whole)
            .unwrap_or_default();
        let ranges = affected.ranges.iter().filter(|range| range.kind != "GIT");
        let spans: Vec<Span> = ranges.flat_map(|range| spans(&range.events)).collect();
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

/// Events are in order: a version that introduces it, then perhaps one that ends it.
fn spans(events: &[Event]) -> Vec<Span> {
    let mut all: Vec<Span> = vec![];
    for event in events {
        if let Some(introduced) = &event.introduced {
            all.push(Span {
                introduced: (introduced != "0").then(|| introduced.clone()),
                ..Span::default()
            });
        }
        if let Some(span) = all.last_mut() {
            span.fixed = event.fixed.clone().or(span.fixed.take());
            span.last = event.last_affected.clone().or(span.last.take());
        }
    }
    all
}
