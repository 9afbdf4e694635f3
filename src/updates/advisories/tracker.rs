//! Debian's security tracker: source packages, their vulnerabilities, and each release's state of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Advisories, Advisory, Entry, Span, ecosystem};

#[derive(Deserialize)]
struct Issue {
    #[serde(default)]
    releases: BTreeMap<String, State>,
}

/// What is read of an issue that nobody wants: the releases that it is about.
#[derive(Deserialize)]
struct Passed {
    #[serde(default)]
    releases: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: String,
}

pub(super) fn read(path: &Path, wanted: &BTreeSet<&str>, into: &mut Advisories) -> io::Result<()> {
    let file = BufReader::with_capacity(256 << 10, File::open(path)?);
    let mut json = serde_json::Deserializer::from_reader(file);
    json.deserialize_map(Sources { wanted, into })?;
    json.end()?;
    Ok(())
}

/// The source packages, one at a time; those that nobody wants are passed over.
struct Sources<'a> {
    wanted: &'a BTreeSet<&'a str>,
    into: &'a mut Advisories,
}

impl<'de> Visitor<'de> for Sources<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of source packages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while let Some(source) = all.next_key::<String>()? {
            if !self.wanted.contains(source.as_str()) {
                all.next_value_seed(Passing(self.into))?;
                continue;
            }
            let issues: BTreeMap<String, Issue> = all.next_value()?;
            for (id, issue) in issues {
                self.into.count();
                for (release, state) in issue.releases {
                    self.into.knows(&ecosystem::of_debian(&release));
                    if let Some(entry) = entry(&id, &release, state) {
                        self.into.add(&source, entry);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The issues of a source package that nobody wants, one at a time.
struct Passing<'a>(&'a mut Advisories);

impl<'de> DeserializeSeed<'de> for Passing<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Passing<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of vulnerabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while let Some((IgnoredAny, issue)) = all.next_entry::<IgnoredAny, Passed>()? {
            self.0.count();
            for release in issue.releases.keys() {
                self.0.knows(&ecosystem::of_debian(release));
            }
        }
        Ok(())
    }
}

fn entry(id: &str, release: &str, state: State) -> Option<Entry> {
    let ecosystem = ecosystem::of_debian(release);
    let fixed = match state.status.as_str() {
        "open" => None,
        // `0`: this release never had it.
        "resolved" => Some(state.fixed_version.filter(|version| version != "0")?),
        _ => return None,
    };
    Some(Entry {
        advisory: Arc::new(Advisory {
            id: id.to_owned(),
            aliases: vec![],
            severity: state.urgency.parse().unwrap_or_default(),
            published: None,
        }),
        ecosystem,
        spans: vec![Span {
            fixed,
            ..Span::default()
        }],
        versions: vec![],
    })
}
