//! `ansible`: a playbook with what belongs to it, and how the toolbox's Ansible is called.

mod galaxy;
#[cfg(test)]
mod releases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::{ArchiveEntry, collect};
use super::kind::{About, Check, Form, Kind, Scope, Translated, settings};
use super::tools::{Fetched, Tools};
use crate::distro;
use crate::error::{Error, Result};
use crate::toolbox::{Contents, Request, Toolbox};
use crate::yaml::beneath;
use crate::yaml::checker::{Role, Wants, at};
use crate::yaml::node::Node;

/// What runs playbooks, and what the modules that it brings need; they install nothing themselves.
const TOOLBOX: Contents = Contents {
    word: "ansible",
    title: "Ansible",
    packages: &[
        "ansible-core",
        "python3-apt",
        "python3-debian",
        "python3-jmespath",
        "python3-netaddr",
        "python3-passlib",
    ],
    program: "usr/bin/ansible-playbook",
    otherwise: "do the work with `shell` or `puppet`, or install Ansible with `packages`",
};

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

/// `ansible:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ansible {
    /// The playbook, a file of the recipe repository.
    pub playbook: String,
    /// Directories with roles, beside `roles/` next to the playbook.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Further files and directories that the playbook reads. What lies next to it by Ansible's
    /// own rules (`roles/`, `group_vars/`, `files/`, …) or is named in it comes along by itself.
    #[serde(default)]
    pub files: Vec<String>,
    /// Groups that the guest belongs to, for `hosts:` and `group_vars/`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// `requirements.yml` with collections and roles; its lock lies beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Extra variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// All but these tags.
    #[serde(default)]
    pub skip_tags: Vec<String>,
    /// Name of a secret that holds the vault password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_password: Option<String>,
    /// Runs the playbook twice and fails if the second run changes anything.
    #[serde(default)]
    pub idempotent: bool,
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("../ansible.sh")),
    // Tells the runner about each task.
    files: &[("ansible/imgforge.py", include_str!("../ansible.py"))],
    toolbox: Some(&TOOLBOX),
    only_builds: Some([
        "`ansible` cannot run in `instance`",
        "its toolbox is there only during a build: move it to `configure`",
    ]),
    ..About::new(Form::Map)
};

impl Kind for Ansible {
    fn title(&self) -> String {
        format!("ansible {}", self.playbook)
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        let playbook = at(node, "playbook");
        cx.local(playbook, &self.playbook, Role::Step, Wants::File);
        for (roles, node) in self.roles.iter().zip(at(node, "roles").items()) {
            cx.local(node, roles, Role::Step, Wants::Directory);
        }
        for (path, node) in self.files.iter().zip(at(node, "files").items()) {
            cx.local(node, path, Role::Step, Wants::Either);
        }
        for (group, node) in self.groups.iter().zip(at(node, "groups").items()) {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if group.is_empty() || !group.chars().all(word) {
                cx.problem(
                    node.loc,
                    format!("`{group}` is not a valid name for a group of Ansible's"),
                );
            }
        }
        if let Some(message) = cx.os.and_then(no_toolbox) {
            cx.wrong(node.loc, message, TOOLBOX.otherwise);
        }
        if let Some(requirements) = &self.requirements {
            let named = at(node, "requirements");
            cx.local(named, requirements, Role::Step, Wants::File);
        }
        if let Some(secret) = &self.vault_password {
            cx.secret(secret, at(node, "vault-password"));
        }
    }

    fn files(&self, root: &Path) -> Vec<String> {
        let mut files = self.tree(root);
        let requirements = self.requirements.as_deref().into_iter();
        files.extend(requirements.flat_map(|written| galaxy::files(written, root)));
        files
    }

    fn fetch(
        &self,
        request: &Request<'_>,
        toolbox: &Toolbox,
        root: &Path,
    ) -> Result<Option<Fetched>> {
        let Some(written) = &self.requirements else {
            return Ok(None);
        };
        let kept = galaxy::install(request, toolbox, root, written)?;
        let (name, dir) = (written.clone(), kept.path().join(galaxy::DIR));
        Ok(Some(Fetched { name, dir, kept }))
    }

