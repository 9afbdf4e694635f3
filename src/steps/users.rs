//! `users`: accounts, their groups and keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::ArchiveEntry;
use super::kind::{About, Check, Form, Kind, Scope, Translated, read};
use super::step::few;
use super::{Declared, sshkey};
use crate::access::{GroupName, UserName};
use crate::error::{Error, Result};
use crate::yaml::checker::{Role, Wants, at};
use crate::yaml::include;
use crate::yaml::node::Node;
use crate::yaml::problem::Problem;

/// `users:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Users {
    /// The users.
    pub list: Vec<User>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: UserName,
    /// Supplementary groups.
    #[serde(default)]
    pub groups: Vec<GroupName>,
    /// Public keys: files of the recipe repository, or key lines.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// Login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// A system account.
    #[serde(default)]
    pub system: bool,
    /// Name of a secret that holds the password's crypt(3) hash; default: no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// May use sudo without a password.
    #[serde(default)]
    pub sudo: bool,
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("users.sh")),
    declares: true,
    ..About::new(Form::List("list"))
};

impl Kind for Users {
    fn title(&self) -> String {
        let names: Vec<String> = self.list.iter().map(|user| user.name.to_string()).collect();
        format!("users {}", few(&names))
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        let node = at(node, "list");
        cx.not_empty("users", self.list.is_empty(), node);
        for (user, node) in self.list.iter().zip(node.items()) {
            let name = at(node, "name");
            if !name.damaged
                && let Some(first) = cx.users.insert(user.name.to_string(), name.loc)
            {
                let message = format!("the user `{}` is declared twice", user.name);
                cx.problems.push(
                    Problem::new(name.loc, message)
                        .label("again here")
                        .also(first, "first here"),
                );
            }
            for (key, node) in user.ssh_keys.iter().zip(at(node, "ssh-keys").items()) {
                ssh_key(cx, key, node);
            }
            if let Some(shell) = &user.shell {
                cx.guest_path("shell", shell, at(node, "shell"));
            }
            if let Some(secret) = &user.password {
                cx.secret(secret, at(node, "password"));
            }
        }
    }

    fn files(&self, _: &Path) -> Vec<String> {
        // A key line holds a blank between its type and its data; a path of ours does not.
        let is_file = |key: &&String| !key.contains(' ') && Path::new(key).components().count() > 0;
        let keys = self.list.iter().flat_map(|user| &user.ssh_keys);
        keys.filter(is_file).cloned().collect()
    }

    fn declares(&self, root: &Path) -> Result<Declared> {
        let mut declared = Declared::default();
        for user in &self.list {
            let lines = keys(&user.ssh_keys, root)?;
            let lines: BTreeSet<String> = lines.lines().map(str::to_owned).collect();
            let password = user.password.is_some().then(|| user.name.to_string());
            let sudo = user.sudo.then(|| user.name.to_string());
            declared.add(Declared {
                passwords: password.into_iter().collect(),
                sudo: sudo.into_iter().collect(),
                keys: BTreeMap::from([(user.name.to_string(), lines)]),
                ..Declared::default()
            });
        }
        Ok(declared)
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        let mut files = vec![];
        let mut list = String::new();
        for user in &self.list {
            let name = &user.name;
            let _ = writeln!(list, "{name}");
            let mut add = |file: &str, text: String| {
                files.push(ArchiveEntry::bytes(format!("users/{name}/{file}"), text));
            };
            let groups = user.groups.iter().map(|group| format!("{group}\n"));
            add("groups", groups.collect());
            add("keys", keys(&user.ssh_keys, scope.root)?);
            if let Some(shell) = &user.shell {
                add("shell", shell.clone());
            }
            if user.system {
                add("system", String::new());
            }
            if user.sudo {
                add("sudo", String::new());
            }
            if let Some(secret) = &user.password {
                if !scope.secrets.contains(secret) {
                    return Err(Error::usage(format!(
                        "the password of {name} is the secret `{secret}`, which is not known here"
                    ))
                    .hint("list it under `secrets`; steps of `instance` have no secrets"));
                }
                add("password", secret.clone());
            }
        }
        files.push(ArchiveEntry::bytes("list", list));
        Ok(Some(files.into()))
    }
}

/// A line of `authorized_keys`, or a file of such lines.
fn ssh_key(cx: &mut Check<'_, '_>, key: &str, node: &Node) {
    if sshkey::is_line(key) || node.damaged {
        return;
    }
    let (name, text) = if key.contains(" AAAA") || key.contains('\n') {
        ("this key", key.to_owned())
    } else {
        let Some(path) = cx.local(node, key, Role::Step, Wants::File) else {
            return;
        };
        match include::read_text(&path) {
            Ok(text) => (key, text),
            Err(why) => return cx.problem(node.loc, format!("{key} is not a public key: {why}")),
        }
    };
    if let Some((sentence, help)) = sshkey::mistake(name, &text) {
        cx.wrong(node.loc, sentence, help);
    }
}

/// The lines that `ssh-keys` means: key lines, and those of files below `root`.
///
/// # Errors
/// When a file cannot be read, or holds something else than public keys.
fn keys(keys: &[String], root: &Path) -> Result<String> {
    let mut lines = String::new();
    for key in keys {
        let text = match sshkey::is_line(key) {
            true => key.clone(),
            false => String::from_utf8_lossy(&read(root, key)?).into_owned(),
        };
        if let Some((sentence, help)) = sshkey::mistake(key, &text) {
            return Err(Error::usage(sentence).hint(help));
        }
        for line in sshkey::lines(&text) {
            let _ = writeln!(lines, "{line}");
        }
    }
    Ok(lines)
}
