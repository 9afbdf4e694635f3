//! The shape of a tree against its JSON schema: every mistake at once, each at its place. What is
//! wrong is cut out, so that the later checks see the rest.

use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use super::desugar::list_words;
use super::node::{Entry, Node, Value};
use super::problem::{Problem, Problems, nearest};
use super::source::Loc;
use crate::repository::Share;
use crate::units::{Size, Span};

/// Extension of a schema: further keys to suggest.
pub const ALSO: &str = "x-also";
/// Extension of a schema: what is expected here, in words.
pub const EXPECTS: &str = "x-expects";

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
            return type_of(schema) == Some("string") && schema["format"].is_null();
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
            (Some("string"), Value::Scalar { .. }) => self.text(node, schema),
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
        fits
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

    fn text(&mut self, node: &Node, schema: &Json) -> bool {
        let text = node.as_text().unwrap_or_default();
        let wrong = match schema["format"].as_str() {
            Some("size") => text.parse::<Size>().err(),
            Some("timespan") => text.parse::<Span>().err(),
            Some("share") => text.parse::<Share>().err(),
            _ => None,
        };
        match wrong {
            Some(message) => {
                let (message, help) = message
                    .split_once("; ")
                    .map_or((message.as_str(), None), |(message, help)| {
                        (message, Some(help))
                    });
                let problem = Problem::new(node.loc, message);
                self.problems
                    .push(match (help, unit(text, schema["format"] == "size")) {
                        (_, Some(written)) => problem.help(format!("did you mean `{written}`?")),
                        (Some(help), None) => problem.help(help),
                        (None, None) => problem,
                    });
                false
            }
            None => true,
        }
    }

    fn integer(&mut self, node: &Node, schema: &Json, place: Place<'_>) -> bool {
        let Value::Scalar { text, plain } = &node.value else {
            return false;
        };
        let name = call(place.name);
        let number = text.parse::<u64>().ok().filter(|number| {
            *number <= u64::from(u32::MAX) && *number >= schema["minimum"].as_u64().unwrap_or(0)
        });
        let problem = match (number, plain) {
            (Some(number), true) if number.to_string() == *text => return true,
            (Some(_), false) => Problem::new(
                node.loc,
                format!("{name} is a whole number, and this is a text"),
            )
            .help(format!("write `{text}` without quotes")),
            _ => {
                let low = schema["minimum"].as_u64().unwrap_or(0);
                let problem = Problem::new(
                    node.loc,
                    format!("{name} is a whole number, and this is `{text}`"),
                );
                problem.help(format!("write digits only, {low} or more"))
            }
        };
        self.problems.push(problem);
        false
    }

    fn boolean(&mut self, node: &Node, place: Place<'_>) -> bool {
        let Value::Scalar { text, plain } = &node.value else {
            return false;
        };
        if *plain && matches!(text.as_str(), "true" | "false") {
            return true;
        }
        let name = call(place.name);
        let problem = Problem::new(
            node.loc,
            format!("{name} is `true` or `false`, and this is `{text}`"),
        );
        self.problems.push(match text.to_lowercase().as_str() {
            "yes" | "on" | "true" | "1" => problem.help("write `true`"),
            "no" | "off" | "false" | "0" => problem.help("write `false`"),
            _ => problem,
        });
        false
    }

    fn word(&mut self, node: &Node, words: Vec<&str>, schema: &'a Json, place: Place<'_>) -> bool {
        let Some(text) = node.as_text() else {
            return self.wrong_type(node, schema, place);
        };
        if words.contains(&text) {
            return true;
        }
        let name = call(place.name);
        let problem = Problem::new(node.loc, format!("{name} cannot be `{text}`"));
        let problem = match nearest(text, words.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("the values are {}", list_words(words))),
        };
        self.problems.push(problem);
        false
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

/// The words and the one-key maps of a `oneOf`.
fn alternatives(branches: &[Json]) -> (Vec<&str>, Vec<(&str, &Json)>) {
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

fn unknown_key(entry: &Entry, known: &Map<String, Json>, schema: &Json, of: &str) -> Problem {
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
        None => problem.help(format!("the keys are {}", list_words(names))),
    }
}

/// `name` in quotes, unless it is a phrase already.
fn call(name: &str) -> String {
    match name {
        "" => "the file".to_owned(),
        name if name.contains(' ') => name.to_owned(),
        name => format!("`{name}`"),
    }
}

fn kind_of(node: &Node) -> &'static str {
    match node.value {
        Value::Scalar { .. } => "string",
        Value::Seq(_) => "array",
        Value::Map(_) => "object",
    }
}

/// The schema's type; of an optional one the real one.
fn type_of(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::Array(types) => types
            .iter()
            .filter_map(Json::as_str)
            .find(|name| *name != "null"),
        other => other.as_str(),
    }
}

/// What was probably meant by a size or duration without a unit or in other words.
fn unit(text: &str, size: bool) -> Option<String> {
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