    fn lacks_lock(&self, root: &Path) -> bool {
        let requirements = self.requirements.as_ref();
        requirements.is_some_and(|written| !galaxy::lock_path(&root.join(written)).exists())
    }

    fn write_lock(&self, root: &Path, tools: &Tools) -> Result<Option<PathBuf>> {
        let Some(written) = &self.requirements else {
            return Ok(None);
        };
        let fetched = tools.fetched(written);
        fetched
            .map(|dir| galaxy::lock(&root.join(written), dir))
            .transpose()
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        if let Some(secret) = &self.vault_password
            && !scope.secrets.contains(secret)
        {
            return Err(Error::usage(format!(
                "the vault password is the secret `{secret}`, which is not known here"
            ))
            .hint("list it under `secrets`"));
        }
        let mut tree = vec![];
        for path in self.tree(scope.root) {
            collect(&beneath::inside(scope.root, &path)?, path, None, &mut tree)?;
        }
        let requirements = self.requirements.as_deref().unwrap_or_default();
        if let Some(galaxy) = scope.tools.fetched(requirements) {
            collect(galaxy, "galaxy".into(), None, &mut tree)?;
        }
        let mut inventory = String::from("localhost\n");
        for group in &self.groups {
            let _ = writeln!(inventory, "\n[{group}]\nlocalhost");
        }
        let vars = serde_json::to_string(&self.vars).unwrap_or_default();
        Ok(Some(Translated {
            payload: Some(tree),
            files: vec![
                ArchiveEntry::bytes("ansible.sh", self.settings()),
                ArchiveEntry::bytes("inventory", inventory),
                ArchiveEntry::bytes("vars.json", vars),
            ],
        }))
    }
}

impl Ansible {
    /// The playbook, what Ansible finds beside it, neighbours whose names it or they mention, and
    /// what the step names.
    fn tree(&self, root: &Path) -> Vec<String> {
        let mut found = BTreeSet::from([self.playbook.clone()]);
        let dir = Path::new(&self.playbook).parent();
        let dir = dir.unwrap_or(Path::new(""));
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
        let mut unread = vec![self.playbook.clone()];
        while let Some(path) = unread.pop() {
            let text = std::fs::read(root.join(path)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            for name in &neighbours {
                if text.contains(name.as_str()) && found.insert(beside(name)) {
                    unread.push(beside(name));
                }
            }
        }
        found.extend(self.roles.iter().chain(&self.files).cloned());
        found.into_iter().collect()
    }

    fn settings(&self) -> String {
        settings(&[
            ("playbook", &self.playbook),
            ("roles", &self.roles.join(" ")),
            ("tags", &self.tags.join(",")),
            ("skip_tags", &self.skip_tags.join(",")),
            ("vault", self.vault_password.as_deref().unwrap_or_default()),
            ("idempotent", if self.idempotent { "yes" } else { "" }),
        ])
    }
}

/// Why guests of `os`, in libosinfo's words, cannot have Ansible, if they cannot.
fn no_toolbox(os: &str) -> Option<String> {
    let has = distro::suite_by_osinfo(os).is_some() || distro::by_osinfo(os).is_none();
    (!has).then(|| format!("Ansible cannot be brought to {os}: there is no toolbox for it"))
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
            ansible.tree(root.path()),
            [
                "ansible/roles",
                "ansible/site.yml",
                "ansible/users.yml",
                "ansible/web.yml",
                "shared/roles"
            ]
        );
    }

    #[test]
    fn releases_without_a_toolbox_are_known_before_anything_runs() {
        assert_eq!(no_toolbox("debian13"), None);
        assert_eq!(no_toolbox("ubuntu24.04"), None);
        let refused = no_toolbox("fedora42").unwrap();
        assert!(refused.contains("fedora42"), "{refused}");
    }
}
