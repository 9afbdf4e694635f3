//! Rotations, one after another, those that come to nothing, and those that nobody began.

use super::forged::change;
use super::keyed::Keyed;
use super::world::*;

#[test]
fn one_rotation_follows_another_and_a_retired_key_signs_nothing() {
    let keyed = Keyed::new(4);
    let (world, now) = (&keyed.world, Stamp::now());
    let mut repository = keyed.open(0);
    publish_with(&repository, &world.disk("one"), |p| p.channel = "nightly").unwrap();
    publish(&repository, &world.disk("one"));
    let emptied = publish_with(&repository, &world.disk("gone"), |p| p.channel = "emptied");
    let gone = emptied.unwrap().revision;
    let ui = Ui::silent();
    repository.yank("web-node", gone, false, &now, &ui).unwrap();
    for to in 1..4 {
        let suffix = format!("s{to}");
        keyed.rotate(&repository, to, &suffix).unwrap();
        let second = format!("index-{suffix}.asc");
        assert_eq!(
            (keyed.signer_of("index.asc"), keyed.signer_of(&second)),
            (to - 1, to)
        );
        // Whichever of the two is configured.
        publish(&keyed.open(to), &world.disk(&suffix));
        assert_eq!(
            (keyed.signer_of("index.asc"), keyed.signer_of(&second)),
            (to - 1, to)
        );
        let done = repository.finish_rotation(&now).unwrap();
        assert_eq!(done.to, keyed.keys[to]);
        repository = keyed.open(to);
        publish(&repository, &world.disk(&format!("{suffix} after")));
        assert_eq!(
            (keyed.signer_of("index.asc"), keyed.signer_of(&second)),
            (to, to)
        );
        assert_eq!(keyed.signer_of("channels/emptied/index.asc"), to);
        for older in 1..to {
            for end in ["asc", "sjson", "gpg"] {
                assert_eq!(
                    keyed.ending(&format!("s{older}.{end}")),
                    Vec::<String>::new()
                );
            }
        }
        // Also where what is not signed does not say so any more.
        change(&world.path("repo/.imgforge/keys.json"), |keys| {
            keys["retired"] = json!([])
        });
        for retired in 0..to {
            let error = keyed
                .rotate(&repository, retired, "again")
                .unwrap_err()
                .render();
            assert!(error.contains("signs already, or has signed"), "{error}");
        }
        assert_eq!(keyed.faults(), "");
    }
}

#[test]
fn a_second_key_that_cannot_sign_ends_no_verb_and_can_be_taken_back() {
    let keyed = Keyed::new(4);
    let (world, home, now) = (&keyed.world, &keyed.home, Stamp::now());
    let repository = keyed.open(0);
    publish(&repository, &world.disk("one"));
    let (expired, revoked, missing) = (&keyed.keys[1], &keyed.keys[2], &keyed.keys[3]);
    let secret = home
        .program()
        .args(["--export-secret-keys", missing])
        .output()
        .unwrap();
    let expire = || {
        let then = ["--faked-system-time", "20200201T000000!"];
        home.gpg(&[&then[..], &["--quick-set-expire", expired, "1d"]].concat());
    };
    let revoke = || {
        let file = home.0.join(format!("openpgp-revocs.d/{revoked}.rev"));
        let text = std::fs::read_to_string(file)
            .unwrap()
            .replace(":-----", "-----");
        home.program().arg("--import").input(text).run().unwrap();
    };
    let forget = || {
        home.gpg(&["--delete-secret-and-public-key", missing]);
    };
    let ends: [(&dyn Fn(), &str); 3] = [
        (&expire, "has expired"),
        (&revoke, "is revoked"),
        (&forget, "gpg has no key"),
    ];
    for (number, (end, why)) in ends.into_iter().enumerate() {
        let key = number + 1;
        let suffix = format!("s{key}");
        keyed.rotate(&repository, key, &suffix).unwrap();
        let second = world.path("repo").join(format!("index-{suffix}.asc"));
        let before = std::fs::read(&second).unwrap();
        end();
        let repository = keyed.open(0);
        assert_eq!(
            publish(&repository, &world.disk(&suffix)).revision,
            key as u64 + 1
        );
        repository.freeze("stable", true, &now).unwrap();
        repository.freeze("stable", false, &now).unwrap();
        let told = keyed.notices.lock().unwrap().join("\n");
        assert!(
            told.contains(why) && told.contains("--cancel"),
            "{why}: {told}"
        );
        assert_eq!(std::fs::read(&second).unwrap(), before, "{why}");
        let error = repository.finish_rotation(&now).unwrap_err().render();
        assert!(error.contains(why) && error.contains("--cancel"), "{error}");
        if number == 2 {
            // What it could not sign, it signs as soon as it is there again.
            home.program()
                .arg("--import")
                .input(secret.clone())
                .run()
                .unwrap();
            publish(&keyed.open(0), &world.disk(&suffix));
            assert_ne!(std::fs::read(&second).unwrap(), before);
            forget();
        }
        let gone = repository.cancel_rotation(&now).unwrap();
        assert_eq!((&gone.from, &gone.to), (&keyed.keys[0], &keyed.keys[key]));
        for end in ["asc", "sjson", "gpg"] {
            assert_eq!(
                keyed.ending(&format!("{suffix}.{end}")),
                Vec::<String>::new()
            );
        }
        assert!(repository.cancel_rotation(&now).is_err());
        assert_eq!(keyed.faults(), "");
    }
}

