//! Ansible and Puppet.

use super::super::{Context, Role, Wants, at};
use crate::distro;
use crate::recipe::types::{Ansible, Install, Puppet, PuppetAgent, Recipe};
use crate::yaml::node::Node;

pub(super) fn ansible(cx: &mut Context<'_>, recipe: &Recipe, options: &Ansible, node: &Node) {
    cx.local(
        at(node, "playbook"),
        &options.playbook,
        Role::Ansible,
        Wants::File,
    );
    for (roles, node) in options.roles.iter().zip(at(node, "roles").items()) {
        cx.local(node, roles, Role::Ansible, Wants::Directory);
    }
    for (path, node) in options.files.iter().zip(at(node, "files").items()) {
        cx.local(node, path, Role::Ansible, Wants::Either);
    }
    for (group, node) in options.groups.iter().zip(at(node, "groups").items()) {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if group.is_empty() || !group.chars().all(word) {
            cx.problem(
                node.loc,
                format!("`{group}` is no name for a group of Ansible's"),
            );
        }
    }
    if let Some(install) = cx.install
        && let Err(message) = has_toolbox(install)
    {
        let help = "do the work with `shell` or `puppet`, or install Ansible with `packages`";
        cx.wrong(node.loc, message, help);
    }
    if let Some(requirements) = &options.requirements {
        cx.local(
            at(node, "requirements"),
            requirements,
            Role::Ansible,
            Wants::File,
        );
    }
    if let Some(secret) = &options.vault_password {
        cx.secret(recipe, secret, at(node, "vault-password"));
    }
}

/// Whether guests that `install` makes can have Ansible: `Ok` also where the release shows only
/// in the guest.
///
/// # Errors
/// A sentence that names the release.
fn has_toolbox(install: &Install) -> Result<(), String> {
    let os = match install {
        Install::Bootstrap(_) | Install::Import(_) => return Ok(()),
        Install::VirtInstall(method) => method.os.as_str(),
    };
    let suites: Vec<&str> = distro::all().map(|(_, suite)| suite.osinfo).collect();
    if suites.contains(&os) || distro::by_osinfo(os).is_none() {
        return Ok(());
    }
    Err(format!(
        "Ansible cannot be brought to {os}: there is no toolbox for it"
    ))
}

pub(super) fn puppet(cx: &mut Context<'_>, options: &Puppet, node: &Node, key: &str) {
    cx.exactly_one(node, "puppet", "manifest", "agent");
    if let Some(manifest) = &options.manifest {
        cx.local(at(node, "manifest"), manifest, Role::Puppet, Wants::File);
    }
    for (modules, node) in options.modules.iter().zip(at(node, "modules").items()) {
        cx.local(node, modules, Role::Puppet, Wants::Directory);
    }
    if let Some(hiera) = &options.hiera {
        cx.local(at(node, "hiera"), hiera, Role::Puppet, Wants::File);
    }
    facts(cx, at(node, "facts"));
    if let Some(agent) = &options.agent {
        self::agent(cx, agent, at(node, "agent"), key);
    }
    if let Some(ca) = options.agent.as_ref().and_then(|agent| agent.ca.as_ref()) {
        cx.local(at(at(node, "agent"), "ca"), ca, Role::Puppet, Wants::File);
    }
}

/// `HOST` or `HOST:PORT`.
fn server(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "8140"));
    let word = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric();
    host.starts_with(first) && host.chars().all(word) && port.parse().is_ok_and(|n: u16| n > 0)
}

fn agent(cx: &mut Context<'_>, agent: &PuppetAgent, node: &Node, key: &str) {
    if key == "instance" {
        let help = "its key is there only during a build: move it to `configure`";
        cx.wrong(node.loc, "Puppet's agent cannot run in `instance`", help);
    }
    let named = at(node, "server");
    if !server(&agent.server) && !named.damaged {
        let message = format!("`{}` is no name of a server", agent.server);
        cx.wrong(named.loc, message, "write `HOST` or `HOST:PORT`");
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let name = at(node, "certname");
    if (agent.certname.is_empty() || !agent.certname.chars().all(word)) && !name.damaged {
        let message = format!("`{}` is no name for a certificate", agent.certname);
        cx.wrong(
            name.loc,
            message,
            "use lower-case letters, digits, `.`, `_` and `-`",
        );
    }
    facts(cx, at(node, "facts"));
}

fn facts(cx: &mut Context<'_>, node: &Node) {
    for entry in node.entries() {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !entry.key.chars().all(word) {
            cx.problem(
                entry.key_loc,
                format!("`{}` is no name for a fact", entry.key),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn releases_without_a_toolbox_are_known_before_anything_runs() {
        let install = |os: &str| -> Install {
            serde_json::from_value(json!({"virt-install": {
                "os": os,
                "media": {"location": "/srv/tree"},
                "answers": "preseed/debian.cfg",
            }}))
            .unwrap()
        };
        assert_eq!(has_toolbox(&install("debian13")), Ok(()));
        assert_eq!(has_toolbox(&install("ubuntu24.04")), Ok(()));
        let refused = has_toolbox(&install("fedora42")).unwrap_err();
        assert!(refused.contains("fedora42"), "{refused}");
    }
}
