//! What a schema says of steps, in their long form and in all forms.

use serde_json::{Map, Value as Json, json};

use super::kind::Form;
use super::{COMMON, KINDS};
use crate::yaml::walk::{ALSO, EXPECTS};

/// Adds what messages say of each kind to a schema that has steps.
pub fn annotate(schema: &mut Json) {
    for (action, about) in KINDS {
        let Some(body) = definition(schema, action) else {
            continue;
        };
        let body = &mut schema["$defs"][body];
        body[ALSO] = json!(COMMON);
        if let Some(expects) = about.form.expects() {
            body[EXPECTS] = json!(expects);
        }
    }
}

/// Name of the definition that holds an action's options.
pub fn definition(schema: &Json, action: &str) -> Option<String> {
    let branches = schema["$defs"]["Action"]["oneOf"].as_array()?;
    branches
        .iter()
        .find_map(|branch| branch["properties"][action]["$ref"].as_str())
        .map(|name| name.trim_start_matches("#/$defs/").to_owned())
}

/// Schema of a step in all its forms.
pub fn schema(schema: &Json) -> Json {
    let common = schema["$defs"]["Step"]["properties"].clone();
    let words: Vec<&str> = KINDS
        .iter()
        .filter(|(_, about)| about.form == Form::Word)
        .map(|(action, _)| *action)
        .collect();
    let mut forms = vec![json!({"enum": words})];
    for (action, about) in KINDS {
        let body = body(schema, action, about.form, &common);
        let description = describe(schema, action);
        forms.push(json!({
            "type": "object",
            "description": description,
            "properties": {*action: body},
            "required": [action],
            "additionalProperties": false,
        }));
    }
    json!({"description": "A step: a word, or a map with one key.", "oneOf": forms})
}

/// What an action does, in words.
pub fn describe(schema: &Json, action: &str) -> String {
    let branches = schema["$defs"]["Action"]["oneOf"].as_array();
    branches
        .into_iter()
        .flatten()
        .find(|branch| branch["const"] == action || !branch["properties"][action].is_null())
        .and_then(|branch| branch["description"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn body(schema: &Json, action: &str, form: Form, common: &Json) -> Json {
    let mut long = match definition(schema, action) {
        Some(name) => schema["$defs"][name].clone(),
        None => json!({"type": "object", "properties": {}, "additionalProperties": false}),
    };
    for key in COMMON {
        long["properties"][key] = common[key].clone();
    }
    let short = match form {
        Form::Word | Form::Map => return long,
        Form::Text(_) => json!({"type": "string"}),
        Form::List(key) => long["properties"][key].clone(),
        Form::Names(_) => json!({"type": "array", "items": {"type": "string"}}),
    };
    let mut forms = vec![short, long.clone()];
    if let Form::Names(key) = form {
        let mut properties: Map<String, Json> = Map::new();
        for key in COMMON {
            properties.insert((*key).to_owned(), common[key].clone());
        }
        forms.push(json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "not": {"required": [key]},
        }));
    }
    json!({"anyOf": forms})
}
