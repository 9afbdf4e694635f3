//! `show --resolved`: the recipe as one YAML file, each value with the place it comes from.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::resolve::Resolved;
use super::schema;
use crate::yaml::node::{MapEntry, Node, Value};
use crate::yaml::source::Loc;

/// Maps whose defaults are worth seeing.
const DEFAULTS: &[&str] = &["machine", "mirrors", "seal", "pack"];

impl Resolved {
    /// The resolved recipe as YAML, with `# from FILE:LINE` on every value. Reading it again gives
    /// the same recipe.
    pub fn render(&self) -> String {
        let mut lines = Lines {
            resolved: self,
            out: vec![],
        };
        let known = schema::long()["properties"].as_object();
        for (key, _) in known.into_iter().flatten() {
            let entry = self.tree.entry(key);
            if let Some(entry) = entry {
                lines.entry(entry, 0, "");
            }
            if DEFAULTS.contains(&key.as_str()) {
                lines.defaults(key, entry.map(|entry| &entry.value));
            }
        }
        lines.finish()
    }
}

struct Lines<'a> {
    resolved: &'a Resolved,
    /// A line of YAML and where it comes from.
    out: Vec<(String, String)>,
}

impl Lines<'_> {
    fn line(&mut self, indent: usize, text: &str, from: Option<Loc>) {
        let from = from.map_or(String::new(), |loc| {
            format!("from {}", self.resolved.sources.origin(loc))
        });
        self.out
            .push((format!("{}{text}", " ".repeat(indent)), from));
    }

    fn entry(&mut self, entry: &MapEntry, indent: usize, dash: &str) {
        let key = scalar(&entry.key);
        self.value(
            &format!("{dash}{key}:"),
            &entry.value,
            indent,
            indent + dash.len() + 2,
        );
    }

    /// `head` and the value after it, or below it at `below`.
    fn value(&mut self, head: &str, node: &Node, indent: usize, below: usize) {
        match &node.value {
            Value::Scalar { text, .. } => {
                self.line(
                    indent,
                    &format!("{head} {}", quoted(node, text)),
                    Some(node.loc),
                );
            }
            Value::Seq(items) if items.is_empty() => {
                self.line(indent, &format!("{head} []"), Some(node.loc))
            }
            Value::Map(entries) if entries.is_empty() => {
                self.line(indent, &format!("{head} {{}}"), Some(node.loc));
            }
            Value::Seq(items) => {
                self.line(indent, head, None);
                items.iter().for_each(|item| self.item(item, below));
            }
            Value::Map(entries) => {
                self.line(indent, head, None);
                entries
                    .iter()
                    .for_each(|entry| self.entry(entry, below, ""));
            }
        }
    }

    fn item(&mut self, item: &Node, indent: usize) {
        match &item.value {
            Value::Map(entries) if !entries.is_empty() => {
                self.entry(&entries[0], indent, "- ");
                for entry in &entries[1..] {
                    self.entry(entry, indent + 2, "");
                }
            }
            _ => self.value("-", item, indent, indent + 2),
        }
    }

    /// What the recipe does not say about a map of options.
    fn defaults(&mut self, key: &str, written: Option<&Node>) {
        let recipe = serde_json::to_value(&self.resolved.recipe).unwrap_or_default();
        if written.is_none() {
            self.line(0, &format!("{key}:"), None);
        }
        for (name, value) in recipe[key].as_object().into_iter().flatten() {
            if written.is_some_and(|node| node.get(name).is_some()) {
                continue;
            }
            let text = match value {
                Json::String(text) => scalar(text),
                other => other.to_string(),
            };
            self.out
                .push((format!("  {name}: {text}"), "default".into()));
        }
    }

    fn finish(self) -> String {
        let width = self
            .out
            .iter()
            .filter(|(_, from)| !from.is_empty())
            .map(|(line, _)| line.chars().count())
            .filter(|width| *width <= 60)
            .max()
            .unwrap_or(0);
        let mut out = String::new();
        for (line, from) in &self.out {
            let written = match from.as_str() {
                "" => writeln!(out, "{line}"),
                from => writeln!(out, "{line:width$}  # {from}"),
            };
            debug_assert!(written.is_ok());
        }
        out
    }
}

/// A scalar so that it reads the same again: plain where it was plain and still may be.
fn quoted(node: &Node, text: &str) -> String {
    match node.value {
        Value::Scalar { plain: true, .. } if is_plain(text) => text.to_owned(),
        Value::Scalar { plain: true, .. } => scalar(text),
        _ => literal(text),
    }
}

/// A text that was quoted: without quotes only where nobody could read it as something else.
fn literal(text: &str) -> String {
    let number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "~" | "y" | "n" | ""
    );
    if number || word {
        double(text)
    } else {
        scalar(text)
    }
}

fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        double(text)
    }
}

fn is_plain(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || "/._".contains(c);
    text.starts_with(first)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains("{{")
        && text
            .chars()
            .all(|c| !c.is_control() && !"[]{},\u{85}\u{2028}\u{2029}\u{feff}".contains(c))
        && !matches!(text, "..." | "---")
}

/// A double-quoted scalar.
fn double(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || "\u{2028}\u{2029}\u{feff}".contains(c) => {
                let escaped = write!(out, "\\u{:04x}", u32::from(c));
                debug_assert!(escaped.is_ok());
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
