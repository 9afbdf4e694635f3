//! Steps.

use std::collections::BTreeMap;

use super::{Context, Role, Wants, at};
use crate::recipe::types::{Action, PackageNames, Recipe, Repository, Shell, Step, System, When};
use crate::yaml::node::{Entry, Node};
use crate::yaml::problem::Problem;

mod files;
mod layers;

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
        secrets(cx, recipe, key, node, step);
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
                files::users(cx, recipe, options, at(body, "list"), &mut users)
            }
            Action::Files(options) => files::files(cx, options, body),
            Action::Shell(options) => shell(cx, options, body),
            Action::Ansible(_) if key == "instance" => cx.wrong(
                action.loc,
                "`ansible` cannot run in `instance`",
                "its toolbox is there only during a build: move it to `configure`",
            ),
            Action::Ansible(options) => layers::ansible(cx, recipe, options, body),
            Action::Puppet(options) => layers::puppet(cx, options, body, key),
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
        environment(cx, entry);
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
fn environment(cx: &mut Context<'_>, entry: &Entry) {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let shaped =
        entry.key.starts_with(first) && entry.key.chars().all(|c| first(c) || c.is_ascii_digit());
    if !shaped {
        cx.problem(
            entry.key_loc,
            format!("`{}` is no name for an environment variable", entry.key),
        );
    } else if entry.key.starts_with("IMGFORGE_") {
        cx.problem(entry.key_loc, format!("`{}` is a reserved name", entry.key));
    }
}

/// Secrets that a step gets as variables.
fn secrets(cx: &mut Context<'_>, recipe: &Recipe, key: &str, node: &Node, step: &Step) {
    for entry in node.get("secrets").map_or(&[][..], Node::entries) {
        environment(cx, entry);
        if key == "instance" {
            let help = "secrets are there only during a build: move the step to `configure`";
            cx.wrong(entry.key_loc, "a step of `instance` has no secrets", help);
        } else if let Some(secret) = step.secrets.get(&entry.key) {
            cx.secret(recipe, secret, &entry.value);
        }
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
        && let Some(message) = crate::yaml::checker::bad_word(id, "a repository")
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

fn shell(cx: &mut Context<'_>, options: &Shell, node: &Node) {
    cx.exactly_one(node, "shell", "script", "run");
    if let Some(script) = &options.script {
        let node = at(node, "script");
        if let Some(path) = cx.local(node, script, Role::Script, Wants::File)
            && let Some((what, help)) = bad_script(&path)
        {
            cx.wrong(node.loc, format!("{script} {what}"), help);
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

/// Why the guest's kernel cannot start a script: what is wrong with it, and what to do.
fn bad_script(path: &std::path::Path) -> Option<(&'static str, &'static str)> {
    use std::io::{BufRead as _, Read as _};
    let mut first = vec![];
    // The kernel looks at no more than 256 bytes, see execve(2).
    let read = std::fs::File::open(path)
        .and_then(|file| std::io::BufReader::new(file.take(256)).read_until(b'\n', &mut first));
    if let Err(_) | Ok(0) = read {
        return Some((
            "does not name its interpreter",
            "let the script's first line be `#!/bin/sh`, for example",
        ));
    }
    let save = "save it as UTF-8 without a byte order mark";
    if first.starts_with(b"\xef\xbb\xbf") {
        Some((
            "begins with a byte order mark, so its `#!` is not seen",
            save,
        ))
    } else if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        Some(("is written in UTF-16, which no interpreter reads", save))
    } else if !first.starts_with(b"#!") {
        Some((
            "does not name its interpreter",
            "let the script's first line be `#!/bin/sh`, for example",
        ))
    } else if first.ends_with(b"\r\n") {
        Some((
            "has the line ends of Windows, so its interpreter is not found",
            "save it with the line ends of Unix: `sed -i 's/\\r$//' FILE`",
        ))
    } else {
        None
    }
}

impl Context<'_> {
    pub(super) fn package_names(&mut self, names: &[String], node: &Node) {
        for (name, node) in names.iter().zip(node.items()) {
            let shaped = !name.is_empty()
                && !name.starts_with('-')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-._:=~^@*/()".contains(c));
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
            .push(match crate::yaml::problem::nearest(distro, words()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!(
                    "the distributions are {}",
                    crate::yaml::problem::list_words(DISTRIBUTIONS.iter().copied())
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
