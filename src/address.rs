//! Users and passwords in addresses, which are nobody else's business.
//!
//! Recipes have addresses in many places: mirrors, media, repositories, variables, lines of scripts.
//! What leaves the build (manifests, provenance, events, titles, what is shown of a recipe) is looked
//! through for all of them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// Scheme, then everything up to the last `@` before the path.
static CREDENTIALS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b([a-z][a-z0-9+.-]*://)([^\s/?#"'<>]+)@"#)
        .expect("the expression is constant")
});

/// Whether it is more than the name of a user: `git@` of an address for SSH is known to everybody.
fn is_secret(scheme: &str, user: &str) -> bool {
    user.contains(':') || scheme.to_ascii_lowercase().starts_with("http")
}

/// The text, whose addresses have neither user nor password.
pub(crate) fn hide(text: &str) -> Cow<'_, str> {
    CREDENTIALS.replace_all(text, |found: &Captures<'_>| {
        match is_secret(&found[1], &found[2]) {
            true => found[1].to_owned(),
            false => found[0].to_owned(),
        }
    })
}

/// Hides them in every string of a value.
pub(crate) fn hide_all(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(hidden) = hide(text) {
                *text = hidden;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hide_all),
        Value::Object(map) => map.values_mut().for_each(hide_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text has an address with a password that is written out: a variable's name is none.
pub(crate) fn has_password(text: &str) -> bool {
    CREDENTIALS.captures_iter(text).any(|found| {
        let password = found[2]
            .split_once(':')
            .map_or("", |(_, password)| password);
        !password.is_empty() && !password.contains(['$', '{'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_users_and_passwords_wherever_they_are() {
        for (text, hidden) in [
            ("https://me:secret@a.example/x", "https://a.example/x"),
            ("HTTPS://me:sec@ret@a.example", "HTTPS://a.example"),
            (
                "deb http://token@a.example/x y main",
                "deb http://a.example/x y main",
            ),
            (
                "x='ftp://u:p@h/' y=\"http://u:p@h\"",
                "x='ftp://h/' y=\"http://h\"",
            ),
            ("redis://:secret@h:6379/0", "redis://h:6379/0"),
            (
                "ssh://git@h/x.git and a@b.example",
                "ssh://git@h/x.git and a@b.example",
            ),
            (
                "https://a.example/x?mail=a@b",
                "https://a.example/x?mail=a@b",
            ),
        ] {
            assert_eq!(hide(text), hidden, "{text}");
        }
        let mut value = serde_json::json!({"vars": {"repo": ["http://u:p@h/x", 1]}});
        hide_all(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"vars": {"repo": ["http://h/x", 1]}})
        );
    }

    #[test]
    fn a_variable_in_its_place_is_no_password() {
        assert!(has_password("uri: https://me:secret@h/x"));
        for text in [
            "https://me@h/",
            "https://me:$TOKEN@h/",
            "https://me:{{ t }}@h/",
            "a:b@h",
        ] {
            assert!(!has_password(text), "{text}");
        }
    }
}
