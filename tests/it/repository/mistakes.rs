//! The mistakes of somebody new: what is said, and what to do next.

use super::world::*;
use crate::support::Run as _;

/// What the program says when it fails with this exit code.
fn told(site: &World, code: i32, args: &[&str]) -> String {
    let text = site.fails(code, args);
    assert!(text.contains("hint: "), "{args:?}: {text}");
    text
}

#[test]
fn wrong_names_are_answered_with_what_there_is() {
    let site = World::publishing();
    let repository = site.repository();
    for text in ["one", "two"] {
        publish(&repository, &site.disk(text));
    }
    publish_with(&repository, &site.disk("one"), |p| p.channel = "nightly").unwrap();
    let why = ["--why", "a test"];
    let with_why = |args: &[&'static str]| [args, &why[..]].concat();
    for (args, sentence, hint) in [
        (
            vec!["channel", "history", "web-nod"],
            "no image `web-nod`",
            "did you mean `web-node`?",
        ),
        (
            vec!["channel", "list", "stabel"],
            "no channel `stabel`",
            "did you mean `stable`?",
        ),
        (
            vec!["channel", "promote", "web-node", "night", "stable"],
            "no channel `night`",
            "`nightly`",
        ),
        (
            vec!["channel", "promote", "wbe-node", "nightly", "stable"],
            "`wbe-node`",
            "`web-node`?",
        ),
        (
            vec!["channel", "rollback", "web-node", "--to", "9"],
            "no revision 9",
            "it has 2, 1",
        ),
        (
            with_why(&["channel", "freeze", "stabel"]),
            "no channel `stabel`",
            "`stable`?",
        ),
        (
            with_why(&["repo", "yank", "web-node@9"]),
            "no revision 9",
            "it has 2, 1",
        ),
        (
            with_why(&["repo", "yank", "web-nod@1"]),
            "no image `web-nod`",
            "`web-node`?",
        ),
        (
            vec!["repo", "query", "vim", "--channel", "stabel"],
            "no channel `stabel`",
            "`stable`?",
        ),
        (
            vec!["pull", "web-nod", "-o", "x.raw", "--arch", "x86_64"],
            "no image `web-nod`",
            "did you mean `web-node`?",
        ),
        (
            vec!["pull", "web-node@9", "-o", "x.raw", "--arch", "x86_64"],
            "no revision 9",
            "it has 1, 2",
        ),
        (
            vec!["pull", "mian#web-node", "-o", "x.raw"],
            "there is no repository `mian`",
            "did you mean `main`?",
        ),
        (
            vec!["repo", "verify", "nowhere"],
            "no imgforge.gpg",
            "its directory or URL",
        ),
        (
            vec!["repo", "copy", "repo/inside"],
            "lies in the other",
            "beside the repository",
        ),
        (
            vec!["channel", "list", "--repository", "mian"],
            "no repository `mian`",
            "repositories",
        ),
    ] {
        let text = told(&site, 2, &args);
        assert!(
            text.contains(sentence) && text.contains(hint),
            "{args:?}: {text}"
        );
    }
    let blob = "repo/images/web-node/2/web-node-0123456789ab.xz";
    std::fs::rename(site.path(blob), site.path("aside")).unwrap();
    let text = told(
        &site,
        1,
        &["pull", "web-node", "-o", "x.raw", "--arch", "x86_64"],
    );
    assert!(
        text.contains("is not there") && text.contains("repo verify"),
        "{text}"
    );
    assert!(!site.path("x.raw").exists());
    std::fs::rename(site.path("aside"), site.path(blob)).unwrap();
    let yanked = with_why(&["repo", "yank", "web-node@1"]);
    site.ok(&yanked);
    let text = told(&site, 4, &["channel", "rollback", "web-node", "--to", "1"]);
    assert!(
        text.contains("was yanked: a test") && text.contains("it has 2"),
        "{text}"
    );
}

#[test]
fn a_repository_that_is_not_there_is_not_made_by_looking_at_it() {
    let site = World::publishing();
    for args in [
        &["channel", "list"][..],
        &["repo", "prune"],
        &["repo", "query", "vim"],
        &["repo", "copy", "mirror"],
        &["repo", "verify"],
    ] {
        told(&site, 2, args);
        assert!(!site.path("repo").exists(), "{args:?}");
        assert!(!site.path("mirror").exists(), "{args:?}");
    }
}

#[test]
fn without_gpg_or_with_an_unknown_key_it_is_said_which() {
    let site = World::publishing();
    publish(&site.repository(), &site.disk("one"));
    site.configure("signing-key: nobody@example.org\nrepositories: {main: {path: repo}}\n");
    let text = site.fails(2, &["channel", "rollback", "web-node"]);
    assert!(
        text.contains("nobody@example.org") && text.contains("--list-secret-keys"),
        "{text}"
    );

    // Every program but gpg.
    let bin = site.path("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in ["sh", "true"] {
        let found = Program::new("sh").args(["-c", &format!("command -v {program}")]);
        std::os::unix::fs::symlink(found.text().unwrap().trim(), bin.join(program)).unwrap();
    }
    let key = site.path("repo/imgforge.gpg");
    let key = key.to_str().unwrap();
    for args in [
        &["pull", "web-node", "-o", "x.raw", "--key", key][..],
        &["repo", "verify"],
        &["channel", "rollback", "web-node"],
    ] {
        let said = site.command(args).env("PATH", &bin).said();
        said.says(&["`gpg", "hint: "]);
    }
}
