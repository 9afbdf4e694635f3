//! The directory that gets a copy: what of it may be replaced, and what goes.

use imgforge::repository::State;
use imgforge::repository::fresh::Age;
use imgforge::repository::seen::RememberedRepository;
use imgforge::repository::verify::{audit, record};

use super::forged::{copied, filled};
use super::older::{in_another_second, put, site};
use super::world::*;
use crate::pull::replay::sign_again;

fn faults(world: &World, path: &str) -> Vec<String> {
    let ui = Ui::silent().stage("repository", "verify");
    let root = world.path(path).display().to_string();
    audit(&root, &Signers::default(), &ui).unwrap().faults
}

fn lists(world: &World, path: &str, revision: &str) -> bool {
    let index = std::fs::read_to_string(world.path(path).join("index.asc")).unwrap();
    index.contains(revision)
}

/// Signs everything as a publisher does whose clock is wrong.
fn sign_ahead(world: &World) {
    for path in [
        "images/other/revisions.sjson",
        "images/web-node/revisions.sjson",
        ".imgforge/state.sjson",
        "index.asc",
    ] {
        sign_again(world, path, 7200, |text| text);
    }
}

/// Of two states, the later transaction counts where the clock of a publisher was wrong.
#[test]
fn a_yank_reaches_a_copy_that_a_wrong_clock_signed() {
    let site = site();
    let world = &site;
    filled(world);
    put(world, "repo", "kept");
    sign_ahead(world);
    // Another host, that remembers what it saw.
    let memory = world.path("memory").display().to_string();
    let mirror = ["--state", &memory, "repo", "copy", "mirror"];
    site.ok(&mirror);
    copied(world, "copy").unwrap();
    put(world, "repo", "later");
    // An older state is one, whatever the clocks say.
    put(world, "kept", "repo");
    let text = copied(world, "copy").unwrap_err().render();
    assert!(text.contains("is older than its copy"), "{text}");
    let text = site.fails(4, &mirror);
    assert!(text.contains("has seen a newer one"), "{text}");

    put(world, "later", "repo");
    site.ok(&["repo", "yank", "web-node@2", "--why", "leaked"]);
    assert!(lists(world, "copy", "revision=2") && lists(world, "mirror", "revision=2"));
    // The same again, and to another one.
    let another = ["--state", &memory, "repo", "copy", "another"];
    for _ in 0..2 {
        copied(world, "copy").unwrap();
        site.ok(&mirror);
        site.ok(&another);
    }
    for path in ["copy", "mirror", "another"] {
        assert!(!lists(world, path, "revision=2"), "{path}");
        assert_eq!(faults(world, path), Vec::<String>::new());
    }

    // The earlier transaction is signed at a later time.
    put(world, "later", "repo");
    let text = copied(world, "copy").unwrap_err().render();
    assert!(
        text.contains("is older than its copy: of transaction 3"),
        "{text}"
    );
    let yank: &[&str] = &["repo", "yank", "web-node@1", "--why", "leaked"];
    for args in [&mirror[..], yank, &["channel", "renew"]] {
        let text = site.fails(4, args);
        assert!(
            text.contains("of transaction 3, and this host has seen a newer one, 4"),
            "{args:?}: {text}"
        );
    }
    assert!(!lists(world, "copy", "revision=2") && !lists(world, "mirror", "revision=2"));
    // On demand it is the next one for all.
    site.ok(&["channel", "renew", "--allow-older"]);
    copied(world, "copy").unwrap();
    site.ok(&mirror);
    site.ok(yank);
}

/// What lies under a second URL is of the same transaction.
#[test]
fn a_yank_reaches_a_copy_of_a_repository_whose_key_was_changed() {
    let site = site();
    filled(&site);
    site.ok(&["repo", "rotate-key", "--suffix", "n"]);
    site.ok(&["repo", "rotate-key", "--finish"]);
    sign_ahead(&site);
    for (first, second) in [
        ("index.asc", "index-n.asc"),
        (
            "images/other/revisions.sjson",
            "images/other/revisions-n.sjson",
        ),
        (
            "images/web-node/revisions.sjson",
            "images/web-node/revisions-n.sjson",
        ),
    ] {
        let [first, second] = [first, second].map(|path| site.path("repo").join(path));
        std::fs::copy(first, second).unwrap();
    }
    let memory = site.path("memory").display().to_string();
    let mirror = ["--state", &memory, "repo", "copy", "mirror"];
    site.ok(&mirror);
    site.ok(&["repo", "yank", "web-node@2", "--why", "leaked"]);
    for _ in 0..2 {
        site.ok(&mirror);
        // The publisher knows what it signed there.
        site.ok(&["repo", "copy", "copy"]);
    }
    for path in ["copy", "mirror"] {
        assert!(!lists(&site, path, "revision=2"), "{path}");
        assert_eq!(faults(&site, path), Vec::<String>::new());
    }
}

