//! What lies under a second URL is what lies under the first one, whoever put it there.

use imgforge::repository::seen::RememberedRepository;

use super::forged::{copied, filled};
use super::keyed::Keyed;
use super::older::{in_another_second, put, site};
use super::world::*;
use crate::pull::replay::sign_again;

const INDEX: &str = "index-2027.asc";
const LIST: &str = "images/web-node/revisions-2027.sjson";

/// Names the wrong file wherever somebody looks, also after a publication that was interrupted.
#[track_caller]
fn refused(keyed: &Keyed, file: &str, expected: &str) {
    let error = copied(&keyed.world, "copy").unwrap_err().render();
    assert!(error.contains(file) && error.contains(expected), "{error}");
    for faults in [keyed.faults(), interrupted(keyed)] {
        assert!(
            faults.contains(file) && faults.contains(expected),
            "{faults}"
        );
    }
}

/// The faults while a journal is left that changes nothing: whoever can write there can leave one.
fn interrupted(keyed: &Keyed) -> String {
    let journal = keyed.world.path("repo/.imgforge/journal.json");
    std::fs::write(&journal, "{\"version\": 1, \"renames\": []}").unwrap();
    let faults = keyed.faults();
    std::fs::remove_file(journal).unwrap();
    faults
}

#[test]
fn an_old_text_under_a_second_url_is_refused() {
    for finished in [false, true] {
        let keyed = Keyed::new(2);
        let (world, ui) = (&keyed.world, Ui::silent());
        publish(&keyed.open(0), &world.disk("one"));
        publish(&keyed.open(0), &world.disk("two"));
        keyed.rotate(&keyed.open(0), 1, "2027").unwrap();
        put(world, "repo", "before");
        if finished {
            keyed.open(0).finish_rotation(&Stamp::now()).unwrap();
            put(world, "repo", "before");
        }
        in_another_second();
        let repository = keyed.open(usize::from(finished));
        let now = Stamp::now();
        repository.yank("web-node", 2, false, &now, &ui).unwrap();
        assert_eq!(keyed.faults(), "");
        copied(world, "copy").unwrap();
        let right = std::fs::read(world.path("copy").join(INDEX)).unwrap();
        let expected = match finished {
            true => "does not say what",
            false => "which was yanked",
        };
        for file in [INDEX, LIST] {
            let (from, to) = (
                world.path("before").join(file),
                world.path("repo").join(file),
            );
            let there = std::fs::read(&to).unwrap();
            std::fs::copy(from, &to).unwrap();
            refused(&keyed, file, expected);
            std::fs::write(&to, "nobody has signed this").unwrap();
            refused(&keyed, file, "");
            std::fs::write(&to, there).unwrap();
        }
        let copy = world.path("copy").join(INDEX);
        assert_eq!(std::fs::read(copy).unwrap(), right);
        copied(world, "copy").unwrap();
        // Nor does a file count that no index names.
        for stray in ["index-2026.asc", "images/web-node/revisions-2026.sjson"] {
            std::fs::copy(
                world.path("before").join(INDEX),
                world.path("repo").join(stray),
            )
            .unwrap();
            for faults in [keyed.faults(), interrupted(&keyed)] {
                assert!(faults.contains(stray), "{faults}");
            }
            copied(world, "copy").unwrap();
            assert!(!world.path("copy").join(stray).exists());
            std::fs::remove_file(world.path("repo").join(stray)).unwrap();
        }
        assert_eq!([keyed.faults(), interrupted(&keyed)], ["", ""]);
        // What is served has no records, and nothing to compare with.
        put(world, "repo", "served");
        std::fs::remove_dir_all(world.path("served/.imgforge")).unwrap();
        put(world, "served", "repo");
        assert_eq!(keyed.faults(), "");
    }
}

