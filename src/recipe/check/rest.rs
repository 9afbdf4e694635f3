//! Everything of a recipe but its base and its steps.

use super::{Context, at, bad_word, steps};
use crate::recipe::types::{Recipe, Secret};
use crate::scan;
use crate::sysprep::{self, REFUSED};
use crate::units::Size;
use crate::yaml::node::Node;
use crate::yaml::problem::Problem;

const LEAST_DISK: Size = Size::mib(64);
const LEAST_MEMORY: Size = Size::mib(64);
const MOST_CPUS: u32 = 512;

pub(super) fn head(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    let name = at(tree, "name");
    if !name.damaged
        && let Some(message) = bad_word(&recipe.name, "an image")
    {
        cx.problem(name.loc, message);
    }
    if recipe.summary.contains('\n') {
        cx.problem(at(tree, "summary").loc, "`summary` is one line");
    }
    if let Some(refresh) = recipe.refresh {
        cx.not_zero("refresh", refresh, at(tree, "refresh"));
    }
}

pub(super) fn machine(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    let node = at(tree, "machine");
    let machine = &recipe.machine;
    for (key, size, least) in [
        ("disk", machine.disk, LEAST_DISK),
        ("memory", machine.memory, LEAST_MEMORY),
    ] {
        if size < least {
            cx.problem(
                at(node, key).loc,
                format!("`{key}` is smaller than {least}"),
            );
        }
    }
    if !machine.disk.as_bytes().is_multiple_of(512) {
        cx.problem(
            at(node, "disk").loc,
            "`disk` is not a multiple of 512 bytes",
        );
    }
    if let Some(below) = cx
        .below
        .map(|below| below.disk)
        .filter(|below| machine.disk < *below)
    {
        cx.wrong(
            at(node, "disk").loc,
            format!("the parent image has a disk of {below}, and a disk never shrinks"),
            format!("write `disk: {below}` or more, or leave it out"),
        );
    }
    if machine.cpus == 0 || machine.cpus > MOST_CPUS {
        cx.problem(
            at(node, "cpus").loc,
            format!("`cpus` is between 1 and {MOST_CPUS}"),
        );
    }
}

pub(super) fn secrets(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    for (name, secret) in &recipe.secrets {
        let Some(entry) = tree.get("secrets").and_then(|all| all.entry(name)) else {
            continue;
        };
        if let Some(message) = bad_word(name, "a secret") {
            cx.problem(entry.key_loc, message);
        }
        let (key, value) = match secret {
            Secret::Env(value) => ("env", value),
            Secret::File(value) => ("file", value),
        };
        let at = at(&entry.value, key);
        let shaped = key == "file" || value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if (value.is_empty() || !shaped) && !at.damaged {
            cx.wrong(
                at.loc,
                format!("`{value}` is not a valid name for an environment variable"),
                "`env` names the variable that holds the secret, it does not hold it",
            );
        }
    }
}

pub(super) fn tail(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    seal(cx, recipe, at(at(tree, "seal"), "operations"));
    let check = at(tree, "check");
    for (command, node) in recipe
        .check
        .commands
        .iter()
        .zip(at(check, "commands").items())
    {
        cx.not_blank("a command", command, node);
    }
    for entry in check.get("failed-units").map_or(&[][..], Node::entries) {
        cx.not_blank(
            "the reason",
            entry.value.as_text().unwrap_or_default(),
            &entry.value,
        );
    }
    let advisories = at(check, "advisories");
    for entry in advisories.get("allow").map_or(&[][..], Node::entries) {
        let reason = entry.value.as_text().unwrap_or_default();
        cx.not_blank("the reason", reason, &entry.value);
    }
    for (allow, node) in recipe.check.allow.iter().zip(at(check, "allow").items()) {
        let rule = at(node, "rule");
        cx.not_blank("the rule", &allow.rule, rule);
        let blank = allow.rule.trim().is_empty() || rule.damaged;
        if !blank && !scan::rule_names().any(|name| name == allow.rule) {
            let problem = Problem::new(rule.loc, format!("there is no rule `{}`", allow.rule));
            cx.problems.push(
                problem
                    .did_you_mean(&allow.rule, scan::rule_names())
                    .help("`imgforge disk scan --list` lists the rules"),
            );
        }
        cx.not_blank("the reason", &allow.reason, at(node, "reason"));
    }
    let Some(publish) = &recipe.publish else {
        return;
    };
    let node = at(tree, "publish");
    if publish.keep == Some(0) {
        cx.wrong(
            at(node, "keep").loc,
            "`keep` is zero",
            "at least the newest revision stays",
        );
    }
    if let Some(channel) = &publish.channel
        && let Some(message) = bad_word(channel, "a channel")
    {
        cx.problem(at(node, "channel").loc, message);
    }
    let known = &cx.config.repositories;
    if let Some(name) = publish
        .repository
        .as_ref()
        .filter(|name| !known.contains_key(*name))
    {
        let problem = Problem::new(
            at(node, "repository").loc,
            format!("there is no repository `{name}`"),
        )
        .did_you_mean(name, known.keys().map(String::as_str))
        .help("repositories are declared in imgforge.yaml");
        cx.problems.push(problem);
    }
}

fn seal(cx: &mut Context<'_>, recipe: &Recipe, node: &Node) {
    for (written, node) in recipe.seal.operations.iter().zip(node.items()) {
        if node.damaged {
            continue;
        }
        let (name, wanted) = match written.strip_prefix('-') {
            Some(name) => (name, false),
            None => (written.as_str(), true),
        };
        let mut refused = REFUSED.iter();
        if let Some((_, reason)) = refused.find(|(refused, _)| *refused == name) {
            // What is refused may be left out all the same.
            if wanted {
                let message = format!("the operation `{name}` is refused");
                cx.problems
                    .push(Problem::new(node.loc, message).help(*reason));
            }
            continue;
        }
        if !sysprep::words().any(|word| word == name) {
            let problem = Problem::new(node.loc, format!("there is no operation `{name}`"));
            let problem = problem.did_you_mean(name, sysprep::words());
            cx.problems.push(problem);
        }
    }
    if !recipe
        .seal
        .operations
        .iter()
        .any(|word| !word.starts_with('-'))
    {
        let first = recipe.seal.operations.iter().zip(node.items()).next();
        if let Some((_, node)) = first.filter(|(_, node)| !node.damaged) {
            cx.wrong(
                node.loc,
                "only operations to leave out are named, so nothing is left",
                "begin with `default`",
            );
        }
    }
}

pub(super) fn targets(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    let streams = recipe.publish.as_ref().is_some_and(|it| it.streams);
    for target in recipe.targets.wanted() {
        let (name, node) = (target.name, at(at(tree, "targets"), target.name));
        let own = target.options.own_steps();
        if !own.is_empty() {
            steps(cx, recipe, name, own, node.get("configure"));
        }
        target.options.check(&mut cx.checker, node);
        let arch = recipe.machine.arch;
        if let Some(why) = target.refuses(arch) {
            let text = format!("there is no `{name}` of this kind for {}", arch.as_str());
            cx.wrong(node.loc, text, why);
        }
        if streams && target.streams {
            let text = format!("`publish: {{streams: true}}` makes the files of `{name}`, too");
            cx.wrong(node.loc, text, "leave one of them out");
        }
    }
}

impl Context<'_> {
    fn not_blank(&mut self, what: &str, text: &str, node: &Node) {
        if text.trim().is_empty() && !node.damaged {
            self.problem(node.loc, format!("{what} is empty"));
        }
    }
}
