//! `from` and `install`.

use super::{Context, Role, Wants, at, bad_word};
use crate::address::Address;
use crate::index::Reference;
use crate::recipe::types::{
    Bootstrap, Imported, Install, Media, MediaPlace, Parent, Recipe, VirtInstall,
};
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
        Install::Import(imported) => import(cx, imported, at(at(node, "import"), "image")),
    }
}

/// `REPO#name`.
fn published(cx: &mut Context<'_>, image: &Reference, node: &Node) {
    if node.damaged {
        return;
    }
    let Some(repository) = &image.repository else {
        return cx.wrong(
            node.loc,
            format!("`{image}` is not the name of a published image"),
            "write `REPO#name`",
        );
    };
    if repository.parse::<Address>().is_ok() {
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

fn media(cx: &mut Context<'_>, media: &Media, node: &Node) {
    match media {
        Media::Location(location) => {
            here(cx, location, at(node, "location"), Wants::Directory);
        }
        Media::Iso(iso) => here(cx, &iso.place(), at(at(node, "iso"), "path"), Wants::File),
        Media::Boot(boot) => {
            let node = at(node, "boot");
            here(cx, &boot.kernel, at(node, "kernel"), Wants::File);
            here(cx, &boot.initrd, at(node, "initrd"), Wants::File);
        }
    }
}

/// What is on this host must be there.
fn here(cx: &mut Context<'_>, place: &MediaPlace, node: &Node, wants: Wants) {
    if let MediaPlace::Path(path) = place {
        cx.host(node, path, Role::Media, wants);
    }
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

fn import(cx: &mut Context<'_>, imported: &Imported, node: &Node) {
    match imported {
        Imported::Published(image) => published(cx, image, node),
        Imported::Image(source) => here(cx, &source.place(), node, Wants::File),
    }
}
