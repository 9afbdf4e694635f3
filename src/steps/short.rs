//! Short forms of steps, made long on the tree, so that types and schema know one form only:
//! `{action: …, name, when, timeout, retries, env, secrets}`.

use super::KINDS;
use super::kind::Form;
use super::packages::DISTRIBUTIONS;
use crate::text::nearest;
use crate::yaml::node::{MapEntry, Node, Value};
use crate::yaml::problem::{Problem, Problems, list_words};
use crate::yaml::source::Loc;

/// The options that every step has.
pub const COMMON: &[&str] = &["name", "when", "timeout", "retries", "env", "secrets"];

fn form(action: &str) -> Option<Form> {
    KINDS
        .iter()
        .find(|(name, _)| *name == action)
        .map(|(_, about)| about.form)
}

fn actions() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// Makes every step of a list long.
pub fn lengthen(problems: &mut Problems, list: &mut Node) {
    if let Value::Seq(items) = &mut list.value {
        let before = items.len();
        *items = std::mem::take(items)
            .into_iter()
            .filter_map(|item| step(problems, item))
            .collect();
        list.damaged |= items.len() != before;
    }
}

fn step(problems: &mut Problems, mut item: Node) -> Option<Node> {
    let loc = item.loc;
    if let Some(word) = item.as_text().filter(|_| !item.is_null()) {
        return match form(word) {
            Some(Form::Word) => Some(long(item, vec![])),
            Some(_) => {
                problems.push(
                    Problem::new(loc, format!("the step `{word}` needs its options"))
                        .help(format!("write `- {word}: …`")),
                );
                None
            }
            None => {
                problems.push(unknown_action(loc, word));
                None
            }
        };
    }
    match item.entries() {
        [] => {
            let message = format!(
                "a step is a word or a map with one key, and this is {}",
                item.kind()
            );
            problems
                .push(Problem::new(loc, message).help("write `- packages: [nginx]`, for example"));
            return None;
        }
        [_] => {}
        [..] => return several(problems, item),
    }
    let Value::Map(entries) = &mut item.value else {
        return None;
    };
    let entry = entries.pop()?;
    let Some(form) = form(&entry.key) else {
        problems.push(unknown_action(entry.key_loc, &entry.key));
        return None;
    };
    one(problems, entry, form)
}

fn unknown_action(at: Loc, word: &str) -> Problem {
    let problem = Problem::new(at, format!("there is no step `{word}`"));
    if nearest(word, actions()).is_some() {
        return problem.did_you_mean(word, actions());
    }
    problem.help(format!("the steps are {}", list_words(actions())))
}

/// A step with several keys: two steps in one item, or options beside the action.
fn several(problems: &mut Problems, item: Node) -> Option<Node> {
    let known: Vec<&MapEntry> = item
        .entries()
        .iter()
        .filter(|entry| form(&entry.key).is_some())
        .collect();
    let message = "a step is a map with one key";
    let problem = match known.as_slice() {
        [first, second, ..] => Problem::new(second.key_loc, message)
            .label("a second action")
            .also(first.key_loc, "the first action")
            .help("begin each step with its own `-`"),
        [action] => {
            let stray = item
                .entries()
                .iter()
                .find(|entry| entry.key != action.key)?;
            let problem =
                Problem::new(stray.key_loc, message).label(format!("beside `{}`", action.key));
            if COMMON.contains(&stray.key.as_str()) {
                problem.help(format!(
                    "write `{}` inside: `- {}: {{…, {}: …}}`",
                    stray.key, action.key, stray.key
                ))
            } else {
                problem.help(format!("indent `{}` below `{}`", stray.key, action.key))
            }
        }
        [] => {
            let first = &item.entries()[0];
            unknown_action(first.key_loc, &first.key)
        }
    };
    problems.push(problem);
    None
}

fn one(problems: &mut Problems, mut entry: MapEntry, form: Form) -> Option<Node> {
    let common = lift(&mut entry.value);
    let loc = entry.key_loc;
    let body = &mut entry.value;
    match (form, &body.value) {
        (Form::Word, Value::Map(rest)) => {
            for stray in rest {
                let problem = Problem::new(
                    stray.key_loc,
                    format!("`{}` has no option `{}`", entry.key, stray.key),
                );
                let problem = problem.did_you_mean(&stray.key, COMMON.iter().copied());
                problems.push(problem);
            }
            return Some(long(Node::text(loc, entry.key), common));
        }
        (Form::Word, _) => {
            problems.push(
                Problem::new(loc, format!("`{}` takes no value", entry.key))
                    .help(format!("write `- {}`", entry.key)),
            );
            return None;
        }
        (Form::List(key), Value::Seq(_)) | (Form::Names(key), Value::Seq(_)) => wrap(body, key),
        (Form::Text(key), Value::Scalar { .. }) if !body.is_null() => wrap(body, key),
        (Form::Names(key), Value::Map(rest)) => {
            let by_distro = rest
                .iter()
                .all(|entry| matches!(entry.value.value, Value::Seq(_)))
                || rest
                    .iter()
                    .any(|entry| DISTRIBUTIONS.contains(&entry.key.as_str()));
            if !rest.is_empty() && by_distro && body.get(key).is_none() {
                wrap(body, key);
            }
        }
        _ => {}
    }
    let mut action = Node::map(loc);
    action.set(entry);
    Some(long(action, common))
}

/// Takes the common options out of an action's map.
fn lift(body: &mut Node) -> Vec<MapEntry> {
    COMMON.iter().filter_map(|key| body.remove(key)).collect()
}

fn wrap(body: &mut Node, key: &str) {
    let loc = body.loc;
    let value = std::mem::replace(body, Node::map(loc));
    body.set(MapEntry {
        key: key.to_owned(),
        key_loc: loc,
        value,
    });
}

fn long(action: Node, common: Vec<MapEntry>) -> Node {
    let loc = action.loc;
    let mut step = Node::map(loc);
    step.set(MapEntry {
        key: "action".to_owned(),
        key_loc: loc,
        value: action,
    });
    common.into_iter().for_each(|entry| step.set(entry));
    step
}
