//! `docs/recipe.md`: the reference of the recipe language, from the schema.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::schema;
use crate::steps::{self, KINDS};

const HEAD: &str = "# The recipe\n\n\
    Every key of a recipe and of `imgforge.yaml`. This page is generated from the program's types; \
    `imgforge schema` prints the JSON schema for editors.\n\n\
    * Sizes carry a unit (`10GiB`), durations too (`90m`).\n\
    * Paths are relative to the root of the repository and stay in it. Those of installation media, \
    imported images and secrets may be absolute.\n\
    * Values may contain `{{ variable }}`; keys and structure never do. Quote such a value.\n\
    * Permissions are quoted: `\"0644\"`.\n";

/// The reference as Markdown.
pub fn render() -> String {
    let mut page = Page {
        root: schema::long(),
        out: HEAD.to_owned(),
        done: BTreeSet::new(),
        queue: vec![],
    };
    page.heading("Keys of a recipe");
    page.recipe_keys();
    page.follow();
    page.steps();
    page.follow();
    page.root = schema::config();
    page.done.clear();
    page.heading("imgforge.yaml");
    page.table(schema::config());
    page.follow();
    page.out
}

struct Page<'a> {
    root: &'a Json,
    out: String,
    done: BTreeSet<String>,
    queue: Vec<(String, &'a Json)>,
}

