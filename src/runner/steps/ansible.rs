//! `ansible`: a playbook with what belongs to it, and how the toolbox's Ansible is called.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::{Scope, Translated, files::collect};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::recipe::types::Ansible;
use crate::runner::payload::Entry;
use crate::yaml::beneath;

/// What Ansible finds next to a playbook without being told.
const BESIDE: &[&str] = &[
    "action_plugins",
    "ansible.cfg",
    "callback_plugins",
    "collections",
    "defaults",
    "files",
    "filter_plugins",
    "group_vars",
    "handlers",
    "host_vars",
    "library",
    "lookup_plugins",
    "module_utils",
    "roles",
    "tasks",
    "templates",
    "test_plugins",
    "vars",
];

/// The files and directories of the recipe repository at `root` that the guest gets, relative to it:
/// the playbook, what Ansible finds beside it, neighbours whose names it or they mention, and
/// what the step names.
pub fn files(ansible: &Ansible, root: &Path) -> Vec<String> {
    let mut found = BTreeSet::from([ansible.playbook.clone()]);
    let dir = Path::new(&ansible.playbook)
        .parent()
        .unwrap_or(Path::new(""));
    let beside = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let there = BESIDE.iter().map(|name| beside(name));
    found.extend(there.filter(|path| root.join(path).exists()));
    let neighbours: Vec<String> = std::fs::read_dir(root.join(dir))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let mut unread = vec![ansible.playbook.clone()];
    while let Some(path) = unread.pop() {
        let text = std::fs::read(root.join(path)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        for name in &neighbours {
            if text.contains(name.as_str()) && found.insert(beside(name)) {
                unread.push(beside(name));
            }
        }
    }
    found.extend(ansible.roles.iter().chain(&ansible.files).cloned());
    found.into_iter().collect()
}

pub(super) fn translate(ansible: &Ansible, scope: Scope<'_>) -> Result<Translated> {
    if let Some(secret) = &ansible.vault_password
        && !scope.secrets.contains(secret)
    {
        return Err(Error::usage(format!(
            "the vault password is the secret `{secret}`, which is not known here"
        ))
        .hint("list it under `secrets`"));
    }
    let mut tree = vec![];
    for path in files(ansible, scope.root) {
        collect(&beneath::inside(scope.root, &path)?, path, None, &mut tree)?;
    }
    if let Some(galaxy) = scope
        .galaxy
        .get(ansible.requirements.as_deref().unwrap_or_default())
    {
        collect(galaxy, "galaxy".into(), None, &mut tree)?;
    }
    let mut inventory = String::from("localhost\n");
    for group in &ansible.groups {
        let _ = writeln!(inventory, "\n[{group}]\nlocalhost");
    }
    let vars = serde_json::to_string(&ansible.vars).unwrap_or_default();
    Ok(Translated {
        payload: Some(tree),
        ..Translated::new(
            "ansible",
            vec![
                Entry::bytes("ansible.sh", settings(ansible)),
                Entry::bytes("inventory", inventory),
                Entry::bytes("vars.json", vars),
            ],
        )
    })
}

fn settings(ansible: &Ansible) -> String {
    let idempotent = if ansible.idempotent { "yes" } else { "" };
    let values = [
        ("playbook", ansible.playbook.as_str()),
        ("roles", &ansible.roles.join(" ")),
        ("tags", &ansible.tags.join(",")),
        ("skip_tags", &ansible.skip_tags.join(",")),
        (
            "vault",
            ansible.vault_password.as_deref().unwrap_or_default(),
        ),
        ("idempotent", idempotent),
    ];
    values
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={}", quote(value));
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playbook_brings_what_it_names_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("ansible/site.yml", "- import_playbook: web.yml\n");
        write(
            "ansible/web.yml",
            "- hosts: all\n  tasks:\n  - include_tasks: users.yml\n",
        );
        write("ansible/users.yml", "- debug:\n");
        write("ansible/other.yml", "- debug:\n");
        write("ansible/roles/web/tasks/main.yml", "- debug:\n");
        write("shared/roles/base/tasks/main.yml", "- debug:\n");
        let ansible: Ansible = serde_json::from_value(serde_json::json!({
            "playbook": "ansible/site.yml", "roles": ["shared/roles"],
        }))
        .unwrap();
        assert_eq!(
            files(&ansible, root.path()),
            [
                "ansible/roles",
                "ansible/site.yml",
                "ansible/users.yml",
                "ansible/web.yml",
                "shared/roles"
            ]
        );
    }
}
