//! An older state of a repository has good signatures for ever: nobody goes on from it.

use imgforge::units::Span;
use jiff::Timestamp;

use super::forged::{copied, filled};
use super::world::*;
use crate::patience::wait_for;
use crate::pull::replay::sign_again;

/// What takes what is signed into a cloud or a copy, or signs it again.
const GO_ON: [&[&str]; 6] = [
    &["repo", "copy", "copied"],
    &["sync", "openstack", "web-node"],
    &["channel", "freeze", "stable", "--why", "x"],
    &["channel", "promote", "web-node", "stable", "nightly"],
    &["repo", "yank", "web-node@1", "--why", "x"],
    &["repo", "prune", "--yes"],
];

pub(super) fn site() -> World {
    let site = World::publishing();
    std::fs::create_dir(site.path("recipes")).unwrap();
    site
}

fn refused(site: &World, more: &[&[&str]], expected: &[&str]) {
    for args in GO_ON.iter().chain(more) {
        let text = site.fails(4, args);
        for words in expected {
            assert!(text.contains(words), "{args:?}: {text}");
        }
    }
    assert!(!site.path("copied/index.asc").exists());
}

/// Puts a directory, with all that is in it, in the place of another.
pub(super) fn put(world: &World, from: &str, to: &str) {
    drop(std::fs::remove_dir_all(world.path(to)));
    let copy = Program::new("cp")
        .arg("-a")
        .args([world.path(from), world.path(to)]);
    copy.run().unwrap();
}

/// Signatures tell the second.
pub(super) fn in_another_second() {
    let before = Timestamp::now().as_second();
    wait_for("the next second", || Timestamp::now().as_second() > before);
}

#[test]
fn what_has_expired_is_signed_anew_on_demand_only() {
    let site = site();
    let settings = Settings {
        valid_for: Span::seconds(0),
        ..site.settings(&site.path("repo"))
    };
    let past = Repository::open(settings).unwrap();
    publish(&past, &site.disk("one"));
    refused(&site, &[], &["was valid until", "`imgforge channel renew`"]);
    let error = publish_with(&past, &site.disk("two"), |_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate, "{error}");
    site.ok(&["channel", "renew"]);
    site.ok(&["repo", "copy", "copied"]);
    site.ok(&["channel", "freeze", "stable", "--why", "x"]);
}

/// An index without images, too.
#[test]
fn an_empty_channel_is_renewed() {
    let site = site();
    let settings = Settings {
        valid_for: Span::seconds(0),
        ..site.settings(&site.path("repo"))
    };
    let repository = site.repository();
    publish_with(&repository, &site.disk("one"), |p| p.channel = "nightly").unwrap();
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository.yank("web-node", 1, false, &now, &ui).unwrap();
    Repository::open(settings).unwrap().renew(&now).unwrap();
    let told = site.fails(4, &["channel", "freeze", "nightly", "--why", "x"]);
    assert!(told.contains("was valid until"), "{told}");
    site.ok(&["channel", "renew"]);
    site.ok(&["channel", "freeze", "nightly", "--why", "x"]);
}

#[test]
fn an_older_state_than_this_host_has_seen_or_made_is_refused() {
    let site = site();
    let (world, repository) = (&site, site.repository());
    publish(&repository, &world.disk("one"));
    put(world, "repo", "kept");
    in_another_second();
    publish(&repository, &world.disk("two"));
    site.ok(&["repo", "copy", "seen"]);
    let renew: &[&str] = &["channel", "renew"];
    let expected = [
        "has seen a newer one",
        "`imgforge channel renew --allow-older`",
    ];
    put(world, "repo", "newer");
    put(world, "kept", "repo");
    refused(&site, &[renew], &expected);
    // What it has made itself is as good as seen.
    put(world, "newer", "repo");
    in_another_second();
    site.ok(renew);
    put(world, "newer", "repo");
    refused(&site, &[renew], &expected);
    in_another_second();
    site.ok(&["channel", "renew", "--allow-older"]);
    site.ok(&["channel", "freeze", "stable", "--why", "x"]);
    site.ok(&["repo", "copy", "copied"]);
}

