//! Debian's security tracker: source packages, their vulnerabilities, and each release's state of them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::limited::Limited;
use super::{Advisories, Advisory, Entry, Span, ecosystem};
use crate::host::opened;

/// The largest single vulnerability, in bytes: the tracker's own have some thousands.
const LARGEST: u64 = 1 << 20;

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
    stream(opened::open(path)?, wanted, into)
}

fn stream(from: impl Read, wanted: &BTreeSet<&str>, into: &mut Advisories) -> io::Result<()> {
    let left = &Cell::new(LARGEST);
    let from = Limited {
        from,
        left,
        said: "a vulnerability has more than 1 MiB",
    };
    // What is read ahead is less than a piece.
    let from = BufReader::with_capacity(256 << 10, from);
    let mut json = serde_json::Deserializer::from_reader(from);
    json.deserialize_map(Sources { wanted, into, left })?;
    Ok(json.end()?)
}

/// The source packages, one at a time.
struct Sources<'a> {
    wanted: &'a BTreeSet<&'a str>,
    into: &'a mut Advisories,
    left: &'a Cell<u64>,
}

impl<'de> Visitor<'de> for Sources<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of source packages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let Sources { wanted, into, left } = self;
        while let Some(source) = all.next_key::<String>()? {
            left.set(LARGEST);
            let source = wanted.get(source.as_str()).copied();
            all.next_value_seed(Issues { source, into, left })?;
        }
        Ok(())
    }
}

/// The vulnerabilities of a source package, one at a time; of one that nobody wants they are passed over.
struct Issues<'a> {
    source: Option<&'a str>,
    into: &'a mut Advisories,
    left: &'a Cell<u64>,
}

impl<'de> DeserializeSeed<'de> for Issues<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Issues<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of vulnerabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let Issues { source, into, left } = self;
        while let Some(id) = all.next_key::<String>()? {
            into.count();
            let Some(source) = source else {
                let passed: Passed = all.next_value()?;
                left.set(LARGEST);
                for release in passed.releases.keys() {
                    into.knows(&ecosystem::of_debian(release));
                }
                continue;
            };
            let issue: Issue = all.next_value()?;
            left.set(LARGEST);
            for (release, state) in issue.releases {
                into.knows(&ecosystem::of_debian(&release));
                if let Some(entry) = entry(&id, &release, state) {
                    into.add(source, entry);
                }
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

#[cfg(test)]
mod tests {
    use super::super::Packages;
    use super::*;
    use crate::sbom::Kind;

    /// What there is about openssl in an image of Debian 12.
    fn read(from: impl Read) -> (io::Result<()>, Advisories) {
        let image = Packages {
            kind: Kind::Deb,
            distro: "debian".into(),
            release: "12.11".into(),
            packages: vec![],
            sources: vec![],
        };
        let mut all = Advisories::about([&image]);
        let read = stream(from, &BTreeSet::from(["openssl"]), &mut all);
        (read, all)
    }

    #[test]
    fn a_name_or_a_vulnerability_without_an_end_is_refused_before_it_fills_the_memory() {
        let endless = || io::repeat(b'x').take(1 << 40);
        for begun in [
            r#"{""#,
            r#"{"openssl": {""#,
            r#"{"openssl": {"CVE-1": {"description": ""#,
            r#"{"openssl": {"CVE-1": {"releases": {"bookworm": {"urgency": ""#,
            r#"{"other": {"CVE-1": {"releases": {""#,
        ] {
            let (read, _) = read(begun.as_bytes().chain(endless()));
            let error = read.unwrap_err().to_string();
            assert!(error.contains("has more than 1 MiB"), "{begun}: {error}");
        }
    }

    /// Gives a file with this many vulnerabilities of openssl, each in this many releases.
    struct Many {
        issues: u32,
        text: Vec<u8>,
        at: usize,
    }

    impl Read for Many {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.at == self.text.len() && self.issues > 0 {
                self.issues -= 1;
                let comma = if self.issues > 0 { "," } else { "}}" };
                let (number, open) = (self.issues, r#"{"status": "open"}"#);
                let issue = format!(
                    r#""CVE-{number}": {{"releases": {{"bookworm": {open}, "r{number}": {open}}}}}{comma}"#
                );
                (self.text, self.at) = (issue.into_bytes(), 0);
            }
            let read = (&self.text[self.at..]).read(buffer)?;
            self.at += read;
            Ok(read)
        }
    }

    #[test]
    fn of_any_number_of_vulnerabilities_what_fits_is_kept_and_only_of_the_images_release() {
        let many = |issues| Many {
            issues,
            text: br#"{"openssl": {"#.to_vec(),
            at: 0,
        };
        let (done, few) = read(many(1000));
        done.unwrap();
        assert_eq!(few.by_package["openssl"].len(), 1000);
        assert!(few.kept < super::super::MOST);
        let (done, all) = read(many(1_000_000));
        done.unwrap();
        assert_eq!(all.count, 1_000_000);
        let kept = all.by_package["openssl"].len();
        assert!(all.kept > super::super::MOST && kept < 400_000, "{kept}");
    }
}
