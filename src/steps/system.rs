//! `system`: time zone, locale, keyboard, host name, swap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::ArchiveEntry;
use super::kind::{About, Check, Form, Kind, Scope, Translated, settings};
use crate::error::Result;
use crate::units::Size;
use crate::yaml::checker::at;
use crate::yaml::node::Node;

/// `system:`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct System {
    /// Time zone, such as `Etc/UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Locale, such as `en_US.UTF-8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Keyboard layout, such as `us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<String>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Size of a swap file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Size>,
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("system.sh")),
    ..About::new(Form::Map)
};

impl System {
    /// The options that are texts.
    fn words(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let words = [
            ("timezone", &self.timezone),
            ("locale", &self.locale),
            ("keyboard", &self.keyboard),
            ("hostname", &self.hostname),
        ];
        let written = words.into_iter();
        written.filter_map(|(key, word)| Some((key, word.as_deref()?)))
    }
}

impl Kind for System {
    fn title(&self) -> String {
        "system".into()
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        cx.not_empty("system", *self == System::default(), node);
        for (key, word) in self.words() {
            let shaped = word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-/@+:".contains(c));
            if (word.is_empty() || !shaped || word.contains("..")) && !at(node, key).damaged {
                cx.problem(at(node, key).loc, format!("`{word}` is not a valid {key}"));
            }
        }
        if self.swap.is_some_and(|swap| swap.as_bytes() == 0) {
            cx.wrong(
                at(node, "swap").loc,
                "`swap` is zero",
                "leave it out for no swap file",
            );
        }
    }

    fn translate(&self, _: Scope<'_>) -> Result<Option<Translated>> {
        let swap = self.swap.map(|size| size.as_bytes().to_string());
        let swap = swap.as_deref().map(|bytes| ("swap", bytes));
        let values: Vec<(&str, &str)> = self.words().chain(swap).collect();
        Ok(Some(
            vec![ArchiveEntry::bytes("system.sh", settings(&values))].into(),
        ))
    }
}
