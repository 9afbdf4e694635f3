//! The strict writer: what every released client reads.

use std::fmt::Write as _;

use super::{IndexEntry, MAX_REVISION, Problem, check, is_plain_path, parse};

/// Writes entries, in upstream's order of fields, one blank line after each.
///
/// # Errors
/// Everything that some client would refuse or misread. No entries are an error too: current
/// clients cannot read an empty signed index.
pub fn write(entries: &[IndexEntry]) -> Result<String, Vec<Problem>> {
    if entries.is_empty() {
        return Err(vec![problem("an index needs an entry".into())]);
    }
    let mut out = String::new();
    let mut problems = Vec::new();
    for entry in entries {
        one(&mut out, entry, &mut problems);
    }
    // The reader knows all the rules; what it reads must be what was meant. A signature does not
    // cover blanks at the end of a line.
    let covered: String = out
        .lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    match parse(&covered).and_then(|sections| check(&sections)) {
        Ok(read) if read == entries => {}
        Ok(_) => problems.push(problem(
            "a value would not be read as it was written".into(),
        )),
        Err(more) => problems.extend(more),
    }
    if problems.is_empty() {
        Ok(out)
    } else {
        Err(problems)
    }
}

fn problem(message: String) -> Problem {
    Problem { line: 0, message }
}

fn one(out: &mut String, entry: &IndexEntry, problems: &mut Vec<Problem>) {
    let _ = writeln!(out, "[{}]", entry.id);
    let mut field = |key: &str, value: &str| {
        let multiline = key.starts_with("notes") || entry.other.iter().any(|(k, _)| k == key);
        if value.contains('\r') || (value.contains('\n') && !multiline) {
            problems.push(problem(format!(
                "`{key}` of `{}` must be one line",
                entry.id
            )));
        }
        // A line that starts with a blank continues the field; an empty one would end the section.
        let _ = writeln!(out, "{key}={}", value.replace('\n', "\n "));
    };
    let mut optional = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            field(key, value);
        }
    };
    optional("name", &entry.name);
    optional("osinfo", &entry.osinfo);
    optional("file", &Some(entry.file.clone()));
    optional("arch", &Some(entry.arch.clone()));
    optional("sig", &entry.sig);
    optional("checksum[sha512]", &entry.sha512);
    optional("revision", &Some(entry.revision.to_string()));
    optional("format", &entry.format);
    optional("size", &Some(entry.size.to_string()));
    optional(
        "compressed_size",
        &entry.compressed_size.map(|size| size.to_string()),
    );
    optional("expand", &entry.expand);
    optional("lvexpand", &entry.lvexpand);
    for (language, text) in &entry.notes {
        match language {
            Some(language) => field(&format!("notes[{language}]"), text),
            None => field("notes", text),
        }
    }
    if !entry.aliases.is_empty() {
        field("aliases", &entry.aliases.join(" "));
    }
    if entry.hidden {
        field("hidden", "true");
    }
    for (key, value) in &entry.other {
        field(key, value);
    }
    out.push('\n');
    if !is_plain_path(&entry.file) {
        problems.push(problem(format!(
            "the path `{}` has characters that a URL would have to escape",
            entry.file
        )));
    }
    if entry.revision == 0 || entry.revision > MAX_REVISION {
        problems.push(problem(format!(
            "`{}` cannot have revision {}",
            entry.id, entry.revision
        )));
    }
}
