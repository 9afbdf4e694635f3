//! How schemas and values are called in messages.

use serde_json::{Map, Value as Json};

use super::super::node::{MapEntry, Node, Value};
use super::super::problem::{Problem, list_words};
use super::ALSO;
use crate::text::nearest;

/// The words and the one-key maps of a `oneOf`.
pub(super) fn alternatives(branches: &[Json]) -> (Vec<&str>, Vec<(&str, &Json)>) {
    let (mut words, mut keys) = (vec![], vec![]);
    for branch in branches {
        words.extend(branch["const"].as_str());
        words.extend(
            branch["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_str),
        );
        let properties = branch["properties"].as_object();
        keys.extend(
            properties
                .into_iter()
                .flatten()
                .map(|(key, schema)| (key.as_str(), schema)),
        );
    }
    (words, keys)
}

pub(super) fn unknown_key(
    entry: &MapEntry,
    known: &Map<String, Json>,
    schema: &Json,
    of: &str,
) -> Problem {
    if let Some(odd) = entry.key.chars().find(|c| is_odd_blank(*c)) {
        let code = u32::from(odd);
        let message = format!("the key has the character U+{code:04X}, which looks like a blank");
        return Problem::new(entry.key_loc, message)
            .help("YAML does not take it for one: replace it by ordinary blanks");
    }
    let message = match of {
        "" => format!("there is no key `{}`", entry.key),
        of => format!("{} has no key `{}`", call(of), entry.key),
    };
    let problem = Problem::new(entry.key_loc, message);
    let also = schema[ALSO]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str);
    let names: Vec<&str> = known.keys().map(String::as_str).chain(also).collect();
    match nearest(&entry.key, names.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if names.is_empty() => problem.help("it has no keys"),
        None => problem.help(format!("the keys are {}", list_words(names))),
    }
}

/// No-break spaces and the like, which web pages and word processors put in.
fn is_odd_blank(c: char) -> bool {
    (c.is_whitespace() && !c.is_ascii())
        || ('\u{200b}'..='\u{200d}').contains(&c)
        || c == '\u{feff}'
}

/// `name` in quotes, unless it is a phrase already.
pub(super) fn call(name: &str) -> String {
    match name {
        "" => "the file".to_owned(),
        name if name.contains(' ') => name.to_owned(),
        name => format!("`{name}`"),
    }
}

pub(super) fn kind_of(node: &Node) -> &'static str {
    match node.value {
        Value::Scalar { .. } => "string",
        Value::Seq(_) => "array",
        Value::Map(_) => "object",
    }
}

/// The schema's type; of an optional one the real one.
pub(super) fn type_of(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::Array(types) => types
            .iter()
            .filter_map(Json::as_str)
            .find(|name| *name != "null"),
        other => other.as_str(),
    }
}

/// What was probably meant by a size or duration without a unit or in other words.
pub(super) fn unit(text: &str, size: bool) -> Option<String> {
    let digits = text.trim();
    let split = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (number, word) = (&digits[..split], digits[split..].trim().to_lowercase());
    if number.is_empty() || number.len() > 12 {
        return None;
    }
    let unit = match (size, word.as_str()) {
        (true, "g" | "gib" | "gi" | "gb") => "GiB",
        (true, "m" | "mib" | "mi" | "mb") => "MiB",
        (true, "k" | "kib" | "ki" | "kb") => "KiB",
        (true, "t" | "tib" | "ti" | "tb") => "TiB",
        (false, "m" | "min" | "mins" | "minute" | "minutes") => "m",
        (false, "s" | "sec" | "secs" | "second" | "seconds") => "s",
        (false, "h" | "hour" | "hours" | "hr") => "h",
        (false, "d" | "day" | "days") => "d",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}