#[test]
fn an_older_state_replaces_no_newer_copy() {
    let world = World::new();
    let repository = world.repository();
    publish(&repository, &world.disk("one"));
    put(&world, "repo", "kept");
    in_another_second();
    publish(&repository, &world.disk("two"));
    copied(&world, "copy").unwrap();
    put(&world, "kept", "repo");
    let text = copied(&world, "copy").unwrap_err().render();
    assert!(text.contains("is older than its copy"), "{text}");
    assert!(world.path("copy/images/web-node/2").is_dir());
    in_another_second();
    world.repository().renew(&Stamp::now()).unwrap();
    copied(&world, "copy").unwrap();
}

/// One key signs all repositories of a host.
#[test]
fn another_repository_of_the_same_key_is_another_one() {
    let site = site();
    let world = &site;
    publish(&world.repository(), &world.disk("one"));
    let test = Repository::open(world.settings(&world.path("test"))).unwrap();
    publish(&test, &world.disk("two"));
    site.ok(&["channel", "renew"]);
    put(world, "repo", "kept");
    in_another_second();
    test.renew(&Stamp::now()).unwrap();
    put(world, "test", "repo");
    let renew: &[&str] = &["channel", "renew"];
    refused(&site, &[renew], &["was there before"]);
    // Nor does its index count in the place of ours.
    put(world, "kept", "repo");
    std::fs::copy(world.path("test/index.asc"), world.path("repo/index.asc")).unwrap();
    for args in [GO_ON[0], GO_ON[2], renew] {
        let text = site.fails(4, args);
        assert!(text.contains("of another repository"), "{args:?}: {text}");
    }
}

#[test]
fn what_names_no_repository_counts_beside_nothing_that_does() {
    let site = site();
    let (repository, _) = filled(&site);
    sign_again(&site, "images/other/revisions.sjson", 0, |text| {
        let lines = text.lines().filter(|line| !line.contains("\"repository\""));
        lines.map(|line| format!("{line}\n")).collect()
    });
    let error = repository.renew(&Stamp::now()).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    assert!(text.contains("does not say of which repository"), "{text}");
    assert!(copied(&site, "copy").is_err());
    repository.renew_older(&Stamp::now()).unwrap();
    copied(&site, "copy").unwrap();
}

/// Nothing is left that could say that there was something, but what this host has made.
#[test]
fn a_repository_of_which_all_is_gone_is_no_new_one() {
    let site = site();
    publish(&site.repository(), &site.disk("one"));
    site.ok(&["channel", "renew"]);
    let repo = site.path("repo");
    for dir in ["images", ".imgforge/names"] {
        std::fs::remove_dir_all(repo.join(dir)).unwrap();
    }
    for file in [
        "index.asc",
        ".imgforge/channels.json",
        ".imgforge/state.sjson",
    ] {
        std::fs::remove_file(repo.join(file)).unwrap();
    }
    let text = site.fails(4, &["channel", "renew"]);
    assert!(
        text.contains("is gone, and this host has seen it"),
        "{text}"
    );
    site.ok(&["channel", "renew", "--allow-older"]);
    site.ok(&["channel", "renew"]);
}

