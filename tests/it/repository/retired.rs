//! A key that signs no more: nothing counts of what it says, and nothing stays of it that must not.

use imgforge::repository::seen::RememberedRepository;
use imgforge::units::Span;

use super::keyed::Keyed;
use super::world::*;

#[test]
fn what_is_yanked_is_in_no_index_of_a_key_that_cannot_sign() {
    let keyed = Keyed::new(2);
    let (world, home, key) = (&keyed.world, &keyed.home, keyed.keys[1].as_str());
    let repository = keyed.open(0);
    publish(&repository, &world.disk("one"));
    publish(&repository, &world.disk("two"));
    keyed.rotate(&repository, 1, "x").unwrap();
    let secret = home.program().args(["--export-secret-keys", key]);
    let secret = secret.output().unwrap();
    home.gpg(&["--delete-secret-keys", key]);
    let repository = keyed.open(0);
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository.yank("web-node", 2, false, &now, &ui).unwrap();
    for end in ["x.asc", "x.sjson"] {
        assert_eq!(keyed.ending(end), Vec::<String>::new());
    }
    let told = keyed.notices.lock().unwrap().join("\n");
    assert!(told.contains("its readers find nothing"), "{told}");
    assert_eq!(keyed.faults(), "");
    home.program().arg("--import").input(secret).run().unwrap();
    publish(&keyed.open(0), &world.disk("three"));
    assert_eq!(keyed.signer_of("index-x.asc"), 1);
    keyed.open(1).finish_rotation(&now).unwrap();
    assert_eq!(keyed.faults(), "");
}

#[test]
fn a_key_that_was_rotated_away_signs_no_more() {
    let keyed = Keyed::new(2);
    let (world, now, root) = (&keyed.world, Stamp::now(), keyed.world.path("repo"));
    let settings = |key: usize| Settings {
        seen: Some(
            RememberedRepository::of_dir(&world.path("seen"), &root, &Ui::silent()).unwrap(),
        ),
        ..Settings::new(
            &root,
            Signer::configured_in(&keyed.keys[key], &keyed.home.0).unwrap(),
        )
    };
    let open = |key: usize| Repository::open(settings(key));
    let repository = open(0).unwrap();
    publish(&repository, &world.disk("one"));
    keyed.rotate(&repository, 1, "x").unwrap();
    let put = |from: &str, to: &str| {
        drop(std::fs::remove_dir_all(world.path(to)));
        let copy = Program::new("cp").arg("-a").arg(world.path(from));
        copy.arg(world.path(to)).run().unwrap();
    };
    put("repo", "kept");
    // What was said of a rotation counts for its time.
    let past = Settings {
        valid_for: Span::seconds(0),
        ..settings(0)
    };
    Repository::open(past).unwrap().renew(&now).unwrap();
    let text = keyed.open_at("repo", 1).unwrap_err().render();
    assert!(text.contains("is signed by the key"), "{text}");
    open(0).unwrap().renew(&now).unwrap();
    open(1).unwrap().finish_rotation(&now).unwrap();

    put("kept", "repo");
    let text = open(1).unwrap_err().render();
    assert!(text.contains("was finished here"), "{text}");
    // Somebody has the old key.
    keyed.open(0).renew(&now).unwrap();
    let text = open(1).unwrap_err().render();
    assert!(text.contains("was finished here"), "{text}");
    let text = open(0).unwrap().renew(&now).unwrap_err().render();
    assert!(text.contains("which was retired here"), "{text}");
    open(0).unwrap().renew_older(&now).unwrap();
    open(1).unwrap().renew(&now).unwrap();
}

/// An older imgforge finished a rotation, and left the index of a channel without images as it was.
#[test]
fn an_index_of_nothing_by_the_retired_key_ends_no_verb() {
    let keyed = Keyed::new(2);
    let (world, now, ui) = (&keyed.world, Stamp::now(), Ui::silent());
    let repository = keyed.open(0);
    publish(&repository, &world.disk("one"));
    let emptied = publish_with(&repository, &world.disk("two"), |p| p.channel = "emptied");
    let gone = emptied.unwrap().revision;
    repository.yank("web-node", gone, false, &now, &ui).unwrap();
    keyed.rotate(&repository, 1, "x").unwrap();
    repository.finish_rotation(&now).unwrap();
    let emptied = "channels/emptied/index.asc";
    let make_older = |left: &str| {
        for path in ["index.asc", emptied, "images/web-node/revisions.sjson"] {
            let key = usize::from(path != left);
            keyed.make_older(&format!("repo/{path}"), key);
        }
    };
    // One that lists something is another matter.
    make_older("index.asc");
    let text = keyed.open(1).renew(&now).unwrap_err().render();
    assert!(text.contains("not among the trusted ones"), "{text}");
    make_older(emptied);
    keyed.open(1).renew(&now).unwrap();
    let told = keyed.notices.lock().unwrap().join("\n");
    assert!(told.contains("`emptied` has no image"), "{told}");
    assert_eq!(keyed.signer_of(emptied), 1);
    assert_eq!(keyed.faults(), "");
    // What is signed as a whole names it.
    std::fs::copy(
        world.path("repo/index.asc"),
        world.path("repo").join(emptied),
    )
    .unwrap();
    keyed.open(1).renew(&now).unwrap_err();
}
