//! `from` and `install`.

use super::{Context, Role, Wants, at, bad_word};
use crate::address::Address;
use crate::recipe::types::BELOW_MIRROR;
use crate::recipe::types::{Bootstrap, Import, Install, Iso, Media, Parent, Recipe, VirtInstall};
use crate::steps::packages::check_names;
use crate::yaml::node::Node;
use crate::yaml::problem::Problem;

pub(super) fn check(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    match cx.has {
        (true, true) => {
            let (from, install) = (tree.key_loc("from"), tree.key_loc("install"));
            cx.problems.push(
                Problem::new(
                    install,
                    "a recipe has either `from` or `install`, and this has both",
                )
                .also(from, "the other")
                .help("`from` builds on another image, `install` makes the base itself"),
            );
        }
        (false, false) => cx.wrong(
            tree.key_loc("name"),
            "the recipe has neither `from` nor `install`",
            "add `install: {bootstrap: {suite: trixie}}`, or `from: OTHER-RECIPE`",
        ),
        _ => {}
    }
    if let Some(Parent::Published(image)) = &recipe.from {
        let from = at(tree, "from");
        published(cx, &image.image, at(from, "image"));
        if let Some(channel) = &image.channel
            && !at(from, "channel").damaged
            && let Some(message) = bad_word(channel, "a channel")
        {
            cx.problem(at(from, "channel").loc, message);
        }
    }
    let Some(install) = &recipe.install else {
        return;
    };
    let node = at(tree, "install");
    match install {
        Install::VirtInstall(options) => {
            virt_install(cx, recipe, options, at(node, "virt-install"));
        }
        Install::Bootstrap(options) => bootstrap(cx, options, at(node, "bootstrap")),
        Install::Import(options) => import(cx, options, at(node, "import")),
    }
}

/// `REPO#name`.
fn published(cx: &mut Context<'_>, image: &str, node: &Node) {
    if node.damaged {
        return;
    }
    let Some((repository, name)) = image.rsplit_once('#') else {
        return cx.wrong(
            node.loc,
            format!("`{image}` is no published image"),
            "write `REPO#name`",
        );
    };
    let (name, revision) = name.split_once('@').unwrap_or((name, "1"));
    if let Some(message) = bad_word(name, "an image") {
        cx.problem(node.loc, message);
    }
    if revision.parse::<u64>().is_err() {
        cx.problem(
            node.loc,
            format!("`{revision}` is not the number of a revision"),
        );
    }
    if is_url(repository) {
        return;
    }
    let known = cx.config.repositories.contains_key(repository);
    if !known {
        let problem = Problem::new(node.loc, format!("there is no repository `{repository}`"));
        let names = cx.config.repositories.keys().map(String::as_str);
        let problem = problem
            .did_you_mean(repository, names)
            .help("repositories are declared in imgforge.yaml");
        cx.problems.push(problem);
    }
}

/// Whether a text is an address.
fn is_url(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

fn virt_install(cx: &mut Context<'_>, recipe: &Recipe, options: &VirtInstall, node: &Node) {
    if let Some(message) = bad_word(&options.os, "a system")
        && !at(node, "os").damaged
    {
        cx.wrong(
            at(node, "os").loc,
            message,
            "`osinfo-query os` lists the names",
        );
    }
    super::answers::check(cx, recipe, options, at(node, "answers"));
    media(cx, &options.media, at(node, "media"));
    for (key, span) in [("timeout", options.timeout), ("stall", options.stall)] {
        cx.not_zero(key, span, at(node, key));
    }
    if options.stall > options.timeout {
        cx.problem(
            at(node, "stall").loc,
            "`stall` is longer than the whole `timeout`",
        );
    }
}

/// An address, or a place below the mirror that the build chooses.
fn is_elsewhere(place: &str) -> bool {
    let path = place.strip_prefix(BELOW_MIRROR);
    is_url(place)
        || path.is_some_and(|path| !path.is_empty() && !path.contains(char::is_whitespace))
}

fn media(cx: &mut Context<'_>, media: &Media, node: &Node) {
    match media {
        Media::Location(location) => {
            let at = at(node, "location");
            if !is_elsewhere(location) && !at.damaged {
                cx.host(at, location, Role::Media, Wants::Directory);
            }
        }
        Media::Iso(iso) => self::iso(cx, iso, at(node, "iso")),
        Media::Boot(boot) => {
            let node = at(node, "boot");
            for (key, file) in [("kernel", &boot.kernel), ("initrd", &boot.initrd)] {
                if !is_elsewhere(file) {
                    cx.host(at(node, key), file, Role::Media, Wants::File);
                }
            }
        }
    }
}

fn iso(cx: &mut Context<'_>, iso: &Iso, node: &Node) {
    cx.exactly_one(node, "iso", "url", "path");
    if let Some(path) = &iso.path {
        cx.host(at(node, "path"), path, Role::Media, Wants::File);
    }
    let needed = iso.url.as_ref().and(node.get("url"));
    cx.sha256(iso.sha256.is_some(), needed);
}

fn bootstrap(cx: &mut Context<'_>, options: &Bootstrap, node: &Node) {
    let suite = at(node, "suite");
    if !suite.damaged
        && let Some(message) = bad_word(&options.suite, "a suite")
    {
        cx.problem(suite.loc, message);
    }
    check_names(cx, &options.packages, at(node, "packages"));
    check_names(cx, &options.components, at(node, "components"));
}

fn import(cx: &mut Context<'_>, options: &Import, node: &Node) {
    let image = at(node, "image");
    if is_url(&options.image) && !options.image.contains('#') {
        cx.sha256(options.sha256.is_some(), Some(image));
        return;
    }
    if options.image.contains('#') {
        published(cx, &options.image, image);
    } else {
        cx.host(image, &options.image, Role::Media, Wants::File);
    }
}
