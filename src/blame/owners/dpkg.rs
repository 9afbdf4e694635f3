//! What dpkg knows: deb(5)'s control files, and its own below /var/lib/dpkg (dpkg(1), dpkg-divert(1)).

use std::collections::{BTreeMap, HashMap};

use super::Known;
use crate::sbom::Package;

const INFO: &str = "/var/lib/dpkg/info/";
const STATUS: &str = "/var/lib/dpkg/status";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

pub(super) fn is_database(path: &str) -> bool {
    let listed = path.starts_with(INFO) && path.ends_with(".list");
    listed || matches!(path, STATUS | DIVERSIONS)
}

pub(super) fn learn(databases: &BTreeMap<String, Vec<u8>>, known: &mut Known) {
    let Some(status) = databases.get(STATUS) else {
        return;
    };
    // By `name` and by `name:architecture`, as files below `info` are called.
    let mut numbers = HashMap::new();
    for stanza in stanzas(&String::from_utf8_lossy(status)) {
        let number = known.packages.len();
        let Package { name, arch, .. } = &stanza.package;
        numbers.insert(format!("{name}:{arch}"), number);
        numbers.entry(name.clone()).or_insert(number);
        known.conffiles.extend(stanza.conffiles);
        known.packages.push(stanza.package);
    }
    for (path, list) in databases {
        let name = path
            .strip_prefix(INFO)
            .and_then(|name| name.strip_suffix(".list"));
        let Some(number) = name.and_then(|name| numbers.get(name)) else {
            continue;
        };
        let list = String::from_utf8_lossy(list);
        let paths = list
            .lines()
            .filter(|path| path.starts_with('/') && *path != "/.");
        paths.for_each(|path| known.list(path.to_owned(), *number));
        // Its other files there have its name, too.
        let stem = path.strip_suffix("list").unwrap_or(path);
        for end in ENDS {
            known.records.push((format!("{stem}{end}"), *number));
        }
    }
    if let Some(diversions) = databases.get(DIVERSIONS) {
        let text = String::from_utf8_lossy(diversions);
        let lines: Vec<&str> = text.lines().collect();
        let triples = lines.chunks_exact(3);
        let triples = triples.map(|lines| (lines[0].into(), lines[1].into(), lines[2].into()));
        known.diversions.extend(triples);
    }
}

/// What follows a package's name below `info`.
const ENDS: [&str; 12] = [
    "list",
    "md5sums",
    "conffiles",
    "preinst",
    "postinst",
    "prerm",
    "postrm",
    "config",
    "templates",
    "triggers",
    "shlibs",
    "symbols",
];

/// An installed package.
struct Stanza {
    package: Package,
    conffiles: Vec<String>,
}

/// The packages of a status file whose files are there.
fn stanzas(status: &str) -> Vec<Stanza> {
    status.split("\n\n").filter_map(stanza).collect()
}

fn stanza(text: &str) -> Option<Stanza> {
    let (mut fields, mut conffiles, mut now) = (HashMap::new(), vec![], "");
    for line in text.lines() {
        if let Some(more) = line.strip_prefix(' ') {
            // ` /path DIGEST`, perhaps ` obsolete` behind it.
            if now == "Conffiles" {
                conffiles.extend(more.split(' ').next().map(str::to_owned));
            }
            continue;
        }
        let (name, value) = line.split_once(':')?;
        now = name;
        fields.insert(name, value.trim());
    }
    let field = |name| fields.get(name).map(|value| (*value).to_owned());
    let state = field("Status")?;
    if state.ends_with(" not-installed") || state.ends_with(" config-files") {
        return None;
    }
    // `Source: name (version)` where its version is another one.
    let source = field("Source").unwrap_or_default();
    let (source, source_version) = source.split_once(" (").unwrap_or((&source, ""));
    Some(Stanza {
        package: Package {
            name: field("Package")?,
            version: field("Version")?,
            arch: field("Architecture").unwrap_or_default(),
            source: source.to_owned(),
            source_version: source_version.trim_end_matches(')').to_owned(),
            ..Package::default()
        },
        conffiles,
    })
}
