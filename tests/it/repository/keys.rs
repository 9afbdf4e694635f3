//! Who signs, and whose signatures count.

use super::world::*;
use crate::patience::wait_for;

#[test]
fn a_configured_key_with_a_signing_subkey_signs_and_others_entries_stay() {
    let world = World::new();
    let home = Home::new(world.path("gnupg"));
    home.gpg(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "cert",
        "never",
    ]);
    home.gpg(&[
        "--quick-add-key",
        &home.fingerprint(),
        "ed25519",
        "sign",
        "never",
    ]);
    let signer = Signer::configured_in("images@example.org", &home.0).unwrap();
    assert!(home.agent_runs(), "the user's own agent is left alone");
    home.stop_agent();

    let root = world.path("repo");
    let settings = Settings {
        signer,
        ..world.settings(&root)
    };
    let repository = Repository::open(settings).unwrap();
    let foreign = "[other]\nname=Theirs\nfile=other.xz\narch=aarch64\nrevision=4\nsize=512\n\
                   notes[de]=eins\n \n zwei\nunknown[key]=value\n\n";
    let signed = home
        .program()
        .args(["--digest-algo", "SHA512", "--clearsign"])
        .input(foreign);
    std::fs::write(root.join("index.asc"), signed.output().unwrap()).unwrap();
    home.stop_agent();

    let disk = world.disk("one");
    publish(&repository, &disk);
    assert!(!home.agent_runs(), "an agent of ours is gone");
    world.fetched_equals(&repository, "stable", "web-node", &disk);
    assert!(
        std::fs::read_to_string(root.join("index.asc"))
            .unwrap()
            .contains(foreign)
    );

    let error = Signer::configured_in("nobody@example.org", &home.0).unwrap_err();
    let text = error.render();
    assert!(
        text.contains("gpg knows no key `nobody@example.org`"),
        "{text}"
    );
}

#[test]
fn expired_and_revoked_keys_are_refused() {
    let world = World::new();
    let home = Home::new(world.path("gnupg"));
    let long_ago = ["--faked-system-time", "20200101T000000!"];
    let then = |args: &[&str]| home.gpg(&[&long_ago, args].concat());
    then(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "sign",
        "1d",
    ]);
    let text = world.path("text");
    std::fs::write(&text, "[a]\n").unwrap();
    let (signed, keyring) = (world.path("signed"), world.path("keyring"));
    let sign = |when: &[&str]| {
        let out = [
            "--output",
            signed.to_str().unwrap(),
            "--clearsign",
            text.to_str().unwrap(),
        ];
        home.gpg(&[when, &out].concat());
        home.gpg(&["--output", keyring.to_str().unwrap(), "--export"]);
        std::fs::read(&signed).unwrap()
    };
    let error = verify(&sign(&long_ago), &keyring).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Gate, "the key that signed has expired")
    );

    let key = home.fingerprint();
    home.gpg(&["--quick-set-expire", &key, "0"]);
    assert_eq!(verify(&sign(&[]), &keyring).unwrap().text, "[a]\n");

    let signed = sign(&[]);
    let certificate = home.0.join(format!("openpgp-revocs.d/{key}.rev"));
    let certificate = std::fs::read_to_string(certificate)
        .unwrap()
        .replace(":-----", "-----");
    home.program()
        .arg("--import")
        .input(certificate)
        .run()
        .unwrap();
    home.gpg(&["--output", keyring.to_str().unwrap(), "--export"]);
    let error = verify(&signed, &keyring).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Gate, "the key that signed is revoked")
    );
}

/// gpg verifies the signature of a file in the frame of a clear-signed text, and the reverse.
#[test]
fn what_was_signed_as_a_file_is_no_index() {
    let world = World::new();
    let home = Home::new(world.path("gnupg"));
    home.gpg(&["--quick-gen-key", "images", "ed25519", "sign", "never"]);
    let export = home.program().arg("--export").output().unwrap();
    let keyring = Keyring::read(&export, None).unwrap();
    let sign = |how: &str, text: &str| {
        let sign = home.program().args(["--digest-algo", "SHA512", "--armor"]);
        let signed = sign.arg(how).input(text).text().unwrap();
        let at = signed.find("-----BEGIN PGP SIGNATURE").unwrap();
        signed[at..].to_owned()
    };
    let file = world.path("file");
    let frame = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n";
    let text = "[a]\r\nfile=b";
    std::fs::write(&file, text).unwrap();
    let lines = text.replace('\r', "");
    for (how, as_text) in [("--clearsign", true), ("--detach-sign", false)] {
        let signature = sign(how, text);
        let framed = format!("{frame}{lines}\n{signature}");
        let clear = imgforge::gpg::verify(framed.as_bytes(), &keyring).map(drop);
        let beside = verify_detached(&file, signature.as_bytes(), &keyring).map(drop);
        let (right, wrong) = if as_text {
            (clear, beside)
        } else {
            (beside, clear)
        };
        right.unwrap();
        let error = wrong.unwrap_err();
        assert!(
            error.message().contains("of another kind"),
            "{how}: {error}"
        );
    }
}

#[test]
fn a_long_state_path_works_and_no_agent_stays() {
    let world = World::new();
    let state = world.path(&"a-long-name/".repeat(9));
    let notices = Arc::new(Mutex::new(vec![]));
    let ui = Ui::new(Notices(Arc::clone(&notices)));
    let signer = Signer::own(&state, &ui).unwrap();
    Signer::own(&state, &ui).unwrap();
    assert_eq!(notices.lock().unwrap().len(), 1, "said once");
    let settings = Settings {
        signer,
        ..world.settings(&world.path("repo"))
    };
    publish(&Repository::open(settings).unwrap(), &world.disk("one"));

    let mine = world.dir.path().to_string_lossy().into_owned();
    let agents = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|dir| std::fs::read(dir.path().join("cmdline")).ok())
            .filter(|line| line.starts_with(b"gpg-agent"))
            .any(|line| String::from_utf8_lossy(&line).contains(&mine))
    };
    wait_for("the agent's end", || !agents());
}

