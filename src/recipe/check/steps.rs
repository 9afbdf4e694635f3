//! Steps.

use std::collections::BTreeMap;

use super::{Context, Role, Wants, at};
use crate::recipe::node::{Node, Value};
use crate::recipe::problem::Problem;
use crate::recipe::types::{
    Action, Ansible, Files, PackageNames, Puppet, PuppetAgent, Recipe, Repository, Shell, Step,
    System, Users, When,
};
use crate::units::Span;

/// `ID` and `ID_LIKE` of the distributions that the package step knows.
pub const DISTRIBUTIONS: &[&str] = &[
    "debian",
    "ubuntu",
    "devuan",
    "kali",
    "linuxmint",
    "raspbian",
    "rhel",
    "fedora",
    "centos",
    "rocky",
    "almalinux",
    "ol",
    "amzn",
    "suse",
    "sles",
    "opensuse",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "alpine",
];
const MOST_RETRIES: u32 = 100;

pub(super) fn check(
    cx: &mut Context<'_>,
    recipe: &Recipe,
    key: &str,
    list: &[Step],
    node: Option<&Node>,
) {
    let mut users = BTreeMap::new();
    for (step, node) in list.iter().zip(node.map_or(&[][..], Node::items)) {
        common(cx, step, node);
        let action = at(node, "action");
        let body = action
            .entries()
            .first()
            .map_or(action, |entry| &entry.value);
        match &step.action {
            Action::Upgrade | Action::Reboot => {}
            Action::Checkpoint if key == "instance" => cx.wrong(
                action.loc,
                "a `checkpoint` in `instance` keeps nothing",
                "remove it: these steps run on machines made from the image",
            ),
            Action::Checkpoint => {}
            Action::Repository(options) => repository(cx, options, body),
            Action::Packages(options) => packages(cx, &options.names, at(body, "names")),
            Action::System(options) => system(cx, options, body),
            Action::Users(options) => {
                self::users(cx, recipe, options, at(body, "list"), &mut users)
            }
            Action::Files(options) => files(cx, options, body),
            Action::Shell(options) => shell(cx, options, body),
            Action::Ansible(_) if key == "instance" => cx.wrong(
                action.loc,
                "`ansible` cannot run in `instance`",
                "its toolbox is there only during a build: move it to `configure`",
            ),
            Action::Ansible(options) => ansible(cx, recipe, options, body),
            Action::Puppet(options) => puppet(cx, options, body, key),
            Action::CloudInit(_) if key == "instance" => cx.wrong(
                action.loc,
                "`cloud-init` cannot run in `instance`",
                "a machine's own cloud-init reads its user data from the cloud",
            ),
            Action::CloudInit(options) => {
                cx.local(
                    at(body, "user-data"),
                    &options.user_data,
                    Role::UserData,
                    Wants::File,
                );
            }
        }
    }
}

