//! The answer file of an installation: of a kind that the system's installer reads, and good.

use super::{Context, Role, Wants};
use crate::distro;
use crate::installers::{self, Finding, PROOF};
use crate::recipe::secrets::PASSPHRASE;
use crate::recipe::types::{Recipe, VirtInstall};
use crate::yaml::node::Node;
use crate::yaml::problem::Problem;
use crate::yaml::template::{self, STAGE_VARIABLES, Vars, secret_variable};

pub(super) fn check(cx: &mut Context<'_>, recipe: &Recipe, options: &VirtInstall, node: &Node) {
    if node.damaged {
        return;
    }
    let (name, installer) = (options.answers.path(), options.answers.installer());
    let Some(path) = cx.local(node, name, Role::Answers, Wants::File) else {
        return;
    };
    let secrets = recipe.secrets.keys().map(|name| secret_variable(name));
    let stage = STAGE_VARIABLES.iter().map(|name| (*name).to_owned());
    let Some(written) = cx.template_with(&path, node.loc, &stage.chain(secrets).collect()) else {
        return;
    };
    if let Some(problem) = other_kind(options, &written, node) {
        return cx.problems.push(problem);
    }
    let rendered = match template::render(&written, &variables(recipe, cx.vars), name) {
        Ok(rendered) => rendered,
        Err(error) => return cx.problem(node.loc, error.to_string()),
    };
    let found = installer.judge(&rendered);
    if found.is_empty() {
        return;
    }
    let file = cx.problems.sources.add(name, Some(&path), &written);
    for Finding {
        line,
        message,
        help,
    } in found
    {
        let problem = match place(&written, &rendered, line) {
            Some((start, end)) => Problem::new(file.range(start, end), message)
                .also(node.loc, "the answer file is named here"),
            None => Problem::new(node.loc, format!("{name}: {message}")),
        };
        cx.problems.push(problem.help(help));
    }
}

/// The variables of a build, with stand-ins for what only the build knows.
fn variables(recipe: &Recipe, vars: &Vars) -> Vars {
    let mut all = vars.clone();
    for name in STAGE_VARIABLES {
        all.insert((*name).to_owned(), "stand-in".to_owned());
    }
    let machine = &recipe.machine;
    let secret = recipe.secrets.contains_key(PASSPHRASE);
    for (name, value) in [
        ("imgforge_sentinel", PROOF),
        ("imgforge_key", PROOF),
        ("imgforge_firmware", machine.firmware().as_str()),
        ("imgforge_disk", "vda"),
        ("imgforge_serial", machine.arch.serial),
        ("imgforge_mirror", "http://mirror.example/path"),
        ("imgforge_proxy", "http://mirror.example:3128"),
        ("imgforge_passphrase", if secret { "stand-in" } else { "" }),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    for name in recipe.secrets.keys() {
        all.insert(secret_variable(name), "stand-in".to_owned());
    }
    all
}

/// Answers of a kind that this installer does not read, by their name or by their content.
fn other_kind(options: &VirtInstall, text: &str, node: &Node) -> Option<Problem> {
    let (name, installer) = (options.answers.path(), options.answers.installer());
    let stem = name.trim_end_matches(installer.end);
    let reads = distro::by_osinfo(&options.os).map(|distro| distro.installers);
    if let Some((is, line)) = installers::sniff(text)
        && is != installer
    {
        let message = format!(
            "{name} is {} by its line {line}, and its name says {}",
            is.name, installer.name
        );
        let help = format!("rename it to `{stem}{}`", is.end);
        return Some(Problem::new(node.loc, message).help(help));
    }
    let reads = reads.filter(|all| !all.contains(&installer))?;
    let kinds: Vec<&str> = reads.iter().map(|one| one.name).collect();
    let message = format!(
        "the installer of {} does not read {}",
        options.os, installer.name
    );
    Some(Problem::new(node.loc, message).help(format!("it reads {}", kinds.join(" or "))))
}

/// Where the rendered text's line (from 1) stands in the template, in bytes; `None` if nowhere.
fn place(written: &str, rendered: &str, line: usize) -> Option<(usize, usize)> {
    let wanted = rendered.lines().nth(line.checked_sub(1)?)?;
    let mut start = 0;
    let mut spans = vec![];
    for text in written.split_inclusive('\n') {
        spans.push((start, text.trim_end_matches(['\n', '\r'])));
        start += text.len();
    }
    let same_count = written.lines().count() == rendered.lines().count();
    let exact = |(_, text): &&(usize, &str)| *text == wanted.trim_end_matches('\r');
    let by_number = || spans.get(line - 1).filter(|_| same_count);
    // Lines before the first block keep their numbers, and most lines have no variables.
    let at = spans.get(line - 1).filter(exact);
    let at = at.or_else(|| spans.iter().find(exact)).or_else(by_number);
    let proof = || {
        let uses = |(_, text): &&(usize, &str)| text.contains("imgforge_sentinel");
        spans.iter().find(uses).filter(|_| wanted.contains(PROOF))
    };
    at.or_else(proof)
        .map(|(start, text)| (*start, start + text.len()))
}