/// Whoever can write to the directory can change its key after it was looked at.
#[test]
fn a_publisher_who_names_nobody_goes_by_the_own_key() {
    let world = World::new();
    publish(&world.repository(), &world.disk("one"));
    let stranger = Signer::own(&world.path("other"), &Ui::silent()).unwrap();
    let fake = Repository::open(Settings::new(world.path("fake"), stranger)).unwrap();
    publish(&fake, &world.disk("evil"));
    let repository = world.repository();
    let [own, other] = [&repository, &fake].map(|one| std::fs::read(one.keyring()).unwrap());
    std::fs::write(repository.keyring(), [own, other].concat()).unwrap();
    for file in [
        "index.asc",
        "images/web-node/revisions.sjson",
        ".imgforge/names/web-node.json",
    ] {
        std::fs::copy(fake.path().join(file), repository.path().join(file)).unwrap();
    }
    let forged = std::fs::read(fake.path().join("index.asc")).unwrap();
    for error in [
        repository.renew(&Stamp::now()).unwrap_err(),
        publish_with(&repository, &world.disk("two"), |_| {}).unwrap_err(),
    ] {
        let text = error.render();
        assert!(text.contains("not among the trusted ones"), "{text}");
    }
    let left = std::fs::read(repository.path().join("index.asc")).unwrap();
    assert_eq!(left, forged, "nothing of it is signed");
}

#[test]
fn a_key_is_changed_with_a_time_in_which_both_work() {
    let world = World::new();
    let repository = world.repository();
    let (one, two, three) = (world.disk("one"), world.disk("two"), world.disk("three"));
    publish_with(&repository, &one, |p| {
        p.companions = vec![Companion::bytes("provenance.json", "{}\n").signed()];
    })
    .unwrap();
    publish_with(&repository, &one, |p| p.channel = "nightly").unwrap();
    let root = repository.path().display().to_string();
    let lists = |index: &str, key: &str| {
        world.sources(&format!(
            "[t]\nuri=file://{root}/{index}\ngpgkey=file://{key}\n"
        ));
        let list = world
            .client("virt-builder")
            .args(["--list", "--list-format", "json"]);
        let list = list.json::<Value>().ok()?;
        let templates = list["templates"].as_array().unwrap();
        Some(templates[0]["os-version"].as_str().unwrap().to_owned())
    };
    let old_key = world.path("old.gpg").display().to_string();
    std::fs::copy(repository.keyring(), &old_key).unwrap();
    assert!(
        repository.finish_rotation(&Stamp::now()).is_err(),
        "none was begun"
    );

    let begun = repository.rotate(None, "2027", &Stamp::now()).unwrap();
    assert!(
        begun.index.ends_with("/index-2027.asc") && begun.from != begun.to,
        "{begun:?}"
    );
    assert!(
        repository.rotate(None, "2028", &Stamp::now()).is_err(),
        "one at a time"
    );
    let new_key = format!("{root}/imgforge-2027.gpg");
    let name = || Some("web-node".to_owned());
    assert_eq!(lists("index.asc", &old_key), name());
    assert_eq!(lists("index-2027.asc", &new_key), name());
    assert_eq!(
        lists("channels/nightly/index-2027.asc", &new_key).as_deref(),
        Some("web-node-nightly")
    );
    assert_eq!(
        lists("index-2027.asc", &old_key),
        None,
        "one signature only"
    );

    // Both follow every publication, whoever opens the repository.
    let again = world.repository();
    assert_eq!(publish(&again, &two).revision, 2);
    for (index, key) in [("index.asc", &old_key), ("index-2027.asc", &new_key)] {
        assert_eq!(lists(index, key), name());
        let out = world.path("two.img");
        let client = world
            .client("virt-builder")
            .args(["web-node", "-o"])
            .arg(&out);
        let args = ["--no-delete-on-failure", "--no-sync"];
        client.args(args).run().unwrap_err();
        Program::new("cmp").args([&out, &two.raw]).run().unwrap();
        std::fs::remove_file(out).unwrap();
    }

    let done = again.finish_rotation(&Stamp::now()).unwrap();
    assert_eq!((&done.to, done.finished), (&begun.to, true));
    assert_eq!(
        std::fs::read(again.keyring()).unwrap(),
        std::fs::read(&new_key).unwrap()
    );
    assert_eq!(lists("index.asc", &old_key), None);
    for index in ["index.asc", "index-2027.asc"] {
        assert_eq!(lists(index, &new_key), name());
    }
    let error = publish_with(&repository, &three, |_| {}).unwrap_err();
    assert!(
        error.render().contains("the signing key changed"),
        "{}",
        error.render()
    );
    let fresh = world.repository();
    assert_eq!(publish(&fresh, &three).revision, 3);
    assert_eq!(lists("index-2027.asc", &new_key), name());
    let report = imgforge::repository::verify::audit(
        &root,
        &Signers::default(),
        &Ui::silent().stage("repository", "verify"),
    );
    let report = report.unwrap();
    assert_eq!(
        report.faults,
        Vec::<String>::new(),
        "provenance is signed again, too"
    );
}
