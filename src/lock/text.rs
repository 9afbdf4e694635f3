//! A lock as text: YAML, a line a file; equal locks give equal texts.

use std::fmt::{self, Write as _};

use serde_json::to_string;

use super::file::VERSION;
use super::{Fetched, Lock, Parent, ParentEntry, Record, Stage, content};

/// The end of each lock.
pub(super) const END: &str = "# end";

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.image.split(':').next().unwrap_or(&self.image);
        writeln!(f, "# What the last build of {} fetched.", self.image)?;
        writeln!(
            f,
            "# `imgforge lock {name}` writes it; `imgforge build {name} --locked` fetches nothing else."
        )?;
        writeln!(f, "imgforge-lock: {VERSION}")?;
        writeln!(f, "image: {}", quoted(&self.image))?;
        writeln!(f, "clock: {}", self.clock)?;
        if let Some(parent) = &self.from {
            write!(f, "{parent}")?;
        }
        list(f, "stages:", self.stages.iter())?;
        let mut packages: Vec<&String> = self.packages.iter().collect();
        packages.sort();
        list(f, "packages:", packages.into_iter().map(|one| item(one)))?;
        writeln!(f, "{END}")
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from:\n  image: {}", quoted(&self.image))?;
        writeln!(f, "  revision: {}", self.revision)?;
        writeln!(f, "  sha512: {}", quoted(&self.sha512))?;
        self.entry
            .as_ref()
            .map_or(Ok(()), |entry| write!(f, "{entry}"))
    }
}

impl fmt::Display for ParentEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &Option<String>| text.as_deref().map(quoted);
        let fields = [
            ("channel", text(&self.channel)),
            ("name", Some(quoted(&self.name))),
            ("arch", Some(quoted(&self.arch))),
            ("url", Some(quoted(&self.url))),
            ("size", self.size.map(|size| size.to_string())),
            ("disk-size", Some(self.disk_size.to_string())),
            ("format", text(&self.format)),
            ("version", text(&self.version)),
            ("osinfo", text(&self.osinfo)),
        ];
        writeln!(f, "  entry:")?;
        fields
            .into_iter()
            .try_for_each(|(name, value)| match value {
                Some(value) => writeln!(f, "    {name}: {value}"),
                None => Ok(()),
            })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  - image: {}", quoted(&self.image))?;
        writeln!(f, "    stage: {}", quoted(&self.stage))?;
        writeln!(f, "    recipe: {}", quoted(&self.recipe))?;
        write_record(f, &self.record, "    ")
    }
}

/// The fields of a record, each line behind `indent`.
fn write_record(f: &mut fmt::Formatter<'_>, record: &Record, indent: &str) -> fmt::Result {
    let Record {
        mirrors,
        fetched,
        absent,
        not_locked,
        media,
        archives,
        beside,
    } = record;
    if let Some(mirrors) = mirrors {
        writeln!(
            f,
            "{indent}mirrors:\n{indent}  main: {}",
            quoted(&mirrors.main)
        )?;
        if let Some(security) = &mirrors.security {
            writeln!(f, "{indent}  security: {}", quoted(security))?;
        }
    }
    for (name, all) in [
        ("fetched", fetched),
        ("media", media),
        ("archives", archives),
    ] {
        if !all.is_empty() {
            writeln!(f, "{indent}{name}:")?;
        }
        let mut all: Vec<&Fetched> = all.iter().collect();
        all.sort();
        for one in all {
            writeln!(
                f,
                "{indent}  {}: {}",
                quoted(&one.url),
                quoted(&content(one))
            )?;
        }
    }
    for (name, all) in [("absent", absent), ("not-locked", not_locked)] {
        if !all.is_empty() {
            writeln!(f, "{indent}{name}:")?;
        }
        for one in all {
            write!(f, "{indent}{}", item(one))?;
        }
    }
    if !beside.is_empty() {
        writeln!(f, "{indent}beside:")?;
    }
    let deeper = format!("{indent}    ");
    for (name, record) in beside {
        let fields = match *record == Record::default() {
            true => " {}",
            false => "",
        };
        writeln!(f, "{indent}  {}:{fields}", quoted(name))?;
        write_record(f, record, &deeper)?;
    }
    Ok(())
}

fn item(text: &str) -> String {
    format!("  - {}\n", quoted(text))
}

/// Items below a heading.
fn list(
    f: &mut fmt::Formatter<'_>,
    heading: &str,
    items: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    let mut text = String::new();
    for one in items {
        write!(text, "{one}")?;
    }
    match text.is_empty() {
        true => writeln!(f, "{heading} []"),
        false => write!(f, "{heading}\n{text}"),
    }
}

/// A text of JSON is one of YAML.
fn quoted(text: &str) -> String {
    to_string(text).unwrap_or_default()
}
