//! The JSON schemas: the long form, which trees are checked against, and the one for editors,
//! which knows `include`, `variants` and every short form too.

use std::sync::OnceLock;

use serde_json::{Value as Json, json};

use super::config::Config;
use super::types::Recipe;
use crate::steps::{self, COMMON};
use crate::sysprep;
use crate::yaml::problem::list_words;

/// Schema of a resolved recipe: long forms only.
pub fn long() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = schemars::schema_for!(Recipe).to_value();
        steps::annotate(&mut schema);
        schema
    })
}

/// Schema of `imgforge.yaml`.
pub fn config() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| schemars::schema_for!(Config).to_value())
}

/// Schema of a recipe as people write it, for editors and `imgforge schema`.
pub fn written() -> Json {
    let mut schema = long().clone();
    schema["title"] = json!("imgforge recipe");
    let properties = &mut schema["properties"];
    properties["include"] = json!({
        "description": "Fragments merged below this file, relative to recipes/.",
        "type": "array",
        "items": {"type": "string"},
    });
    let text = json!({"type": "string"});
    properties["vars"]["additionalProperties"] = json!({"anyOf": [text, {
        "description": "A value for each architecture of a list.",
        "type": "object",
        "additionalProperties": text,
    }]});
    properties["variants"] = json!({
        "description": "One image for each value: NAME-VALUE. The values are variables; several axes multiply.",
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    });
    let arch = &mut schema["$defs"]["Machine"]["properties"]["arch"];
    let one = arch["$ref"].take();
    let list = json!({"type": "array", "items": {"$ref": one}, "minItems": 1, "uniqueItems": true});
    if let Some(arch) = arch.as_object_mut() {
        arch.remove("$ref");
        arch.insert("anyOf".into(), json!([{"$ref": one}, list]));
    }
    schema["$defs"]["Step"] = steps::schema(&schema);
    if let Some(definitions) = schema["$defs"].as_object_mut() {
        definitions.remove("Action");
    }
    loosen(&mut schema);
    let words = sysprep::words().flat_map(|word| [word.to_owned(), format!("-{word}")]);
    schema["$defs"]["Seal"]["properties"]["operations"]["items"]["enum"] = words.collect();
    schema
}

/// Texts in maps of texts may look like numbers: imgforge takes them verbatim. What is only for the
/// walk goes.
fn loosen(schema: &mut Json) {
    match schema {
        Json::Object(map) => {
            if map.get("additionalProperties") == Some(&json!({"type": "string"})) {
                let any = json!({"type": ["string", "number", "boolean"]});
                map.insert("additionalProperties".into(), any);
            }
            map.retain(|key, _| !key.starts_with("x-"));
            map.values_mut().for_each(loosen);
        }
        Json::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

/// The common options, for sentences.
pub fn common_options() -> String {
    list_words(COMMON.iter().copied())
}
