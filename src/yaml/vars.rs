//! Variables: where they come from, and their expansion in the values of a recipe.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{MapEntry, Node, Value};
use super::problem::{Problem, Problems};
use super::source::Loc;
use super::template::{self, Piece, Vars};

/// Top-level keys whose values are never expanded: they decide what there is to expand.
const LITERAL: &[&str] = &["name", "include", "variants", "vars"];
/// Words of the template language.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "none",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "loop",
    "self",
    "super",
    "caller",
    "range",
    "dict",
    "debug",
    "namespace",
];
/// How deep variables may refer to each other.
const MAX_DEPTH: usize = 16;

/// A variable's text and its place.
#[derive(Debug, Clone)]
pub struct Var {
    /// The text, not expanded yet.
    pub text: String,
    /// The place.
    pub loc: Loc,
}

/// What is wrong with a variable's name, if anything.
pub fn bad_name(name: &str) -> Option<String> {
    let shaped = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !shaped {
        return Some(format!(
            "`{name}` is not a valid name for a variable: lower-case letters, digits and `_`, a letter first"
        ));
    }
    (RESERVED.contains(&name) || name.starts_with("imgforge"))
        .then(|| format!("`{name}` is a reserved word and not a valid name for a variable"))
}

/// Adds the variables of a `vars:` map over those in `into`.
pub fn collect(problems: &mut Problems, vars: Option<&Node>, into: &mut BTreeMap<String, Var>) {
    for entry in vars.map_or(&[][..], Node::entries) {
        if let Some(message) = bad_name(&entry.key) {
            let problem = Problem::new(entry.key_loc, message);
            problems.push(if entry.key.contains('-') {
                problem.help(format!("write `{}`", entry.key.replace('-', "_")))
            } else {
                problem
            });
        }
        if let Some(text) = entry.value.as_text().filter(|_| !entry.value.is_null()) {
            let text = text.to_owned();
            let loc = entry.value.loc;
            into.insert(entry.key.clone(), Var { text, loc });
        }
    }
}

/// Expands the variables in each other; one that fails keeps its text as written.
pub fn settle(problems: &mut Problems, vars: &BTreeMap<String, Var>) -> Vars {
    let mut done = Vars::new();
    for name in vars.keys() {
        settle_one(problems, vars, name, &mut vec![], &mut done);
    }
    done
}

fn settle_one<'a>(
    problems: &mut Problems,
    vars: &'a BTreeMap<String, Var>,
    name: &'a str,
    path: &mut Vec<&'a str>,
    done: &mut Vars,
) {
    let Some(var) = vars.get(name) else { return };
    if done.contains_key(name) {
        return;
    }
    if path.contains(&name) || path.len() >= MAX_DEPTH {
        let chain = path.join("` → `");
        problems.push(Problem::new(
            var.loc,
            format!("variables refer to each other without end: `{chain}` → `{name}`"),
        ));
        done.insert(name.to_owned(), String::new());
        return;
    }
    path.push(name);
    for used in used_by(&var.text) {
        if let Some((used, _)) = vars.get_key_value(&used) {
            settle_one(problems, vars, used, path, done);
        }
    }
    path.pop();
    let text = expand(problems, &var.text, var.loc, done).unwrap_or_else(|| var.text.clone());
    done.entry(name.to_owned()).or_insert(text);
}

fn used_by(text: &str) -> BTreeSet<String> {
    template::pieces(text)
        .unwrap_or_default()
        .iter()
        .filter_map(|piece| match piece {
            Piece::Expression(expression) => template::expression_variables(expression).ok(),
            Piece::Text(_) => None,
        })
        .flatten()
        .collect()
}

/// Expands every value of a recipe's tree but those of the keys that are literal.
pub fn expand_tree(problems: &mut Problems, tree: &mut Node, vars: &Vars) {
    for entry in tree.entries_mut() {
        if !LITERAL.contains(&entry.key.as_str()) {
            expand_node(problems, &mut entry.value, vars);
        }
    }
}

/// Expands every value of a tree.
pub fn expand_node(problems: &mut Problems, node: &mut Node, vars: &Vars) {
    match &mut node.value {
        Value::Scalar { text, plain } if text.contains("{{") => {
            match expand(problems, text, node.loc, vars) {
                Some(expanded) => (*text, *plain) = (expanded, false),
                None => node.damaged = true,
            }
        }
        Value::Scalar { .. } => {}
        Value::Seq(items) => items
            .iter_mut()
            .for_each(|item| expand_node(problems, item, vars)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|MapEntry { value, .. }| expand_node(problems, value, vars)),
    }
}

/// Expands one value; `None` when something is wrong with it, which is reported.
pub fn expand(problems: &mut Problems, text: &str, loc: Loc, vars: &Vars) -> Option<String> {
    let pieces = match template::pieces(text) {
        Ok(pieces) => pieces,
        Err(_) => {
            let at = part(problems, loc, "{{");
            problems.push(
                Problem::new(at, "`{{` without `}}`")
                    .help("for the characters themselves write `{{ '{{' }}`"),
            );
            return None;
        }
    };
    let mut out = Some(String::new());
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                if let Some(out) = &mut out {
                    out.push_str(text);
                }
            }
            Piece::Expression(expression) => match value_of(problems, expression, loc, vars) {
                Some(value) => {
                    if let Some(out) = &mut out {
                        out.push_str(&value);
                    }
                }
                None => out = None,
            },
        }
    }
    if out
        .as_ref()
        .is_some_and(|out| out.len() > template::LONGEST_VALUE)
    {
        let limit = template::LONGEST_VALUE >> 10;
        problems.push(Problem::new(
            loc,
            format!("the value expands to more than {limit} KiB"),
        ));
        return None;
    }
    out
}

fn value_of(problems: &mut Problems, expression: &str, loc: Loc, vars: &Vars) -> Option<String> {
    let at = part(problems, loc, &format!("{{{{{expression}}}}}"));
    let used = match template::expression_variables(expression) {
        Ok(used) => used,
        Err(message) => {
            problems.push(
                Problem::new(at, format!("`{{{{{expression}}}}}` is broken: {message}"))
                    .help("for the characters themselves write `{{ '{{' }}`"),
            );
            return None;
        }
    };
    let unknown: Vec<String> = used
        .into_iter()
        .filter(|name| !vars.contains_key(name))
        .collect();
    for name in &unknown {
        problems.push(undefined(at, name, vars));
    }
    if !unknown.is_empty() {
        return None;
    }
    match template::evaluate(expression, vars) {
        Ok(value) => Some(value),
        Err(message) => {
            problems.push(Problem::new(
                at,
                format!("`{{{{{expression}}}}}` cannot be expanded: {message}"),
            ));
            None
        }
    }
}

/// The problem of a variable that nobody defines.
pub fn undefined(at: Loc, name: &str, vars: &Vars) -> Problem {
    let problem = Problem::new(at, format!("the variable `{name}` is not defined"));
    let names = || vars.keys().map(String::as_str);
    if crate::text::nearest(name, names()).is_some() {
        return problem.did_you_mean(name, names());
    }
    problem.help(format!("define it under `vars:`, or with --var {name}=…"))
}

/// The place of `needle` inside of a value, or the value's.
fn part(problems: &Problems, loc: Loc, needle: &str) -> Loc {
    match problems.sources.slice(loc).find(needle) {
        Some(at) => loc
            .file
            .range(loc.start + at, loc.start + at + needle.len()),
        None => loc,
    }
}
