//! What the real virt-builder and gpg make of a repository.

use super::world::*;

#[test]
fn virt_builder_lists_downloads_and_verifies_what_was_published() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    let published = publish(&repository, &disk);
    assert_eq!((published.revision, published.changed), (1, true));

    let index = repository.path().join("index.asc");
    world
        .client("virt-index-validate")
        .arg(&index)
        .run()
        .unwrap();
    let text = std::fs::read_to_string(&index).unwrap();
    let claims = "\n\n# imgforge default-channel=stable\n# imgforge valid-until=";
    assert!(text.contains(claims), "{text}");
    let list = world.listed(&repository, "stable");
    let expected = json!([{
        "os-version": "web-node",
        "full-name": "Debian 13 web node",
        "arch": "x86_64",
        "size": SIZE,
        "compressed-size": disk.size.as_bytes().to_string(),
        "notes": {"C": "A web node.\n\n  With an indented line."},
        "osinfo": "debian12",
        "hidden": false,
    }]);
    assert_eq!(list, expected);
    let builder = || world.virt_builder(&repository, "stable");
    let short = builder().arg("--list").text().unwrap();
    assert!(
        short.starts_with("web-node ") && short.contains("Debian 13 web node"),
        "{short}"
    );
    let long = builder().args(["--list", "--long"]).text().unwrap();
    assert!(
        long.contains("Full name:               Debian 13 web node"),
        "{long}"
    );
    assert!(
        builder()
            .args(["--notes", "web-node"])
            .text()
            .unwrap()
            .contains("indented line")
    );
    world.fetched_equals(&repository, "stable", "web-node", &disk);

    let manifest = repository.path().join("images/web-node/1/manifest.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["imgforge"], "0.0.1");
    assert_eq!(manifest["gate"]["clones"][0]["boots"], 2);
    assert_eq!(manifest["sha512"], disk.sha512.as_str());
    let usage = repository.usage("stable", "web-node");
    assert!(
        usage.contains(&format!("uri={}", address(&index))),
        "{usage}"
    );
}

#[test]
fn architectures_live_beside_each_other() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    publish(&repository, &one);
    let arm = publish_with(&repository, &two, |p| p.arch = "aarch64").unwrap();
    assert_eq!(arm.revision, 2);
    assert_eq!(
        world.listed(&repository, "stable").as_array().map(Vec::len),
        Some(2)
    );
    world.fetched_equals(&repository, "stable", "web-node", &one);
    let short = world.virt_builder(&repository, "stable");
    let short = short.arg("--list").text().unwrap();
    let archs: Vec<&str> = short
        .lines()
        .filter_map(|line| line.strip_prefix("web-node ")?.split_whitespace().next())
        .collect();
    assert_eq!(archs, ["aarch64", "x86_64"], "{short}");
    for (arch, disk) in [("aarch64", &two), ("x86_64", &one)] {
        let client = world.virt_builder(&repository, "stable");
        world.unpacked_equals(client.args(["--arch", arch]), "web-node", disk);
    }
}

#[test]
fn a_tampered_index_a_tampered_blob_and_a_wrong_key_are_refused() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    publish(&repository, &disk);
    let index = repository.path().join("index.asc");
    let good = std::fs::read_to_string(&index).unwrap();

    std::fs::write(&index, good.replace("Debian 13", "Debian 14")).unwrap();
    let list = || {
        world
            .virt_builder(&repository, "stable")
            .arg("--list")
            .run()
    };
    assert!(list().unwrap_err().render().contains("signature"));
    let error = repository.entries("stable").unwrap_err();
    assert!(
        error.render().contains("the text was changed"),
        "{}",
        error.render()
    );
    let two = world.disk("two");
    let error = publish_with(&repository, &two, |_| {}).unwrap_err();
    assert_eq!(
        error.kind(),
        Kind::Gate,
        "a changed index is never signed again"
    );

    // What stands before or behind the signed text is not read.
    std::fs::write(
        &index,
        format!("{good}[evil]\narch=x86_64\nfile=evil\nsize=1\n"),
    )
    .unwrap();
    assert_eq!(repository.entries("stable").unwrap().len(), 1);
    std::fs::write(&index, good).unwrap();
    list().unwrap();

    let blob = repository
        .path()
        .join(&repository.entries("stable").unwrap()[0].file);
    let bytes = std::fs::read(&blob).unwrap();
    File::options()
        .write(true)
        .open(&blob)
        .unwrap()
        .write_all_at(b"evil", 40)
        .unwrap();
    let client = world.virt_builder(&repository, "stable");
    let error = client
        .args(["web-node", "-o"])
        .arg(world.path("out"))
        .run()
        .unwrap_err();
    assert!(
        error.render().contains("did not match"),
        "{}",
        error.render()
    );
    std::fs::write(&blob, bytes).unwrap();

    let other = Signer::own(&world.path("other"), &Ui::silent()).unwrap();
    let stranger = Settings {
        signer: other.clone(),
        ..world.settings(repository.path())
    };
    let error = Repository::open(stranger).unwrap_err();
    assert!(error.message().contains("is signed by the key"), "{error}");
    let elsewhere = Repository::open(Settings {
        signer: other,
        ..world.settings(&world.path("elsewhere"))
    });
    let key = elsewhere.unwrap().keyring();
    assert!(verify(&std::fs::read(&index).unwrap(), &key).is_err());
    std::fs::copy(key, repository.keyring()).unwrap();
    assert!(list().is_err(), "a wrong key");
}