impl<'a> Page<'a> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.line(&format!("\n## {text}\n"));
    }

    fn recipe_keys(&mut self) {
        self.table(self.root);
        let written = schema::written();
        for key in ["include", "variants"] {
            let description = written["properties"][key]["description"].as_str();
            let value = if key == "include" {
                "list of text"
            } else {
                "map of list of text"
            };
            let row = format!(
                "| `{key}` | {value} | | {} |",
                description.unwrap_or_default()
            );
            self.line(&row);
        }
    }

    /// The sections of the definitions that the tables so far refer to.
    fn follow(&mut self) {
        while !self.queue.is_empty() {
            for (name, definition) in std::mem::take(&mut self.queue) {
                self.line(&format!("\n### {name}\n"));
                self.describe(definition);
                if definition["oneOf"].is_array() {
                    self.alternatives(definition);
                } else {
                    self.table(definition);
                }
            }
        }
    }

    fn describe(&mut self, definition: &Json) {
        if let Some(text) = definition["description"].as_str() {
            self.line(&format!("{}\n", one_line(text)));
        }
    }

    fn table(&mut self, definition: &'a Json) {
        self.line("| key | value | default | |\n|---|---|---|---|");
        let required: Vec<&str> = definition["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        for (key, schema) in definition["properties"].as_object().into_iter().flatten() {
            let value = self.words(schema);
            let default = match &schema["default"] {
                _ if required.contains(&key.as_str()) => "needed".to_owned(),
                Json::String(text) if !text.is_empty() => format!("`{text}`"),
                Json::Number(number) => format!("`{number}`"),
                Json::Bool(truth) => format!("`{truth}`"),
                Json::Array(items) if !items.is_empty() => format!("`{}`", schema["default"]),
                _ => String::new(),
            };
            let text = one_line(schema["description"].as_str().unwrap_or_default());
            self.line(&format!("| `{key}` | {value} | {default} | {text} |"));
        }
    }

    fn alternatives(&mut self, definition: &'a Json) {
        for branch in definition["oneOf"].as_array().into_iter().flatten() {
            let text = one_line(branch["description"].as_str().unwrap_or_default());
            let words = branch["enum"].as_array().into_iter().flatten();
            for word in words.chain([&branch["const"]]).filter_map(Json::as_str) {
                self.line(&format!("* `{word}`: {text}"));
            }
            for (key, schema) in branch["properties"].as_object().into_iter().flatten() {
                let value = self.words(schema);
                self.line(&format!("* `{key}:` {value}. {text}"));
            }
        }
    }

    fn steps(&mut self) {
        self.heading("Steps");
        let common = schema::common_options();
        self.line(&format!(
            "An item of `configure`, `instance` or a target's `configure`: a map with one key, the action. \
             The options {common} go into the action's map."
        ));
        let step = &self.root["$defs"]["Step"];
        self.line("\n### Common options\n");
        self.line("| key | value | |\n|---|---|---|");
        for (key, schema) in step["properties"].as_object().into_iter().flatten() {
            if key != "action" {
                let value = self.words(schema);
                let text = one_line(schema["description"].as_str().unwrap_or_default());
                self.line(&format!("| `{key}` | {value} | {text} |"));
            }
        }
        for (action, about) in KINDS {
            self.line(&format!("\n### `{action}`\n"));
            self.line(&steps::describe(self.root, action));
            if let Some(short) = about.form.short(action) {
                self.line(&format!("Short form: {short}."));
            }
            if let Some(name) = steps::definition(self.root, action) {
                self.done.insert(name.clone());
                self.line("");
                self.table(&self.root["$defs"][&name]);
            }
        }
    }

    /// A schema in a few words; definitions are queued and linked.
    fn words(&mut self, schema: &'a Json) -> String {
        if let Some(name) = schema["$ref"].as_str() {
            return self.reference(name.trim_start_matches("#/$defs/"));
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            let branches: Vec<String> = branches
                .iter()
                .filter(|branch| branch["type"] != "null")
                .map(|branch| self.words(branch))
                .collect();
            return branches.join(" or ");
        }
        let kind = match &schema["type"] {
            Json::Array(kinds) => kinds.first().and_then(Json::as_str),
            kind => kind.as_str(),
        };
        match (kind, schema["format"].as_str()) {
            (Some("array"), _) => format!("list of {}", self.words(&schema["items"])),
            (Some("object"), _) => {
                format!("map of {}", self.words(&schema["additionalProperties"]))
            }
            (Some("integer"), _) => "number".into(),
            (Some("boolean"), _) => "`true` or `false`".into(),
            (_, Some("size")) => "size".into(),
            (_, Some("timespan")) => "duration".into(),
            (_, Some("share")) => "share".into(),
            _ => "text".into(),
        }
    }

    fn reference(&mut self, name: &str) -> String {
        let definition = &self.root["$defs"][name];
        match name {
            "Size" => return "size".into(),
            "Span" => return "duration".into(),
            "Share" => return "share".into(),
            "Step" => return "[step](#steps)".into(),
            _ => {}
        }
        if definition["anyOf"].is_array() {
            return self.words(definition);
        }
        if self.done.insert(name.to_owned()) {
            self.queue.push((name.to_owned(), definition));
        }
        let mut link = String::new();
        let written = write!(link, "[{name}](#{})", name.to_lowercase());
        debug_assert!(written.is_ok());
        link
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_step_is_in_the_reference() {
        let page = render();
        for (key, _) in schema::written()["properties"].as_object().unwrap() {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
        for (action, _) in KINDS {
            assert!(page.contains(&format!("### `{action}`")), "{action}");
        }
        for text in [
            "| `disk` | size |",
            "* `uefi`: OVMF, on 64-bit x86; AAVMF on 64-bit ARM.",
            "| `default-channel` | text |",
        ] {
            assert!(page.contains(text), "{text}\n{page}");
        }
    }

    #[test]
    fn every_action_has_a_form() {
        let branches = schema::long()["$defs"]["Action"]["oneOf"]
            .as_array()
            .unwrap();
        let mut names: Vec<&str> = branches
            .iter()
            .flat_map(|branch| {
                let words = branch["enum"].as_array().into_iter().flatten();
                let words = words.chain([&branch["const"]]).filter_map(Json::as_str);
                let keys = branch["properties"].as_object().into_iter().flatten();
                words
                    .chain(keys.map(|(key, _)| key.as_str()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut forms: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        forms.sort_unstable();
        assert_eq!(names, forms);
    }
}