fn common(cx: &mut Context<'_>, step: &Step, node: &Node) {
    if let Some(span) = step.timeout {
        cx.not_zero("timeout", span, at(node, "timeout"));
    }
    if step.retries > MOST_RETRIES {
        cx.problem(
            at(node, "retries").loc,
            format!("`retries` is at most {MOST_RETRIES}"),
        );
    }
    for entry in node.get("env").map_or(&[][..], Node::entries) {
        let shaped = entry
            .key
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && entry
                .key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !shaped {
            cx.problem(
                entry.key_loc,
                format!("`{}` is no name for an environment variable", entry.key),
            );
        } else if entry.key.starts_with("IMGFORGE_") {
            cx.problem(entry.key_loc, format!("`{}` is a reserved name", entry.key));
        }
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

fn condition(cx: &mut Context<'_>, when: &When, node: &Node) {
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

fn repository(cx: &mut Context<'_>, options: &Repository, node: &Node) {
    cx.url(&options.uri, at(node, "uri"));
    if let Some(key) = &options.key {
        cx.local(at(node, "key"), key, Role::Key, Wants::File);
    }
    if let Some(id) = &options.id
        && let Some(message) = super::bad_word(id, "a repository")
    {
        cx.problem(at(node, "id").loc, message);
    }
}

fn packages(cx: &mut Context<'_>, names: &PackageNames, node: &Node) {
    match names {
        PackageNames::All(names) => {
            cx.not_empty("packages", names.is_empty(), node);
            cx.package_names(names, node);
        }
        PackageNames::ByDistro(names) => {
            cx.not_empty("packages", names.is_empty(), node);
            for entry in node.entries() {
                let key = Node::text(entry.key_loc, &entry.key);
                cx.distro(&entry.key, &key, &["names"]);
                if let Some(names) = names.get(&entry.key) {
                    cx.package_names(names, &entry.value);
                }
            }
        }
    }
}

fn system(cx: &mut Context<'_>, options: &System, node: &Node) {
    cx.not_empty("system", *options == System::default(), node);
    let words = [
        ("timezone", &options.timezone),
        ("locale", &options.locale),
        ("keyboard", &options.keyboard),
        ("hostname", &options.hostname),
    ];
    for (key, word) in words {
        let Some(word) = word else { continue };
        let shaped = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-/@+:".contains(c));
        if (word.is_empty() || !shaped || word.contains("..")) && !at(node, key).damaged {
            cx.problem(at(node, key).loc, format!("`{word}` is no {key}"));
        }
    }
    if options.swap.is_some_and(|swap| swap.as_bytes() == 0) {
        cx.wrong(
            at(node, "swap").loc,
            "`swap` is zero",
            "leave it out for no swap file",
        );
    }
}

fn users<'n>(
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

fn files(cx: &mut Context<'_>, options: &Files, node: &Node) {
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

fn shell(cx: &mut Context<'_>, options: &Shell, node: &Node) {
    cx.exactly_one(node, "shell", "script", "run");
    if let Some(script) = &options.script {
        let node = at(node, "script");
        if let Some(path) = cx.local(node, script, Role::Script, Wants::File)
            && !begins_with_interpreter(&path)
        {
            cx.wrong(
                node.loc,
                format!("{script} does not name its interpreter"),
                "let the script's first line be `#!/bin/sh`, for example",
            );
        }
    }
    if let Some(run) = &options.run {
        cx.not_empty("run", run.trim().is_empty(), at(node, "run"));
        if !options.args.is_empty() {
            cx.wrong(
                node.key_loc("args"),
                "`args` are for a script",
                "put them into `run`",
            );
        }
    }
}

fn begins_with_interpreter(path: &std::path::Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 2];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok()
        && start == *b"#!"
}

fn ansible(cx: &mut Context<'_>, recipe: &Recipe, options: &Ansible, node: &Node) {
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
    if let Some(install) = &recipe.install
        && let Err(message) = crate::toolbox::supports(install)
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

fn puppet(cx: &mut Context<'_>, options: &Puppet, node: &Node, key: &str) {
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

fn agent(cx: &mut Context<'_>, agent: &PuppetAgent, node: &Node, key: &str) {
    if key == "instance" {
        let help = "its key is there only during a build: move it to `configure`";
        cx.wrong(node.loc, "Puppet's agent cannot run in `instance`", help);
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

impl Context<'_> {
    pub(super) fn not_zero(&mut self, key: &str, span: Span, node: &Node) {
        if span.as_seconds() == 0 {
            self.problem(node.loc, format!("`{key}` is zero"));
        }
    }

    pub(super) fn not_empty(&mut self, name: &str, empty: bool, node: &Node) {
        if empty && !node.damaged {
            self.wrong(
                node.loc,
                format!("`{name}` is empty"),
                "fill it, or remove the step",
            );
        }
    }

    pub(super) fn package_names(&mut self, names: &[String], node: &Node) {
        for (name, node) in names.iter().zip(node.items()) {
            let shaped = !name.is_empty()
                && !name.starts_with('-')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-._:=~^@*/".contains(c));
            if !shaped && !node.damaged {
                let problem = Problem::new(node.loc, format!("`{name}` is no name for a package"));
                self.problems.push(if name.trim().contains(' ') {
                    problem.help("each name is its own item of the list")
                } else {
                    problem
                });
            }
        }
    }

    fn distro(&mut self, distro: &str, node: &Node, also: &[&str]) {
        if DISTRIBUTIONS.contains(&distro) || node.damaged {
            return;
        }
        let problem = Problem::new(node.loc, format!("there is no distribution `{distro}`"));
        let words = || DISTRIBUTIONS.iter().chain(also).copied();
        self.problems
            .push(match crate::recipe::problem::nearest(distro, words()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!(
                    "the distributions are {}",
                    crate::recipe::desugar::list_words(DISTRIBUTIONS.iter().copied())
                )),
            });
    }

    fn guest_path(&mut self, key: &str, path: &str, node: &Node) {
        let clean = path.starts_with('/')
            && !path.split('/').any(|part| part == "..")
            && !path.contains(char::is_control);
        if !clean && !node.damaged {
            self.wrong(
                node.loc,
                format!("`{key}` is an absolute path in the guest, and this is `{path}`"),
                "begin it with `/`, without `..`",
            );
        }
    }

    fn secret(&mut self, recipe: &Recipe, name: &str, node: &Node) {
        if recipe.secrets.contains_key(name) || node.damaged {
            return;
        }
        let problem = Problem::new(node.loc, format!("there is no secret `{name}`"));
        let names = recipe.secrets.keys().map(String::as_str);
        self.problems.push(
            problem
                .did_you_mean(name, names)
                .help(format!("declare it: `secrets: {{{name}: {{env: …}}}}`")),
        );
    }
}
