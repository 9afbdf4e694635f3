//! Who signs, and whose signatures count.

use super::world::*;

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
    assert!(!agents());
}
