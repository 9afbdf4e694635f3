//! A step: an action and the options that all actions have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Action;
use super::entry::ArchiveEntry;
use super::kind::{Check, Scope, Translated};
use crate::address;
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::units::Span;
use crate::yaml::checker::at;
use crate::yaml::node::{MapEntry as Pair, Node};

const MOST_RETRIES: u32 = 100;

/// A step: an action and the options that all actions have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// What the step does.
    pub action: Action,
    /// What people see; default: made from the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the step runs; default: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Limit for one try, with hardware acceleration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Further tries after a failure.
    #[serde(default)]
    pub retries: u32,
    /// Environment of the step.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables of the step's environment that have the value of a secret, by the secret's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// A condition on the guest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct When {
    /// `ID` or one of `ID_LIKE` in the guest's os-release, such as `debian`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// `VERSION_CODENAME` or `VERSION_ID`, such as `trixie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

impl Step {
    /// A step with the usual options; its name is made from the action.
    pub fn new(action: Action) -> Self {
        Step {
            action,
            name: None,
            when: None,
            timeout: None,
            retries: 0,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// A step with the usual options and a name of its own.
    pub fn named(name: &str, action: Action) -> Self {
        Step {
            name: Some(name.to_owned()),
            ..Step::new(action)
        }
    }

    /// What people see of the step, on one line.
    pub fn title(&self) -> String {
        let text = self.name.clone();
        let text = text.unwrap_or_else(|| self.action.kind().title());
        let text = address::hide(&text);
        let line = text.lines().next().unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).take(100).collect()
    }

    /// What the guest gets; nothing where there is nothing to do in it.
    ///
    /// # Errors
    /// When a file or a secret that the step names cannot be used.
    pub fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        let Some(mut translated) = self.action.kind().translate(scope)? else {
            return Ok(None);
        };
        let (name, env) = (self.title() + "\n", self.own_environment(scope)?);
        translated.files.push(ArchiveEntry::bytes("name", name));
        translated.files.push(ArchiveEntry::bytes("env.sh", env));
        Ok(Some(translated))
    }

    /// `DISTRO RELEASE` for the guest's plan; `-` is any.
    ///
    /// # Errors
    /// When one of them is not one word.
    pub fn condition(&self) -> Result<String> {
        let word = |value: Option<&String>| match value {
            None => Ok("-".to_owned()),
            Some(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => {
                Ok(text.clone())
            }
            Some(text) => Err(Error::usage(format!("`{text}` in `when` is not one word"))),
        };
        let when = self.when.as_ref();
        let distro = word(when.and_then(|when| when.distro.as_ref()))?;
        let release = word(when.and_then(|when| when.release.as_ref()))?;
        Ok(format!("{distro} {release}"))
    }

    /// Lines that export the step's own variables; those of secrets read the guest's memory only.
    fn own_environment(&self, scope: Scope<'_>) -> Result<String> {
        let mut lines = environment(&self.env)?;
        for (name, secret) in &self.secrets {
            if !scope.secrets.contains(secret) {
                return Err(Error::usage(format!(
                    "`{name}` is the secret `{secret}`, which is not known here"
                ))
                .hint("list it under `secrets`; steps of `instance` have no secrets"));
            }
            let name = variable(name)?;
            let _ = writeln!(
                lines,
                "{name}=$(cat \"$RUN/secrets/{secret}\")\nexport {name}"
            );
        }
        Ok(lines)
    }
}

/// A name that a shell takes for a variable.
fn variable(name: &str) -> Result<&str> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let more = |c: char| first(c) || c.is_ascii_digit();
    match name.starts_with(first) && name.chars().all(more) {
        true => Ok(name),
        false => Err(Error::usage(format!(
            "`{name}` is not a valid name of an environment variable"
        ))),
    }
}

/// Lines that export variables.
pub(super) fn environment(values: &BTreeMap<String, String>) -> Result<String> {
    let mut lines = String::new();
    for (name, value) in values {
        let _ = writeln!(lines, "export {}={}", variable(name)?, quote(value));
    }
    Ok(lines)
}

/// The first names of a list, for a title.
pub(super) fn few(names: &[String]) -> String {
    match names {
        [first, second, third, _, ..] => format!("{first}, {second}, {third}, …"),
        few => few.join(", "),
    }
}

/// Checks a list of steps, which is written at `node`.
pub fn check(cx: &mut Check<'_, '_>, list: &[Step], node: Option<&Node>) {
    for (step, node) in list.iter().zip(node.map_or(&[][..], Node::items)) {
        common(cx, step, node);
        secrets(cx, step, node);
        let action = at(node, "action");
        let body = action.entries().first().map(|entry| &entry.value);
        match step.action.about().only_builds {
            Some([what, help]) if cx.instance => cx.wrong(action.loc, what, help),
            _ => step.action.kind().check(cx, body.unwrap_or(action)),
        }
    }
}

fn common(cx: &mut Check<'_, '_>, step: &Step, node: &Node) {
    if let Some(span) = step.timeout {
        cx.not_zero("timeout", span, at(node, "timeout"));
    }
    if step.retries > MOST_RETRIES {
        cx.problem(
            at(node, "retries").loc,
            format!("`retries` is at most {MOST_RETRIES}"),
        );
    }
    for pair in node.get("env").map_or(&[][..], Node::entries) {
        name_of_variable(cx, pair);
    }
    if let Some(name) = &step.name
        && (name.trim().is_empty() || name.contains(char::is_control))
    {
        cx.problem(at(node, "name").loc, "`name` is one line of text");
    }
    if let Some(when) = &step.when {
        condition(cx, when, at(node, "when"));
    }
}

/// The name of a variable of a step's environment.
fn name_of_variable(cx: &mut Check<'_, '_>, pair: &Pair) {
    if variable(&pair.key).is_err() {
        cx.problem(
            pair.key_loc,
            format!(
                "`{}` is not a valid name for an environment variable",
                pair.key
            ),
        );
    } else if pair.key.starts_with("IMGFORGE_") {
        cx.problem(pair.key_loc, format!("`{}` is a reserved name", pair.key));
    }
}

/// Secrets that a step gets as variables.
fn secrets(cx: &mut Check<'_, '_>, step: &Step, node: &Node) {
    for pair in node.get("secrets").map_or(&[][..], Node::entries) {
        name_of_variable(cx, pair);
        if cx.instance {
            let help = "secrets are there only during a build: move the step to `configure`";
            cx.wrong(pair.key_loc, "a step of `instance` has no secrets", help);
        } else if let Some(secret) = step.secrets.get(&pair.key) {
            cx.secret(secret, &pair.value);
        }
    }
}

fn condition(cx: &mut Check<'_, '_>, when: &When, node: &Node) {
    if *when == When::default() && !node.damaged {
        cx.wrong(
            node.loc,
            "`when` has no condition",
            "add `distro: …` or `release: …`",
        );
    }
    if let Some(distro) = &when.distro {
        cx.distro(distro, at(node, "distro"), &[]);
    }
}
