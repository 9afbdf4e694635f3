//! Licences as packages name them, and as SPDX does: <https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use self::names::{EXCEPTIONS, GNU, KNOWN, SHORT};
use super::Package;

/// The largest description of a copyright that is read, in bytes: the largest of Debian's has 2 MB.
const LARGEST: u64 = 8 << 20;

/// The longest expression, in bytes: the longest of Debian's have some thousands. Guests write them, and one copyright
/// may be that of each package.
const LONGEST: usize = 16 << 10;

/// The expression that SPDX has for what a package says; empty for nothing, and for what is too long to be one.
/// What SPDX has no name for, or is not known here, becomes a `LicenseRef-`.
pub fn expression(text: &str) -> String {
    if text.len() > LONGEST {
        return String::new();
    }
    let parts = text.split(", ");
    let parts = parts.map(|part| part.trim_matches([' ', ',', '\t']));
    let mut all = String::new();
    for part in parts.filter(|part| !part.is_empty()) {
        if all.is_empty() {
            all = clauses(part);
            continue;
        }
        let (operator, part) = match part.split_once(' ') {
            Some((word, part)) if word.eq_ignore_ascii_case("or") => ("OR", part),
            Some((word, part)) if word.eq_ignore_ascii_case("and") => ("AND", part),
            _ => ("AND", part),
        };
        all = format!("{} {operator} {}", grouped(&all), grouped(&clauses(part)));
    }
    all
}

fn grouped(expression: &str) -> String {
    match expression.contains(" AND ") || expression.contains(" OR ") {
        true => format!("({expression})"),
        false => expression.to_owned(),
    }
}

/// Names with `and`, `or` and parentheses between them.
fn clauses(text: &str) -> String {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut out: Vec<String> = vec![];
    let mut name: Vec<&str> = vec![];
    let end = |out: &mut Vec<String>, name: &mut Vec<&str>| {
        if !name.is_empty() {
            out.push(one(&name.join(" ")));
            name.clear();
        }
    };
    let (mut open, mut is_paired) = (0i64, true);
    for word in spaced.split_whitespace() {
        match word {
            "(" => {
                end(&mut out, &mut name);
                open += 1;
                out.push("(".into());
            }
            ")" => {
                end(&mut out, &mut name);
                open -= 1;
                is_paired &= open >= 0;
                out.push(")".into());
            }
            _ if word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or") => {
                end(&mut out, &mut name);
                out.push(word.to_ascii_uppercase());
            }
            _ => name.push(word),
        }
    }
    end(&mut out, &mut name);
    let well = open == 0 && is_paired && alternate(&out);
    match well {
        true => out.join(" ").replace("( ", "(").replace(" )", ")"),
        // No expression: one licence with a strange name.
        false if text.trim().is_empty() => String::new(),
        false => reference(text),
    }
}

/// Whether names and operators take turns.
fn alternate(words: &[String]) -> bool {
    let mut wants_name = true;
    for word in words {
        match (word.as_str(), wants_name) {
            ("(", true) | (")", false) => {}
            ("AND" | "OR", false) => wants_name = true,
            ("(" | ")" | "AND" | "OR", _) | (_, false) => return false,
            _ => wants_name = false,
        }
    }
    !wants_name
}

/// SPDX's name of one licence.
fn one(name: &str) -> String {
    if let Some(known) = known(name) {
        return known.to_owned();
    }
    if let Some((licence, exception)) = name.split_once(" WITH ").or(name.split_once(" with "))
        && let (Some(licence), true) = (known(licence), EXCEPTIONS.contains(&exception))
    {
        return format!("{licence} WITH {exception}");
    }
    gnu(name).unwrap_or_else(|| reference(name))
}

fn known(name: &str) -> Option<&'static str> {
    let same = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
    let short = || {
        SHORT
            .iter()
            .find(|(short, _)| *short == name)
            .map(|(_, spdx)| *spdx)
    };
    same.copied().or_else(short)
}

