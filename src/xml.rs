//! Documents in XML: a template, and values that never become markup.

use std::fmt::Write as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, Value};
use serde::Serialize;

/// Renders a template of imgforge's own.
///
/// # Errors
/// When it asks for a value that is not there.
pub(crate) fn render(template: &str, values: impl Serialize) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_formatter(put);
    environment.render_str(template, Serde(values))
}

/// The engine's own way is HTML's, with references for each `/`, and knows no control characters.
fn put(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    out.write_str(&escape(&value.to_string()))
        .map_err(Error::from)
}

/// Text and attribute values; what XML 1.0 cannot hold at all is left out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\'' => out += "&apos;",
            '"' => out += "&quot;",
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", c as u32);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_value_becomes_markup() {
        let values = json!({"text": "a<b>&'c'\"d\"\n\u{1}e", "list": [1, "/x"]});
        let template = "<a b='{{ text }}'>\n  {% for one in list %}\n  <c>{{ one }}</c>\n  {% endfor %}\n</a>\n";
        assert_eq!(
            render(template, values).unwrap(),
            "<a b='a&lt;b&gt;&amp;&apos;c&apos;&quot;d&quot;&#10;e'>\n  <c>1</c>\n  <c>/x</c>\n</a>\n"
        );
        assert!(render("<a>{{ other }}</a>", json!({})).is_err());
    }
}
