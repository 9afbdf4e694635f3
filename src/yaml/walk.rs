//! The shape of a tree against its JSON schema: every mistake at once, each at its place. What is
//! wrong is cut out, so that the later checks see the rest.

use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use super::checker::exactly_one;
use super::node::{MapEntry, Node, Value};
use super::problem::{Problem, Problems, list_words};
use super::source::Loc;
use crate::address::Address;
use crate::text::nearest;

mod scalars;
mod words;

use words::{alternatives, call, kind_of, type_of, unknown_key};

/// Extension of a schema: further keys to suggest.
pub const ALSO: &str = "x-also";
/// Extension of a schema: what is expected here, in words.
pub const EXPECTS: &str = "x-expects";

/// Extension of a schema: two keys of which a map has exactly one.
const EITHER: &str = "x-either";
/// Extension of a schema: the key whose value, if it is an address, has its `sha256` beside it.
const DOWNLOAD: &str = "x-download";

/// Checks `tree` against `schema` and cuts out what does not fit.
pub fn check(problems: &mut Problems, tree: &mut Node, schema: &Json) -> bool {
    let mut walker = Walker {
        problems,
        root: schema,
    };
    let at = tree.loc;
    walker.node(tree, schema, Place { name: "", at })
}

/// How a value is called in messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    at: Loc,
}

struct Walker<'a> {
    problems: &'a mut Problems,
    root: &'a Json,
}

