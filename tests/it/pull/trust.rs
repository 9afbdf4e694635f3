//! Whose signature counts, and what an attacker in between can do: nothing.

use super::world::*;

fn none() -> Options<'static> {
    Options {
        arch: Some("x86_64"),
        ..Options::default()
    }
}

#[test]
fn the_first_time_somebody_has_to_name_the_key_and_then_it_is_remembered() {
    let (world, disk) = one_image();
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    let error = machine.find(&reference, &none()).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    let hint = text.split("--fingerprint ").nth(1).unwrap();
    let fingerprint = hint.split(',').next().unwrap();
    assert!(
        text.contains("which anybody could have put there") && fingerprint.len() == 40,
        "{text}"
    );

    let other = "0".repeat(40);
    let wrong = Options {
        fingerprint: Some(&other),
        ..none()
    };
    let text = machine.find(&reference, &wrong).unwrap_err().render();
    assert!(
        text.contains(&format!("the key {other} is not there")),
        "{text}"
    );
    assert!(
        machine.find(&reference, &none()).is_err(),
        "nothing was remembered"
    );

    let right = Options {
        fingerprint: Some(fingerprint),
        ..none()
    };
    machine.pull_to(&reference, &right).unwrap();
    machine.has(&disk);
    let notices = machine.notices.lock().unwrap().clone();
    assert!(
        notices[0].contains(&format!("if {fingerprint} signs it")),
        "{notices:?}"
    );
    server.forget();
    machine.pull_to(&reference, &none()).unwrap();
    let asked: Vec<_> = server.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(asked, ["/index.asc"], "the key is not fetched again");
}

#[test]
fn a_repository_that_another_key_signs_suddenly_is_refused() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let other = World::new();
    let disk = disk(&other, "other", &[3]);
    publish(&other, &disk, "web", "stable");
    let (mine, theirs) = (world.path("repo"), other.path("repo"));
    let taken_over = Arc::new(Mutex::new(false));
    let switch = Arc::clone(&taken_over);
    let server = Server::start(move |request, _| {
        let root = if *switch.lock().unwrap() {
            &theirs
        } else {
            &mine
        };
        Answer::directory(request, root)
    });
    let reference = format!("{}#web", server.text(""));
    machine.pull(&reference).unwrap();
    *taken_over.lock().unwrap() = true;
    std::fs::remove_file(machine.path("disk.raw")).unwrap();
    let error = machine.pull_to(&reference, &none()).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    assert!(text.contains("not among the trusted ones"), "{text}");
    machine.has_nothing();
}

#[test]
fn an_armoured_key_file_and_only_full_fingerprints_are_taken() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let armoured = machine.path("state/key.asc");
    let binary = std::fs::read(world.path("repo/imgforge.gpg")).unwrap();
    let armour = Program::new("gpg")
        .args(["--batch", "--enarmor"])
        .input(binary);
    let text = armour
        .text()
        .unwrap()
        .replace("PGP ARMORED FILE", "PGP PUBLIC KEY BLOCK");
    std::fs::write(&armoured, text).unwrap();
    let options = |key, fingerprint| Options {
        key,
        fingerprint,
        ..none()
    };
    machine
        .find(&reference, &options(Some(armoured.as_path()), None))
        .unwrap();
    let error = machine
        .find(&reference, &options(None, Some("ABCDEF12")))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    std::fs::write(&armoured, "no key").unwrap();
    let error = machine
        .find(&reference, &options(Some(armoured.as_path()), None))
        .unwrap_err();
    assert!(
        error.render().contains("not a file of public keys"),
        "{}",
        error.render()
    );
}

#[test]
fn a_tampered_index_is_refused_and_only_signed_text_counts() {
    let (world, _) = one_image();
    let index = world.path("repo/index.asc");
    let good = std::fs::read_to_string(&index).unwrap();
    let machine = Machine::new(&world);
    let reference = format!("{}#evil", world.path("repo").display());
    let entry = "[evil]\nfile=x.xz\narch=x86_64\nsize=512\n\n";
    for (bad, expected) in [
        (
            good.replace("revision=1", "revision=2"),
            "the text was changed",
        ),
        (format!("{entry}{good}"), "not a clear-signed text"),
        (format!("{good}\n{entry}"), "no image `evil`"),
        (entry.to_owned(), "not a clear-signed text"),
        // Only the first of two signed texts counts.
        (format!("{good}{good}"), "no image `evil`"),
    ] {
        std::fs::write(&index, &bad).unwrap();
        let text = machine
            .find(&reference, &machine.trusting())
            .unwrap_err()
            .render();
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn an_old_index_brings_no_old_images_back() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let index = world.path("repo/index.asc");
    let old = std::fs::read(&index).unwrap();
    let two = disk(&world, "two", &[7]);
    assert_eq!(publish(&world, &two, "web", "stable"), 2);
    machine.pull(&reference).unwrap();
    machine.pull(&format!("{reference}@1")).unwrap();
    machine.pull(&reference).unwrap();
    // With the time of a new one: an old text may be signed again.
    std::fs::write(&index, old).unwrap();
    super::replay::sign_again(&world, "index.asc", 60, |text| {
        text.replace("state=1\n", "state=2\n")
    });
    let error = machine.pull(&reference).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    assert!(
        text.contains("has gone back from revision 2 to 1"),
        "{text}"
    );
    machine.has(&two);
    // Again: an error must not be the way to forget.
    assert!(machine.pull(&reference).is_err());
    let allowed = Options {
        allow_older: true,
        ..machine.trusting()
    };
    machine.pull_to(&reference, &allowed).unwrap();
    machine.pull(&reference).unwrap();
}