/// Nor does it help to remove or replace what says which one it was.
#[test]
fn a_repository_that_is_not_there_or_another_one_is_not_begun_anew() {
    let site = site();
    let repo = site.path("repo");
    publish(&site.repository(), &site.disk("one"));
    site.ok(&["channel", "renew"]);
    put(&site, "repo", "kept");
    let verbs: [&[&str]; 4] = [
        GO_ON[2],
        GO_ON[4],
        &["channel", "renew"],
        &["channel", "renew", "--allow-older"],
    ];
    let refused = |expected: &str| {
        for args in verbs {
            let text = site.fails(4, args);
            assert!(
                text.contains(expected) && text.contains("if it was made again, remove"),
                "{args:?}: {text}"
            );
        }
    };
    // An empty mount point.
    std::fs::remove_dir_all(&repo).unwrap();
    std::fs::create_dir(&repo).unwrap();
    refused("has seen a repository there");
    assert_eq!(repo.read_dir().unwrap().count(), 0);
    let identity = repo.join(".imgforge/repository.json");
    std::fs::remove_dir_all(&repo).unwrap();
    std::fs::create_dir_all(identity.parent().unwrap()).unwrap();
    let other = std::fs::read_to_string(site.path("kept/.imgforge/repository.json"));
    let (mut other, zeros) = (serde_json::from_str::<Value>(&other.unwrap()).unwrap(), "0");
    other["id"] = format!("{}-0000-4000-8000-{}", zeros.repeat(8), zeros.repeat(12)).into();
    std::fs::write(&identity, other.to_string()).unwrap();
    refused("was there before");
    assert!(!repo.join("index.asc").exists() && !repo.join(".imgforge/state.sjson").exists());
    put(&site, "kept", "repo");
    site.ok(&["channel", "renew"]);
}

/// Clients that have seen the later one would refuse what is signed now.
#[test]
fn nothing_is_signed_before_what_it_replaces() {
    let site = site();
    filled(&site);
    sign_again(&site, "index.asc", 3600, |text| text);
    let text = site.fails(3, &["channel", "renew"]);
    assert!(
        text.contains("clock") && text.contains("--allow-older"),
        "{text}"
    );
    // What must go at once goes.
    let yanked = site.run(&["repo", "yank", "web-node@2", "--why", "leaked"]);
    let yanked = yanked.ok();
    yanked.says(&["refuse what is signed now, until then"]);
    site.ok(GO_ON[2]);
    sign_again(&site, "index.asc", 3600, |text| text);
    site.fails(3, GO_ON[3]);
    site.ok(&["channel", "renew", "--allow-older"]);
    site.ok(&["channel", "renew"]);
}

/// A publisher's clock was wrong for a while.
#[test]
fn a_time_that_is_yet_to_come_locks_nobody_out() {
    let site = site();
    filled(&site);
    site.ok(&["channel", "renew"]);
    sign_again(&site, "index.asc", 400 * 24 * 3600, |text| text);
    for args in [GO_ON[0], GO_ON[2], GO_ON[4], &["channel", "renew"]] {
        let text = site.fails(4, args);
        assert!(
            text.contains("yet to come") && text.contains("--allow-older"),
            "{args:?}: {text}"
        );
    }
    site.ok(&["channel", "renew", "--allow-older"]);
    for args in [GO_ON[0], GO_ON[2], &["channel", "renew"]] {
        site.ok(args);
    }
}

/// What `--allow-older` goes on from agrees with itself, and leaves nothing out.
#[test]
fn an_entry_whose_record_is_gone_is_signed_on_no_demand() {
    let site = site();
    let (repository, _) = filled(&site);
    let root = repository.path();
    let index = std::fs::read(root.join("index.asc")).unwrap();
    in_another_second();
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository.yank("other", 1, false, &now, &ui).unwrap();
    for gone in [
        ".imgforge/state.sjson",
        ".imgforge/names/other.json",
        "images/other/revisions.sjson",
    ] {
        std::fs::remove_file(root.join(gone)).unwrap();
    }
    std::fs::write(root.join("index.asc"), &index).unwrap();
    let text = site.fails(4, &["channel", "renew", "--allow-older"]);
    assert!(
        text.contains("it has `other`, and no record says that there is one"),
        "{text}"
    );
    assert_eq!(std::fs::read(root.join("index.asc")).unwrap(), index);
}
