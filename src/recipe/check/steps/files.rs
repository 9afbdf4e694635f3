//! Users and files.

use std::collections::BTreeMap;

use super::super::{Context, Role, Wants, at};
use crate::recipe::sshkey;
use crate::recipe::types::{Files, Recipe, Users};
use crate::yaml::include;
use crate::yaml::node::{Node, Value};
use crate::yaml::problem::Problem;

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
            ssh_key(cx, key, node);
        }
        if let Some(shell) = &user.shell {
            cx.guest_path("shell", shell, at(node, "shell"));
        }
        if let Some(secret) = &user.password {
            cx.secret(recipe, secret, at(node, "password"));
        }
    }
}

/// A line of `authorized_keys`, or a file of such lines.
fn ssh_key(cx: &mut Context<'_>, key: &str, node: &Node) {
    if sshkey::is_line(key) || node.damaged {
        return;
    }
    let (name, text) = if key.contains(" AAAA") || key.contains('\n') {
        ("this key", key.to_owned())
    } else {
        let Some(path) = cx.local(node, key, Role::SshKey, Wants::File) else {
            return;
        };
        match include::read_text(&path) {
            Ok(text) => (key, text),
            Err(why) => return cx.problem(node.loc, format!("{key} is no public key: {why}")),
        }
    };
    if let Some((sentence, help)) = sshkey::mistake(name, &text) {
        cx.wrong(node.loc, sentence, help);
    }
}

/// A name of a user or group, as useradd(8) takes it on every distribution.
fn account(cx: &mut Context<'_>, name: &str, node: &Node, what: &str) {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let shaped = name.starts_with(first)
        && name.len() <= 32
        && name
            .chars()
            .all(|c| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.'));
    if !shaped && !node.damaged {
        cx.wrong(
            node.loc,
            format!("`{name}` is no name for a {what}"),
            "at most 32 letters, digits, `.`, `_`, `-`, a letter or `_` first",
        );
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
