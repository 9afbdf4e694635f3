//! The rules that clients enforce once an index is parsed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::{Field, IndexEntry, MAX_REVISION, Problem, Section, normalize_arch};
use crate::machine::{self, Arch};

/// Turns sections into entries.
///
/// # Errors
/// Everything that makes a client refuse the index, or take another image than was meant.
pub fn check(sections: &[Section]) -> Result<Vec<IndexEntry>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for section in sections {
        entries.push(
            Reader {
                section,
                problems: &mut problems,
            }
            .entry(),
        );
    }
    unique(sections, &entries, &mut problems);
    aliases(sections, &entries, &mut problems);
    if problems.is_empty() {
        Ok(entries)
    } else {
        problems.sort_by_key(|problem| problem.line);
        Err(problems)
    }
}

/// The same name may appear once an architecture, whatever spelling.
fn unique(sections: &[Section], entries: &[IndexEntry], problems: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (section, entry) in sections.iter().zip(entries) {
        match seen.entry((&entry.id, normalize_arch(&entry.arch))) {
            Slot::Vacant(slot) => drop(slot.insert(section.line)),
            Slot::Occupied(first) => problems.push(Problem {
                line: section.line,
                message: format!(
                    "`{}` for {} is already in line {}",
                    entry.id,
                    entry.arch,
                    first.get()
                ),
            }),
        }
    }
}

/// Clients resolve aliases before names and regardless of architecture.
fn aliases(sections: &[Section], entries: &[IndexEntry], problems: &mut Vec<Problem>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (section, entry) in sections.iter().zip(entries) {
        for alias in &entry.aliases {
            let other = owners
                .insert(alias, &entry.id)
                .filter(|other| *other != entry.id);
            let message = if entries.iter().any(|other| other.id == *alias) {
                format!("the alias `{alias}` would hide the image of that name")
            } else if let Some(other) = other {
                format!("the alias `{alias}` belongs to `{other}` already")
            } else {
                continue;
            };
            problems.push(Problem {
                line: section.line,
                message,
            });
        }
    }
}

struct Reader<'a> {
    section: &'a Section,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn entry(mut self) -> IndexEntry {
        let mut entry = IndexEntry {
            id: self.section.id.clone(),
            revision: 1,
            ..IndexEntry::default()
        };
        let mut seen = BTreeMap::new();
        let mut bare_checksum = None;
        for field in &self.section.fields {
            if let Some(line) = seen.insert((&field.key, &field.subkey), field.line) {
                self.problem(
                    field.line,
                    format!("`{}` is already in line {line}", label(field)),
                );
            }
            if (field.key.as_str(), field.subkey.as_deref()) == ("checksum", None) {
                bare_checksum = self.checksum(field);
            } else {
                self.field(field, &mut entry);
            }
        }
        entry.sha512 = entry.sha512.or(bare_checksum);
        for required in ["arch", "file", "size"] {
            if !self
                .section
                .fields
                .iter()
                .any(|f| f.key == required && f.subkey.is_none())
            {
                self.problem(
                    self.section.line,
                    format!("`{}` has no `{required}`", entry.id),
                );
            }
        }
        entry
    }

    fn field(&mut self, field: &Field, entry: &mut IndexEntry) {
        let text = || Some(field.value.clone());
        match (field.key.as_str(), field.subkey.as_deref()) {
            ("name", None) => entry.name = text(),
            ("osinfo", None) => entry.osinfo = text(),
            ("arch", None) => entry.arch = self.arch(field),
            ("file", None) => entry.file = self.path(field),
            ("sig", None) => entry.sig = Some(self.path(field)),
            ("checksum", Some("sha512")) => entry.sha512 = self.checksum(field),
            ("revision", None) => entry.revision = self.revision(field),
            ("format", None) => entry.format = text(),
            ("size", None) => entry.size = self.number(field).unwrap_or_default(),
            ("compressed_size", None) => entry.compressed_size = self.number(field),
            ("expand", None) => entry.expand = self.device(field),
            ("lvexpand", None) => entry.lvexpand = self.device(field),
            ("notes", language) => {
                entry
                    .notes
                    .push((language.map(str::to_owned), field.value.clone()));
            }
            ("aliases", None) => entry.aliases = self.alias_list(field),
            ("hidden", None) => entry.hidden = self.boolean(field),
            _ => entry.other.push((label(field), field.value.clone())),
        }
    }

    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem {
            line,
            message: message.into(),
        });
    }

    fn wrong(&mut self, field: &Field, expected: &str) {
        let message = format!(
            "`{}={}`: {expected}",
            label(field),
            field.value.escape_debug()
        );
        self.problem(field.line, message);
    }

    fn arch(&mut self, field: &Field) -> String {
        if let Some(name) = machine::misspelled(&field.value) {
            let known = format!("clients know this architecture as `{name}` only");
            self.wrong(field, &known);
        } else if field.value.is_empty() || field.value.contains(char::is_whitespace) {
            let such = format!(
                "this is not an architecture such as `{}`",
                Arch::DEFAULT.as_str()
            );
            self.wrong(field, &such);
        }
        field.value.clone()
    }

    fn path(&mut self, field: &Field) -> String {
        let path = &field.value;
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if path.is_empty() || path.starts_with('/') || path.contains("://") || path.contains(odd) {
            self.wrong(field, "the path must be relative to the index");
        }
        path.clone()
    }

    fn checksum(&mut self, field: &Field) -> Option<String> {
        let valid = field.value.len() == 128
            && field
                .value
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !valid {
            self.wrong(field, "a SHA-512 has 128 lower-case hex digits");
        }
        valid.then(|| field.value.clone())
    }

    fn revision(&mut self, field: &Field) -> u64 {
        let number = self.number(field).unwrap_or(1);
        if number > MAX_REVISION {
            self.wrong(field, "clients cannot hold a number of this size");
        }
        number
    }

    fn number(&mut self, field: &Field) -> Option<u64> {
        let number = number(&field.value).filter(|n| *n <= i64::MAX as u64);
        if number.is_none() {
            self.wrong(field, "this is not a decimal number");
        }
        number
    }

    fn device(&mut self, field: &Field) -> Option<String> {
        let valid = field.value.strip_prefix("/dev/").is_some_and(|rest| {
            !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
        });
        if !valid {
            self.wrong(field, "this is not a device such as `/dev/sda3`");
        }
        valid.then(|| field.value.clone())
    }

    fn boolean(&mut self, field: &Field) -> bool {
        match field.value.as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.wrong(field, "this is neither `true` nor `false`");
                false
            }
        }
    }

    fn alias_list(&mut self, field: &Field) -> Vec<String> {
        let aliases: Vec<String> = field.value.split(' ').map(str::to_owned).collect();
        if aliases.iter().any(|alias| !super::is_id(alias)) {
            self.wrong(field, "aliases are names, with one space between two");
        }
        aliases
    }
}

/// A number as clients read it: decimal, or with a prefix; `_` may separate digits.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.get(..2) {
        Some("0x" | "0X") => (&text[2..], 16),
        Some("0o" | "0O") => (&text[2..], 8),
        Some("0b" | "0B") => (&text[2..], 2),
        _ => (text, 10),
    };
    // A `_` cannot be the first digit, and `+` is none.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

fn label(field: &Field) -> String {
    match &field.subkey {
        Some(subkey) => format!("{}[{subkey}]", field.key),
        None => field.key.clone(),
    }
}
