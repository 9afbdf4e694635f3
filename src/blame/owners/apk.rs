//! What apk knows: its database of what is installed (apk-package(5)), a letter for each field.

use std::collections::BTreeMap;

use super::Known;
use crate::sbom::Package;

const INSTALLED: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

pub(super) fn is_database(path: &str) -> bool {
    INSTALLED.contains(&path)
}

pub(super) fn learn(databases: &BTreeMap<String, Vec<u8>>, known: &mut Known) {
    let found = INSTALLED.iter().find_map(|path| databases.get(*path));
    let text = String::from_utf8_lossy(found.map_or(&[], Vec::as_slice));
    for stanza in text
        .split("\n\n")
        .filter(|stanza| !stanza.trim().is_empty())
    {
        let number = known.packages.len();
        let mut package = Package::default();
        let mut dir = "";
        for line in stanza.lines() {
            let Some((field, value)) = line.split_once(':') else {
                continue;
            };
            match field {
                "P" => package.name = value.into(),
                "V" => package.version = value.into(),
                "A" => package.arch = value.into(),
                "o" => package.source = value.into(),
                "F" => {
                    dir = value;
                    known.list(format!("/{dir}"), number);
                }
                "R" if known.is_full() => break,
                "R" if dir.is_empty() => known.list(format!("/{value}"), number),
                "R" => known.list(format!("/{dir}/{value}"), number),
                _ => {}
            }
        }
        known.packages.push(package);
    }
}