/// `GPL-2+`, `GPL-2.0+`, `GPLv2+`, `LGPL-2.1`.
fn gnu(name: &str) -> Option<String> {
    let (plain, later) = match name.strip_suffix('+') {
        Some(plain) => (plain, "or-later"),
        None => (name, "only"),
    };
    let (family, version) = plain.split_once("-").or_else(|| plain.split_once('v'))?;
    let (_, spdx, versions) = GNU.iter().find(|(known, _, _)| *known == family)?;
    let whole = match version.contains('.') {
        true => version.to_owned(),
        false => format!("{version}.0"),
    };
    let version = versions.iter().find(|known| **known == whole)?;
    Some(format!("{spdx}-{version}-{later}"))
}

/// A name of our own, for what SPDX has none for.
fn reference(name: &str) -> String {
    let mut own = String::new();
    // What is one of SPDX's own kind already, as Fedora writes them, stays one.
    let name = name.trim();
    for c in name.strip_prefix("LicenseRef-").unwrap_or(name).chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '.' => own.push(c),
            '+' => own.push_str("-or-later"),
            _ if !own.ends_with('-') => own.push('-'),
            _ => {}
        }
    }
    match own.trim_matches('-') {
        "" => "LicenseRef-unknown".to_owned(),
        own => format!("LicenseRef-{own}"),
    }
}

/// The names of our own in an expression.
pub fn references(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split([' ', '(', ')']);
    words.filter(|word| word.starts_with("LicenseRef-"))
}

/// What a `debian/copyright` in the machine-readable format (DEP-5,
/// <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>) says: all licences of its files. None where
/// it is written for people only, or is longer than any expression.
pub fn of_copyright(text: &str) -> Option<String> {
    let mut lines = text.lines();
    let format = lines.find(|line| !line.trim().is_empty())?;
    if !format.starts_with("Format:") || !format.contains("copyright-format") {
        return None;
    }
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut length = 0;
    let mut of_files = false;
    for line in lines {
        if line.trim().is_empty() {
            of_files = false;
        } else if line.starts_with("Files:") {
            of_files = true;
        } else if let Some(name) = line.strip_prefix("License:")
            && of_files
            && !name.trim().is_empty()
        {
            let one = expression(name.trim());
            let size = one.len();
            if found.insert(one) {
                length += size;
            }
            if size == 0 || length > LONGEST {
                return None;
            }
        }
    }
    let all: Vec<String> = match found.len() {
        1 => found.into_iter().collect(),
        _ => found.iter().map(|one| grouped(one)).collect(),
    };
    (!all.is_empty()).then(|| all.join(" AND "))
}

/// Licences by package, from a tar archive of `/usr/share/doc`.
///
/// # Errors
/// When it is no such archive.
pub fn of_docs(archive: impl Read) -> io::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut links: Vec<(String, String)> = vec![];
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8_lossy(&path).into_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/');
        if entry.header().entry_type().is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            let target = String::from_utf8_lossy(&target).into_owned();
            let target = target
                .trim_start_matches("../")
                .trim_end_matches("/copyright");
            let name = path.trim_end_matches("/copyright");
            if !name.contains('/') && !target.contains('/') {
                links.push((name.to_owned(), target.to_owned()));
            }
            continue;
        }
        let Some((package, "copyright")) = path.split_once('/') else {
            continue;
        };
        let package = package.to_owned();
        let mut text = Vec::new();
        (&mut entry).take(LARGEST).read_to_end(&mut text)?;
        if let Some(licence) = of_copyright(&String::from_utf8_lossy(&text)) {
            all.insert(package, licence);
        }
    }
    for (name, target) in links {
        if let Some(licence) = all.get(&target).cloned() {
            all.insert(name, licence);
        }
    }
    Ok(all)
}

/// Licences by package, from apk's database: <https://wiki.alpinelinux.org/wiki/Apk_spec>.
pub fn of_apk(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(package), Some(licence)) = (field("P:"), field("L:")) {
            all.insert(package.to_owned(), expression(licence.trim()));
        }
    }
    all
}