#[test]
fn no_other_key_of_the_operator_signs_a_repository() {
    let keyed = Keyed::new(2);
    let (world, now) = (&keyed.world, Stamp::now());
    let repository = keyed.open(0);
    publish(&repository, &world.disk("one"));
    let other = keyed.open_at("other", 1).unwrap();
    publish(&other, &world.disk("one"));
    let (root, other) = (repository.path(), other.path());
    let keys = json!({
        "version": 1, "main": keyed.keys[0], "retired": [],
        "seconds": [{"suffix": "x", "fingerprint": keyed.keys[1], "own": false}],
    });
    std::fs::copy(other.join("index.asc"), root.join("index-x.asc")).unwrap();
    std::fs::write(root.join(".imgforge/keys.json"), keys.to_string()).unwrap();
    repository.renew(&now).unwrap();
    publish(&repository, &world.disk("two"));
    let same = |path: &str, of: &Path| {
        let [ours, theirs] = [&root.join(path), &of.join("index.asc")].map(std::fs::read);
        ours.unwrap() == theirs.unwrap()
    };
    assert!(same("index-x.asc", other), "it was not signed");
    assert_eq!(keyed.ending("x.sjson"), Vec::<String>::new());
    assert!(repository.finish_rotation(&now).is_err());
    std::fs::remove_file(root.join("index-x.asc")).unwrap();

    // Nor by its public key, with or without an index.
    let own = std::fs::read(root.join("imgforge.gpg")).unwrap();
    std::fs::copy(other.join("imgforge.gpg"), root.join("imgforge.gpg")).unwrap();
    change(&root.join(".imgforge/keys.json"), |keys| {
        keys["main"] = keyed.keys[1].clone().into();
        keys["seconds"][0]["fingerprint"] = keyed.keys[0].clone().into();
    });
    let index = std::fs::read(root.join("index.asc")).unwrap();
    let refused = || {
        let text = keyed.open_at("repo", 0).unwrap_err().render();
        let told = format!(
            "is signed by the key {}, not by {}",
            keyed.keys[1], keyed.keys[0]
        );
        assert!(text.contains(&told) && text.contains("hint: "), "{text}");
    };
    refused();
    // Our key has signed that index, and it does not say that the other signs.
    std::fs::write(root.join("index-x.asc"), &index).unwrap();
    refused();
    std::fs::copy(other.join("index.asc"), root.join("index.asc")).unwrap();
    refused();
    std::fs::write(root.join("index.asc"), index).unwrap();
    std::fs::write(root.join("imgforge.gpg"), own).unwrap();
    std::fs::remove_file(root.join("index-x.asc")).unwrap();
    std::fs::remove_file(root.join(".imgforge/keys.json")).unwrap();
    publish(&keyed.open(0), &world.disk("three"));
    assert_eq!(keyed.faults(), "");
}

/// imgforge's own keys lie in one directory, whichever repositories they sign.
#[test]
fn no_other_key_of_imgforge_signs_a_repository() {
    let world = World::new();
    let repository = world.repository();
    publish(&repository, &world.disk("one"));
    let open_other = || Repository::open(world.settings(&world.path("other")));
    let other = open_other().unwrap();
    publish(&other, &world.disk("one"));
    other.rotate(None, "2027", &Stamp::now()).unwrap();
    other.finish_rotation(&Stamp::now()).unwrap();
    // The key that an older repository has goes on, and so does the newest one.
    let newest = Signer::own(&world.path("state"), &Ui::silent()).unwrap();
    let open = |path: &str| Repository::open(Settings::new(world.path(path), newest.clone()));
    publish(&open("repo").unwrap(), &world.disk("two"));
    publish(&open("other").unwrap(), &world.disk("two"));
    let root = repository.path();
    std::fs::copy(other.path().join("imgforge.gpg"), root.join("imgforge.gpg")).unwrap();
    let error = Repository::open(world.settings(root)).unwrap_err().render();
    assert!(error.contains("is signed by the key"), "{error}");
}