/// A killed publisher leaves what lies under a second URL half done, too.
#[test]
fn an_interrupted_publication_is_right_under_its_second_url() {
    let keyed = Keyed::new(2);
    let world = &keyed.world;
    publish(&keyed.open(0), &world.disk("one"));
    let (from, into) = (world.path("repo"), world.path(""));
    let count = std::sync::atomic::AtomicUsize::new(0);
    let killed = keyed.open(0).on_step(move |step| {
        if step == "rename an entry point" {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let to = into.join(format!("killed-{number}"));
            let copy = Program::new("cp").arg("-a").args([&from, &to]);
            copy.run().unwrap();
        }
    });
    keyed.rotate(&killed, 1, "2027").unwrap();
    publish(&killed, &world.disk("two"));
    killed.cancel_rotation(&Stamp::now()).unwrap();
    let left = (0..).map(|number| format!("killed-{number}"));
    let left: Vec<String> = left.take_while(|left| world.path(left).exists()).collect();
    assert!(left.len() > 20, "{left:?}");
    for one in left {
        put(world, &one, "repo");
        let faults = keyed.faults();
        assert!(!faults.contains("-2027"), "{one}: {faults}");
    }
}

/// A key that cannot sign leaves earlier texts: these are older, and no older than that.
#[test]
fn what_a_resting_key_has_left_is_no_older_than_its_copy() {
    let keyed = Keyed::new(2);
    let world = &keyed.world;
    publish(&keyed.open(0), &world.disk("one"));
    publish_with(&keyed.open(0), &world.disk("one"), |p| {
        p.channel = "nightly"
    })
    .unwrap();
    keyed.rotate(&keyed.open(0), 1, "2027").unwrap();
    put(world, "repo", "before");
    in_another_second();
    publish(&keyed.open(0), &world.disk("two"));
    keyed.home.gpg(&["--delete-secret-keys", &keyed.keys[1]]);
    publish(&keyed.open(0), &world.disk("three"));
    assert_eq!(keyed.faults(), "");
    let seen =
        RememberedRepository::of_dir(&world.path("seen"), &world.path("repo"), &Ui::silent())
            .unwrap();
    let copied_to = |to: &str| {
        let ui = Ui::silent().stage("repository", "copy");
        let (repo, to) = (world.path("repo"), world.path(to));
        imgforge::repository::copy(&repo, &to, &Signers::default(), Some(&seen), &ui)
    };
    copied_to("copy").unwrap();
    let there = std::fs::read(world.path("repo").join(INDEX)).unwrap();
    std::fs::copy(
        world.path("before").join(INDEX),
        world.path("repo").join(INDEX),
    )
    .unwrap();
    let error = copied_to("other").unwrap_err().render();
    assert!(error.contains("has seen a newer one"), "{error}");
    let error = copied(world, "copy").unwrap_err().render();
    assert!(error.contains("is older than its copy"), "{error}");
    // Of another channel.
    let nightly = world.path("repo/channels/nightly").join(INDEX);
    let right = std::fs::read(&nightly).unwrap();
    std::fs::write(&nightly, &there).unwrap();
    refused(&keyed, INDEX, "is about something else than");
    std::fs::write(&nightly, right).unwrap();
    std::fs::write(world.path("repo").join(INDEX), there).unwrap();
    copied_to("copy").unwrap();
    assert_eq!(keyed.faults(), "");
}

/// Somebody has removed the public key: what signs is what the indexes say, not the coming key.
#[test]
fn the_old_key_of_a_rotation_goes_on_where_the_public_key_is_gone() {
    let world = World::new();
    let (repository, now) = (world.repository(), Stamp::now());
    publish(&repository, &world.disk("one"));
    repository.rotate(None, "2027", &now).unwrap();
    let newest = || {
        let signer = Signer::own(&world.path("state"), &Ui::silent()).unwrap();
        Repository::open(Settings::new(world.path("repo"), signer))
    };
    let right = std::fs::read(repository.keyring()).unwrap();
    std::fs::remove_file(repository.keyring()).unwrap();
    newest().unwrap().renew(&now).unwrap();
    assert_eq!(std::fs::read(repository.keyring()).unwrap(), right);
    std::fs::remove_file(repository.keyring()).unwrap();
    newest().unwrap().cancel_rotation(&now).unwrap();
    assert_eq!(std::fs::read(repository.keyring()).unwrap(), right);

    let keyed = Keyed::new(3);
    publish(&keyed.open(0), &keyed.world.disk("one"));
    keyed.rotate(&keyed.open(0), 1, "2027").unwrap();
    let key = keyed.world.path("repo/imgforge.gpg");
    std::fs::remove_file(&key).unwrap();
    keyed.open_at("repo", 2).unwrap_err();
    assert!(!key.exists());
    publish(&keyed.open(1), &keyed.world.disk("two"));
    assert_eq!(keyed.signer_of("index.asc"), 0);
    assert_eq!(keyed.faults(), "");
}