/// Gives packages their licences.
pub fn assign(packages: &mut [Package], licences: &BTreeMap<String, String>) {
    for package in packages {
        if let Some(licence) = licences.get(&package.name) {
            package.licence.clone_from(licence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_distribution_become_those_of_spdx() {
        for (said, expected) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("GPLv3+", "GPL-3.0-or-later"),
            ("GFDL-1.3+", "GFDL-1.3-or-later"),
            ("GPL-7", "LicenseRef-GPL-7"),
            ("Expat", "MIT"),
            ("ASL 2.0 and MIT", "Apache-2.0 AND MIT"),
            (
                "GPL-2+ or Artistic",
                "GPL-2.0-or-later OR Artistic-1.0-Perl",
            ),
            (
                "GPL-2+ or Artistic, and BSD-3-clause",
                "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND BSD-3-Clause",
            ),
            ("(MIT OR Apache-2.0) AND ISC", "(MIT OR Apache-2.0) AND ISC"),
            (
                "GPL-3.0-or-later WITH GCC-exception-3.1 AND BSD-2-Clause",
                "GPL-3.0-or-later WITH GCC-exception-3.1 AND BSD-2-Clause",
            ),
            (
                "GPL-2+ with OpenSSL exception",
                "LicenseRef-GPL-2-or-later-with-OpenSSL-exception",
            ),
            ("public-domain", "LicenseRef-public-domain"),
            (
                "Public Domain and zlib",
                "LicenseRef-Public-Domain AND Zlib",
            ),
            ("MIT AND", "LicenseRef-MIT-AND"),
            ("(MIT", "LicenseRef-MIT"),
            ("MIT) AND (ISC", "LicenseRef-MIT-AND-ISC"),
            ("MIT, ", "MIT"),
            ("MIT, , or ISC,", "MIT OR ISC"),
            (", ", ""),
            (
                "LicenseRef-Fedora-Public-Domain",
                "LicenseRef-Fedora-Public-Domain",
            ),
            ("", ""),
        ] {
            assert_eq!(expression(said), expected, "{said}");
        }
    }

    #[test]
    fn the_licences_of_a_packages_files_are_all_of_its_licences() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
                    License: ignored\n\nFiles: *\nCopyright: a\nLicense: GPL-2+\n text\n\nFiles: b\nCopyright: b\n\
                    License: Expat or Artistic\n\nLicense: GPL-2+\n the text of it\n";
        let expected = "GPL-2.0-or-later AND (MIT OR Artistic-1.0-Perl)";
        assert_eq!(of_copyright(text).as_deref(), Some(expected));
        assert_eq!(of_copyright("This package was debianized by hand.\n"), None);
        assert_eq!(of_copyright(""), None);

        let mut tar = tar::Builder::new(Vec::new());
        let mut file = |path: &str, text: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        };
        file("./gcc-12-base/copyright", text);
        file("./gcc-12-base/README", "Format: no");
        file("./hand/copyright", "by hand");
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "./libstdc++6", "gcc-12-base")
            .unwrap();
        let all = of_docs(&*tar.into_inner().unwrap()).unwrap();
        let names: Vec<&String> = all.keys().collect();
        assert_eq!(names, ["gcc-12-base", "libstdc++6"]);
        assert_eq!(all["libstdc++6"], expected);
    }

    /// One that is long takes much more time than bytes, and each package may have it.
    #[test]
    fn what_is_longer_than_any_licence_says_nothing() {
        let long = "MIT, ".repeat(4000) + "MIT";
        assert_eq!(expression(&long), "");
        let head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n";
        assert_eq!(of_copyright(&format!("{head}License: {long}\n")), None);
        let many: String = (0..4000)
            .map(|number| format!("\nFiles: {number}\nLicense: own-{number}\n"))
            .collect();
        assert_eq!(of_copyright(&format!("{head}License: MIT\n{many}")), None);
        let often = format!("{head}License: MIT\n") + &"\nFiles: x\nLicense: MIT\n".repeat(9000);
        assert_eq!(of_copyright(&often).as_deref(), Some("MIT"));
        // Nor is a name of signs one.
        assert_eq!(expression("?"), "LicenseRef-unknown");
    }

    #[test]
    fn apk_says_licences_in_its_database() {
        let all = of_apk(
            "C:Q1\nP:musl\nV:1.2.5-r0\nL:MIT\n\nP:busybox\nL:GPL-2.0-only\nF:bin\n\nP:none\n",
        );
        assert_eq!(all["musl"], "MIT");
        assert_eq!((all["busybox"].as_str(), all.len()), ("GPL-2.0-only", 2));
    }
}