/// A host that has seen what a wrong clock signed publishes, copies and syncs what came after it.
#[test]
fn who_has_seen_what_a_wrong_clock_signed_goes_on_at_once() {
    let world = World::new();
    filled(&world);
    sign_ahead(&world);
    put(&world, "repo", "ahead");
    let root = world.path("repo");
    let seen =
        |host: &str| RememberedRepository::of_dir(&world.path(host), &root, &Ui::silent()).unwrap();
    let open = |host: &str| {
        Repository::open(Settings {
            seen: Some(seen(host)),
            ..world.settings(&root)
        })
        .unwrap()
    };
    let (now, ui) = (Stamp::now(), Ui::silent());
    let stage = ui.stage("repository", "copy");
    let synced = |host: &str| {
        let state = State::read(&root).unwrap();
        let signers = Signers::default();
        record(
            &state,
            &signers,
            "web-node",
            (Some(&seen(host)), Age::Current),
        )
        .map_err(|error| error.render())
    };
    let [a, b, cloud] = ["a", "b", "cloud"].map(open);
    b.copy(&world.path("copy"), &stage).unwrap();
    cloud.copy(&world.path("other"), &stage).unwrap();
    a.yank("web-node", 2, false, &now, &ui).unwrap();
    // It waits for the list that was not signed anew, and forgets nothing by that.
    let promoted = |repository: &Repository| {
        let channels = ("stable", "nightly");
        let promoted = repository.promote("other", channels, &Stamp::now(), &ui);
        promoted.map(drop)
    };
    assert_eq!(promoted(&b).unwrap_err().kind(), Kind::Host);
    b.yank("web-node", 1, false, &now, &ui).unwrap();
    for host in ["b", "cloud", "cloud", "nobody"] {
        synced(host).unwrap();
    }
    cloud.copy(&world.path("other"), &stage).unwrap();
    a.renew_older(&now).unwrap();
    promoted(&b).unwrap();
    b.freeze("nightly", true, &now).unwrap();
    // No cloud offers again what was yanked.
    synced("cloud").unwrap();
    put(&world, "repo", "right");
    for path in [
        "images/web-node/revisions.sjson",
        ".imgforge/names/web-node.json",
    ] {
        std::fs::copy(world.path("ahead").join(path), root.join(path)).unwrap();
    }
    for host in ["cloud", "nobody"] {
        let text = synced(host).unwrap_err();
        assert!(
            text.contains("is not the one that was signed last"),
            "{text}"
        );
    }
    std::fs::remove_file(root.join(".imgforge/state.sjson")).unwrap();
    let text = synced("nobody").unwrap_err();
    assert!(text.contains("says that it is"), "{text}");
    put(&world, "ahead", "repo");
    let text = synced("cloud").unwrap_err();
    assert!(text.contains("of transaction 3"), "{text}");
    put(&world, "right", "repo");
    synced("cloud").unwrap();
}

/// Of what only was served, a copy has no records.
#[test]
fn nothing_replaces_no_copy_that_has_no_records() {
    let world = World::new();
    filled(&world);
    copied(&world, "copy").unwrap();
    std::fs::remove_dir_all(world.path("copy/.imgforge")).unwrap();
    put(&world, "copy", "served");
    put(&world, "repo", "kept");
    for gone in ["images", "channels", ".imgforge/names"] {
        std::fs::remove_dir_all(world.path("repo").join(gone)).unwrap();
    }
    for gone in [
        "index.asc",
        ".imgforge/state.sjson",
        ".imgforge/channels.json",
    ] {
        std::fs::remove_file(world.path("repo").join(gone)).unwrap();
    }
    let text = copied(&world, "copy").unwrap_err().render();
    assert!(text.contains("is gone, and its copy has it"), "{text}");
    assert!(lists(&world, "copy", "revision=2"));
    // Nor does another repository of the same key.
    put(&world, "kept", "repo");
    let other = Repository::open(world.settings(&world.path("other"))).unwrap();
    publish(&other, &world.disk("one"));
    put(&world, "other", "repo");
    let text = copied(&world, "copy").unwrap_err().render();
    assert!(text.contains("is another repository"), "{text}");
    assert!(world.path("copy/images/other/revisions.sjson").exists());
    put(&world, "kept", "repo");
    copied(&world, "copy").unwrap();
    assert_eq!(faults(&world, "copy"), Vec::<String>::new());
}

/// It was published to, and the repository was signed since.
#[test]
fn what_only_the_copy_listed_is_listed_no_more() {
    let world = World::new();
    let (repository, _) = filled(&world);
    copied(&world, "copy").unwrap();
    let copy = || Repository::open(world.settings(&world.path("copy"))).unwrap();
    let third = |p: &mut Publication<'_>| (p.channel, p.name) = ("third", "third");
    publish_with(&copy(), &world.disk("three"), third).unwrap();
    put(&world, "copy", "published");
    in_another_second();
    repository.renew(&Stamp::now()).unwrap();
    copied(&world, "copy").unwrap();
    // What an earlier imgforge left.
    for path in ["channels/third/index.asc", "images/third/revisions.sjson"] {
        let [from, to] = ["published", "copy"].map(|root| world.path(root).join(path));
        assert!(from.exists() && !to.exists(), "{path}");
        std::fs::copy(from, to).unwrap();
    }
    assert_ne!(faults(&world, "copy"), Vec::<String>::new());
    copied(&world, "copy").unwrap();
    assert_eq!(faults(&world, "copy"), Vec::<String>::new());
    assert!(world.path("copy/images/third/1").is_dir());
    copy().renew(&Stamp::now()).unwrap();
}

#[test]
fn a_copy_does_not_go_back_to_a_key_that_was_changed_since() {
    let world = World::new();
    let repository = world.repository();
    publish(&repository, &world.disk("one"));
    put(&world, "repo", "kept");
    repository.rotate(None, "2027", &Stamp::now()).unwrap();
    copied(&world, "lagging").unwrap();
    repository.finish_rotation(&Stamp::now()).unwrap();
    copied(&world, "copy").unwrap();
    put(&world, "repo", "later");
    put(&world, "kept", "repo");
    let text = copied(&world, "copy").unwrap_err().render();
    assert!(
        text.contains("is signed by") && text.contains("does not know"),
        "{text}"
    );
    assert_eq!(faults(&world, "copy"), Vec::<String>::new());
    put(&world, "later", "repo");
    copied(&world, "copy").unwrap();
    // The other way round the repository says that its key was changed.
    copied(&world, "lagging").unwrap();
    assert_eq!(faults(&world, "lagging"), Vec::<String>::new());
}