#[test]
fn an_alias_that_an_operator_adds_stays_and_works() {
    let world = World::new();
    let home = Home::new(world.path("gnupg"));
    home.gpg(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "sign",
        "never",
    ]);
    let signer = Signer::configured_in("images@example.org", &home.0).unwrap();
    let repository = Repository::open(Settings::new(world.path("repo"), signer)).unwrap();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&repository, &one);
    let index = repository.path().join("index.asc");
    let verified = verify(&std::fs::read(&index).unwrap(), &repository.keyring()).unwrap();
    let text = verified
        .text
        .replace("\nexpand=", "\naliases=web front\nhidden=true\nexpand=");
    let signed = home
        .program()
        .args(["--digest-algo", "SHA512", "--clearsign"]);
    std::fs::write(&index, signed.input(text).output().unwrap()).unwrap();
    publish(&repository, &two);
    for name in ["web-node", "web", "front"] {
        world.fetched_equals(&repository, "stable", name, &two);
    }
    let list = world.listed(&repository, "stable");
    assert_eq!(
        (&list[0]["aliases"], &list[0]["hidden"]),
        (&json!(["web", "front"]), &json!(true))
    );
}

#[test]
fn a_repository_lies_in_a_directory_of_any_name() {
    let world = World::new();
    let (dir, link) = (world.path("über 50%41 of a #1"), world.path("link"));
    std::fs::create_dir(&dir).unwrap();
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let one = world.disk("one");
    for (path, expected) in [(dir.join("repo"), 1), (link.join("repo"), 1)] {
        let repository = Repository::open(world.settings(&path)).unwrap();
        assert_eq!(publish(&repository, &one).revision, expected);
        world.fetched_equals(&repository, "stable", "web-node", &one);
        let usage = repository.usage("stable", "web-node");
        assert!(usage.contains(&address(&path.join("index.asc"))), "{usage}");
    }
    let pointer = dir.join("repo/channels/stable/web-node/latest.json");
    let pointer: Value = serde_json::from_slice(&std::fs::read(pointer).unwrap()).unwrap();
    let url = pointer["architectures"]["x86_64"]["url"].as_str().unwrap();
    let url = imgforge::http::Url::parse(url).unwrap();
    assert!(url.local().unwrap().exists(), "{url}");
}

/// The commands of docs/readers.md, as they are typed there.
#[test]
fn the_documented_way_to_verify_with_gpgv_works_and_keeps_what_was_changed_away() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/readers.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let mut commands = docs.lines().filter(|line| line.starts_with("gpgv "));
    let command = commands.next().unwrap();
    assert_eq!(commands.next(), None);
    let world = World::new();
    let repository = world.repository();
    publish(&repository, &world.disk("one"));
    let dir = world.path("client");
    std::fs::create_dir(&dir).unwrap();
    let pointer = repository.path().join("channels/stable/web-node");
    std::fs::copy(repository.keyring(), dir.join("imgforge.gpg")).unwrap();
    let text = std::fs::read_to_string(pointer.join("latest.json")).unwrap();
    let signed = std::fs::read_to_string(pointer.join("latest.sjson")).unwrap();
    let run = || {
        let shell = Program::new("sh").args(["-c", command]).dir(&dir);
        shell
            .env("HOME", &dir)
            .env("GNUPGHOME", dir.join("none"))
            .run()
    };
    std::fs::write(dir.join("latest.sjson"), &signed).unwrap();
    run().unwrap();
    let result = || std::fs::read_to_string(dir.join("latest.json")).unwrap();
    assert_eq!(result(), text);
    let changed = signed.replacen("Debian 13", "Debian 66", 1);
    assert_ne!(changed, signed);
    std::fs::write(dir.join("latest.sjson"), changed).unwrap();
    assert!(run().is_err());
    assert_eq!(result(), text);
}
