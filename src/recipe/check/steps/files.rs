//! Users and files.

use std::collections::BTreeMap;

use super::super::{Context, Role, Wants, at};
use crate::recipe::node::{Node, Value};
use crate::recipe::problem::Problem;
use crate::recipe::types::{Files, Recipe, Users};

pub(super) fn users<'n>(
    cx: &mut Context<'_>,
    recipe: &Recipe,
    users: &Users,
    node: &'n Node,
    seen: &mut BTreeMap<String, &'n Node>,
) {
    cx.not_empty("users", users.list.is_empty(), node);
    for (user, node) in users.list.iter().zip(node.items()) {
        let name = at(node, "name");
        account(cx, &user.name, name, "user");
        for (group, node) in user.groups.iter().zip(at(node, "groups").items()) {
            account(cx, group, node, "group");
        }
        if let Some(first) = seen.insert(user.name.clone(), name) {
            cx.problems.push(
                Problem::new(
                    name.loc,
                    format!("the user `{}` is declared twice", user.name),
                )
                .label("again here")
                .also(first.loc, "first here"),
            );
        }
        for (key, node) in user.ssh_keys.iter().zip(at(node, "ssh-keys").items()) {
            let line = ["ssh-", "ecdsa-", "sk-"]
                .iter()
                .any(|kind| key.starts_with(kind));
            if !(line && key.contains(' ')) {
                cx.local(node, key, Role::SshKey, Wants::File);
            }
        }
        if let Some(shell) = &user.shell {
            cx.guest_path("shell", shell, at(node, "shell"));
        }
        if let Some(secret) = &user.password {
            cx.secret(recipe, secret, at(node, "password"));
        }
    }
}

fn account(cx: &mut Context<'_>, name: &str, node: &Node, what: &str) {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let shaped = name.starts_with(first)
        && name.len() <= 32
        && name
            .chars()
            .all(|c| first(c) || c.is_ascii_digit() || c == '-');
    if !shaped && !node.damaged {
        cx.problem(node.loc, format!("`{name}` is no name for a {what}"));
    }
}

pub(super) fn files(cx: &mut Context<'_>, options: &Files, node: &Node) {
    cx.exactly_one(node, "files", "from", "content");
    cx.guest_path("to", &options.to, at(node, "to"));
    if let Some(from) = &options.from {
        let named = at(node, "from");
        if let Some(path) = cx.local(named, from, Role::File, Wants::Either)
            && options.template
        {
            cx.templates(&path, named.loc, 0);
        }
    }
    if options.template && options.content.is_some() {
        cx.wrong(
            node.key_loc("template"),
            "`template` is for files",
            "`content` has its variables expanded already: remove `template`",
        );
    }
    if let Some(mode) = &options.mode {
        file_mode(cx, mode, at(node, "mode"));
    }
    if let Some(owner) = &options.owner {
        let node = at(node, "owner");
        for (part, what) in owner.splitn(2, ':').zip(["user", "group"]) {
            account(cx, part, node, what);
        }
    }
}

fn file_mode(cx: &mut Context<'_>, mode: &str, node: &Node) {
    if node.damaged {
        return;
    }
    let octal = (3..=4).contains(&mode.len()) && mode.chars().all(|c| c.is_digit(8));
    if !octal {
        cx.wrong(
            node.loc,
            format!("`{mode}` are no permissions"),
            "write three or four octal digits in quotes, such as `\"0644\"`",
        );
    } else if matches!(node.value, Value::Scalar { plain: true, .. }) {
        cx.wrong(
            node.loc,
            "permissions are written in quotes",
            format!("YAML reads `{mode}` as a number: write `\"{mode}\"`"),
        );
    }
}
