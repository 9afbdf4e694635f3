//! `index.html` and a page for each name: self-contained, without a script needed for reading.

mod chart;
mod commands;
mod image;
mod root;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::Value;

use super::{Change, ViewFile};
use crate::error::{Error, Result};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the list and the page of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let templates = templates()?;
    let mut files = Vec::new();
    for image in change.images() {
        let page = templates.page("image.html", change, "../../", image::page(change, image))?;
        files.push(ViewFile::new(
            format!("images/{}/index.html", image.name),
            page,
        ));
    }
    let page = templates.page("index.html", change, "", root::page(change))?;
    files.push(ViewFile::new("index.html", page));
    Ok(files)
}

/// A time for people and for machines.
#[derive(Debug, Clone, Serialize)]
struct When {
    iso: String,
    text: String,
    day: String,
}

impl When {
    fn of(time: Timestamp) -> Self {
        let utc = |format: &str| time.strftime(format).to_string();
        When {
            iso: utc("%Y-%m-%dT%H:%M:%SZ"),
            text: utc("%Y-%m-%d %H:%M UTC"),
            day: utc("%Y-%m-%d"),
        }
    }
}

struct Templates(Environment<'static>);

fn templates() -> Result<Templates> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    for (name, text) in [
        ("frame.html", include_str!("frame.html")),
        ("index.html", include_str!("index.html")),
        ("image.html", include_str!("image.html")),
    ] {
        environment.add_template(name, text).map_err(broken)?;
    }
    Ok(Templates(environment))
}

impl Templates {
    fn page(&self, name: &str, change: &Change<'_>, up: &str, mut values: Value) -> Result<String> {
        for (key, value) in [
            ("style", STYLE),
            ("script", SCRIPT),
            ("script_hash", &script_hash()),
            ("up", up),
            ("imgforge", env!("CARGO_PKG_VERSION")),
            ("fingerprint", &groups(change.fingerprint)),
        ] {
            values[key] = value.into();
        }
        values["when"] = serde_json::to_value(When::of(change.when)).unwrap_or_default();
        self.0
            .get_template(name)
            .and_then(|template| template.render(minijinja::value::Serde(values)))
            .map_err(broken)
    }
}

fn broken(cause: minijinja::Error) -> Error {
    Error::internal("a page cannot be rendered").cause(format!("{cause:#}"))
}

/// A fingerprint as people compare it.
fn groups(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.chars().collect();
    let groups = digits
        .chunks(4)
        .map(|group| group.iter().collect::<String>());
    groups.collect::<Vec<_>>().join(" ")
}

/// The content security policy lets this script run, and no other.
fn script_hash() -> String {
    use sha2::Digest as _;
    format!(
        "sha256-{}",
        BASE64_STANDARD.encode(sha2::Sha256::digest(SCRIPT))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_groups_of_four() {
        assert_eq!(groups("ABCDEF0123"), "ABCD EF01 23");
    }
}