#[test]
fn an_index_of_another_repository_counts_for_nothing() {
    let keyed = Keyed::new(1);
    let (world, now) = (&keyed.world, Stamp::now());
    let (repository, other) = (keyed.open(0), keyed.open_at("other", 0).unwrap());
    publish(&repository, &world.disk("one"));
    publish(&other, &world.disk("evil"));
    let files = [
        "index.asc",
        "images/web-node/revisions.sjson",
        ".imgforge/names/web-node.json",
    ];
    for (wrong, expected) in [
        (&files[..1], "is the index of another repository"),
        (&files[1..], "is the list of another repository"),
        (&files[..], ""),
    ] {
        let root = repository.path();
        let right = files.map(|file| std::fs::read(root.join(file)).unwrap());
        for file in wrong {
            std::fs::copy(other.path().join(file), root.join(file)).unwrap();
        }
        for tried in [
            repository.renew(&now).map(drop),
            publish_with(&repository, &world.disk("two"), |_| {}).map(drop),
        ] {
            let text = tried.unwrap_err().render();
            assert!(text.contains(expected) && text.contains("hint: "), "{text}");
        }
        assert_ne!(keyed.faults(), "");
        for (file, bytes) in files.iter().zip(right) {
            std::fs::write(root.join(file), bytes).unwrap();
        }
    }
    repository.renew(&now).unwrap();
    assert_eq!(keyed.faults(), "");
}

#[test]
fn a_rotation_that_an_older_imgforge_began_is_confirmed_or_taken_back() {
    let keyed = Keyed::new(3);
    let (world, now) = (&keyed.world, Stamp::now());
    let repository = keyed.open(0);
    publish(&repository, &world.disk("one"));
    let older = |second: usize, suffix: &str| {
        keyed.make_older("repo/index.asc", 0);
        keyed.make_older("repo/images/web-node/revisions.sjson", 0);
        keyed.make_older(&format!("repo/index-{suffix}.asc"), second);
    };
    keyed.rotate(&repository, 1, "2026").unwrap();
    older(1, "2026");
    let command = format!("imgforge repo rotate-key {} --suffix 2026", keyed.keys[1]);
    for tried in [
        repository.renew(&now).map(drop),
        publish_with(&repository, &world.disk("two"), |_| {}).map(drop),
        repository.finish_rotation(&now).map(drop),
        keyed.rotate(&repository, 2, "2027"),
        keyed.rotate(&repository, 1, "2027"),
    ] {
        let text = tried.unwrap_err().render();
        assert!(
            text.contains(&command) && text.contains("--cancel"),
            "{text}"
        );
    }
    repository.cancel_rotation(&now).unwrap();
    publish(&repository, &world.disk("two"));

    keyed.rotate(&repository, 1, "2026").unwrap();
    older(1, "2026");
    keyed.rotate(&repository, 1, "2026").unwrap();
    publish(&keyed.open(1), &world.disk("three"));
    assert_eq!(
        (
            keyed.signer_of("index.asc"),
            keyed.signer_of("index-2026.asc")
        ),
        (0, 1)
    );
    repository.finish_rotation(&now).unwrap();
    assert_eq!(keyed.faults(), "");

    // One that went on to sign with a key that it had retired.
    let repository = keyed.open(1);
    keyed.rotate(&repository, 2, "2027").unwrap();
    repository.finish_rotation(&now).unwrap();
    keyed.make_older("repo/index.asc", 2);
    keyed.make_older("repo/images/web-node/revisions.sjson", 2);
    std::fs::copy(
        world.path("repo/index.asc"),
        world.path("repo/index-2026.asc"),
    )
    .unwrap();
    keyed.make_older("repo/index-2026.asc", 1);
    change(&world.path("repo/.imgforge/keys.json"), |keys| {
        let second = json!({"suffix": "2026", "fingerprint": keyed.keys[1], "own": false});
        keys["seconds"].as_array_mut().unwrap().insert(0, second);
    });
    publish(&keyed.open(2), &world.disk("four"));
    assert_eq!(keyed.ending("2026.asc"), Vec::<String>::new());
    assert_eq!(keyed.signer_of("index-2027.asc"), 2);
    assert_eq!(keyed.faults(), "");
}