/// Whoever can write to the repository can sign with a key of his own that another one was retired.
#[test]
fn a_key_that_nobody_knows_takes_no_place_by_its_own_word() {
    let keyed = Keyed::new(2);
    let world = &keyed.world;
    publish(&keyed.open(0), &world.disk("one"));
    copied(world, "copy").unwrap();
    keyed.rotate(&keyed.open(0), 1, "2027").unwrap();
    copied(world, "told").unwrap();
    keyed.open(0).finish_rotation(&Stamp::now()).unwrap();
    let index = std::fs::read(world.path("copy/index.asc")).unwrap();
    let error = copied(world, "copy").unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    for words in [
        "does not say that this one was to come",
        "`fingerprint:`",
        &keyed.keys[0],
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(std::fs::read(world.path("copy/index.asc")).unwrap(), index);
    // A copy that was told so by its own key, and one whose owner says so.
    copied(world, "told").unwrap();
    let signers = Signers {
        fingerprint: Some(keyed.keys[1].clone()),
        ..Signers::default()
    };
    let (repo, to) = (world.path("repo"), world.path("copy"));
    let ui = Ui::silent().stage("repository", "copy");
    imgforge::repository::copy(&repo, &to, &signers, None, &ui).unwrap();
    assert_ne!(std::fs::read(world.path("copy/index.asc")).unwrap(), index);
}

/// One key signs both, and an operator signs the first one again by hand.
#[test]
fn an_alias_in_an_index_is_no_other_text_under_its_second_url() {
    let site = site();
    filled(&site);
    site.ok(&["repo", "rotate-key", "--suffix", "n"]);
    site.ok(&["repo", "rotate-key", "--finish"]);
    sign_again(&site, "index.asc", 0, |text| {
        text.replacen("\nosinfo=", "\naliases=www\nosinfo=", 1)
    });
    site.ok(&["repo", "verify"]);
    site.ok(&["repo", "copy", "copy"]);
    // Any verb makes them equal again.
    site.ok(&["channel", "freeze", "stable", "--why", "x"]);
    let text = |path: &str| std::fs::read_to_string(site.path("repo").join(path)).unwrap();
    assert!(text("index-n.asc").contains("aliases=www"));
    assert_eq!(text("index-n.asc"), text("index.asc"));
}

#[test]
fn a_lost_key_of_a_second_url_is_written_again() {
    let site = site();
    filled(&site);
    site.ok(&["repo", "rotate-key", "--suffix", "n"]);
    for finished in [false, true] {
        let key = site.path("repo/imgforge-n.gpg");
        let kept = Keyring::of_file(&key, None).unwrap().fingerprints;
        std::fs::remove_file(&key).unwrap();
        site.fails(4, &["repo", "verify"]);
        site.ok(&["channel", "freeze", "stable", "--why", "x"]);
        site.ok(&["channel", "thaw", "stable", "--why", "x"]);
        site.ok(&["repo", "verify"]);
        site.ok(&["repo", "copy", "copy"]);
        assert_eq!(Keyring::of_file(&key, None).unwrap().fingerprints, kept);
        if !finished {
            site.ok(&["repo", "rotate-key", "--finish"]);
        }
    }
}