impl<'a> Walker<'a> {
    /// Follows `$ref`, and takes the branch of an optional value that is not null.
    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        while let Some(name) = schema["$ref"].as_str() {
            schema = &self.root["$defs"][name.trim_start_matches("#/$defs/")];
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            let mut real = branches.iter().filter(|branch| branch["type"] != "null");
            if let (Some(only), None) = (real.next(), real.next()) {
                return self.resolve(only);
            }
        }
        schema
    }

    /// Whether the value fits; if not, that is reported.
    fn node(&mut self, node: &mut Node, schema: &'a Json, place: Place<'_>) -> bool {
        let schema = self.resolve(schema);
        if node.damaged && matches!(node.value, Value::Scalar { .. }) {
            return type_of(schema) == Some("string")
                && (schema["format"].is_null() || scalars::stand_in(node, schema));
        }
        if node.is_null() {
            let hint = match type_of(schema) {
                Some("array") => "; write `[]` for an empty list",
                Some("object") if schema["oneOf"].is_null() => "; write `{}` for an empty map",
                Some("string") if schema["format"].is_null() => "; write `\"\"` for an empty text",
                _ => "",
            };
            let name = call(place.name);
            let problem = Problem::new(place.at, format!("{name} has no value"));
            self.problems.push(problem.help(format!(
                "give it {}, or remove it{hint}",
                self.expects(schema)
            )));
            return false;
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            let kind = kind_of(node);
            return match branches
                .iter()
                .find(|branch| type_of(self.resolve(branch)) == Some(kind))
            {
                Some(branch) => self.node(node, branch, place),
                None => self.wrong_type(node, schema, place),
            };
        }
        if let Some(branches) = schema["oneOf"].as_array() {
            return self.one_of(node, schema, branches, place);
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.word(
                node,
                words.iter().filter_map(Json::as_str).collect(),
                schema,
                place,
            );
        }
        match (type_of(schema), &node.value) {
            (Some("object"), Value::Map(_)) => self.object(node, schema, place),
            (Some("array"), Value::Seq(_)) => self.array(node, schema, place),
            (Some("string"), Value::Scalar { .. }) => self.text(node, schema, place),
            (Some("integer"), Value::Scalar { .. }) => self.integer(node, schema, place),
            (Some("boolean"), Value::Scalar { .. }) => self.boolean(node, place),
            (None, _) => true,
            _ => self.wrong_type(node, schema, place),
        }
    }

    fn wrong_type(&mut self, node: &Node, schema: &'a Json, place: Place<'_>) -> bool {
        let (name, kind, expects) = (call(place.name), node.kind(), self.expects(schema));
        let problem = Problem::new(node.loc, format!("{name} is {expects}, and this is {kind}"));
        let braces = self.problems.sources.slice(node.loc).starts_with("{{");
        self.problems.push(if braces {
            problem.help("quote a value that contains `{{ … }}`")
        } else if let (Some("array"), Some(text)) = (type_of(schema), node.as_text()) {
            problem.help(format!("write `[{text}]`"))
        } else {
            problem
        });
        false
    }

    /// What a schema wants, in words.
    fn expects(&self, schema: &'a Json) -> String {
        if let Some(words) = schema[EXPECTS].as_str() {
            return words.to_owned();
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            let branches: Vec<String> = branches
                .iter()
                .map(|branch| self.expects(self.resolve(branch)))
                .collect();
            return branches.join(" or ");
        }
        if let Some(branches) = schema["oneOf"].as_array() {
            let (words, keys) = alternatives(branches);
            return match keys.as_slice() {
                [] => format!("one of {}", list_words(words)),
                _ => format!(
                    "a map with one of {}",
                    list_words(keys.iter().map(|(key, _)| *key))
                ),
            };
        }
        if let Some(words) = schema["enum"].as_array() {
            return format!(
                "one of {}",
                list_words(words.iter().filter_map(Json::as_str))
            );
        }
        match (type_of(schema), schema["format"].as_str()) {
            (Some("object"), _) => "a map",
            (Some("array"), _) => "a list",
            (Some("integer"), _) => "a whole number",
            (Some("boolean"), _) => "`true` or `false`",
            (_, Some("size")) => "a size such as `10GiB`",
            (_, Some("timespan")) => "a duration such as `10m`",
            (_, Some("share")) => "a share such as `10%`",
            _ => "a text",
        }
        .to_owned()
    }

    fn object(&mut self, node: &mut Node, schema: &'a Json, place: Place<'_>) -> bool {
        static NONE: LazyLock<Map<String, Json>> = LazyLock::new(Map::new);
        let known = schema["properties"].as_object().unwrap_or(&NONE);
        let rest = &schema["additionalProperties"];
        let required: Vec<&str> = schema["required"]
            .as_array()
            .map(|names| names.iter().filter_map(Json::as_str).collect())
            .unwrap_or_default();
        let mut fits = true;
        let mut missing = required.clone();
        let Value::Map(entries) = &mut node.value else {
            return false;
        };
        let mut cut = false;
        entries.retain_mut(|entry| {
            missing.retain(|name| *name != entry.key);
            let below = Place {
                name: &entry.key,
                at: entry.key_loc,
            };
            let ok = match known.get(&entry.key) {
                Some(schema) => self.node(&mut entry.value, schema, below),
                None if rest.is_object() => self.node(&mut entry.value, rest, below),
                None => {
                    let problem = unknown_key(entry, known, schema, place.name);
                    self.problems.push(problem);
                    false
                }
            };
            cut |= !ok;
            fits &= ok || !required.contains(&entry.key.as_str());
            ok
        });
        node.damaged |= cut;
        for name in missing {
            let of = match place.name {
                "" => String::new(),
                name => format!(" in {}", call(name)),
            };
            let expects = known
                .get(name)
                .map(|schema| self.expects(self.resolve(schema)));
            let problem = Problem::new(place.at, format!("`{name}` is missing{of}"));
            self.problems.push(match expects {
                Some(expects) => problem.help(format!("add `{name}: …`, {expects}")),
                None => problem,
            });
            fits = false;
        }
        self.either(node, schema, place.name);
        self.download(node, schema);
        fits
    }

    /// A map that has exactly one of two keys: a second one is cut out, and something stands in for
    /// a missing one.
    fn either(&mut self, node: &mut Node, schema: &'a Json, name: &str) {
        let [one, other] = [0, 1].map(|index| schema[EITHER][index].as_str());
        let Some((one, other)) = one.zip(other) else {
            return;
        };
        self.problems.extend(exactly_one(node, name, one, other));
        match (node.entry(one).is_some(), node.entry(other).is_some()) {
            (true, true) => drop(node.remove(other)),
            (false, false) => self.put(node, one, &schema["properties"][one]),
            _ => return,
        }
        node.damaged = true;
    }

    /// A download has its digest.
    fn download(&mut self, node: &mut Node, schema: &'a Json) {
        let place = schema[DOWNLOAD].as_str().and_then(|key| node.get(key));
        let Some(place) = place.filter(|_| !node.damaged && node.get("sha256").is_none()) else {
            return;
        };
        let text = place.as_text().unwrap_or_default();
        if text.parse::<Address>().is_ok() && !text.contains('#') {
            let problem = Problem::new(place.loc, "a download needs its `sha256`");
            self.problems
                .push(problem.help("add `sha256: …`, 64 hex digits"));
            self.put(node, "sha256", &schema["properties"]["sha256"]);
        }
    }

    /// Puts a value that stands in for the right one.
    fn put(&self, node: &mut Node, key: &str, schema: &'a Json) {
        let mut value = Node::text(node.loc, "x");
        scalars::stand_in(&mut value, self.resolve(schema));
        value.damaged = true;
        node.set(MapEntry {
            key: key.into(),
            key_loc: node.loc,
            value,
        });
    }

    fn array(&mut self, node: &mut Node, schema: &'a Json, place: Place<'_>) -> bool {
        let items = &schema["items"];
        let Value::Seq(list) = &mut node.value else {
            return false;
        };
        let before = list.len();
        list.retain_mut(|item| {
            let name = format!("an item of `{}`", place.name);
            let at = item.loc;
            self.node(item, items, Place { name: &name, at })
        });
        node.damaged |= list.len() != before;
        true
    }

    fn one_of(
        &mut self,
        node: &mut Node,
        schema: &'a Json,
        branches: &'a [Json],
        place: Place<'_>,
    ) -> bool {
        let (words, keys) = alternatives(branches);
        if keys.is_empty() || (!words.is_empty() && node.as_text().is_some()) {
            return self.word(node, words, schema, place);
        }
        let names = || keys.iter().map(|(key, _)| *key);
        let Value::Map(entries) = &mut node.value else {
            return self.wrong_type(node, schema, place);
        };
        if let [first, second, ..] = entries.as_slice() {
            let name = call(place.name);
            self.problems.push(
                Problem::new(
                    second.key_loc,
                    format!("{name} has exactly one key, and this is another"),
                )
                .also(first.key_loc, "the first")
                .help(format!("one of {}", list_words(names()))),
            );
            return false;
        }
        let Some(entry) = entries.first_mut() else {
            let name = call(place.name);
            self.problems.push(
                Problem::new(place.at, format!("{name} is empty"))
                    .help(format!("it has exactly one of {}", list_words(names()))),
            );
            return false;
        };
        let Some((_, below)) = keys.iter().find(|(key, _)| *key == entry.key) else {
            let of = call(place.name);
            let problem = Problem::new(entry.key_loc, format!("{of} has no key `{}`", entry.key));
            let near = nearest(&entry.key, names());
            self.problems.push(match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("it has exactly one of {}", list_words(names()))),
            });
            return false;
        };
        let place = Place {
            name: &entry.key,
            at: entry.key_loc,
        };
        self.node(&mut entry.value, below, place)
    }
}
