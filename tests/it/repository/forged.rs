//! Somebody writes to the directory of a repository, and has no key: nothing that they wrote is
//! signed, copied or followed.

use std::os::unix::fs::symlink;

use imgforge::repository::verify::audit;
use imgforge::repository::{Copied, Policy, copy};
use imgforge::units::Span;

use super::world::*;

pub(super) fn record(root: &Path, name: &str) -> PathBuf {
    root.join(format!(".imgforge/names/{name}.json"))
}

pub(super) fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Two revisions of `web-node`, one of `other`, and the right record of the first.
pub(super) fn filled(world: &World) -> (Repository, Vec<u8>) {
    let repository = world.repository();
    let [one, two] = ["one", "two"].map(|text| world.disk(text));
    publish(&repository, &one);
    publish(&repository, &two);
    publish_with(&repository, &one, |p| p.name = "other").unwrap();
    let right = std::fs::read(record(repository.path(), "web-node")).unwrap();
    (repository, right)
}

pub(super) fn copied(world: &World, to: &str) -> Result<Copied> {
    let ui = Ui::silent().stage("repository", "copy");
    copy(
        &world.path("repo"),
        &world.path(to),
        &Signers::default(),
        None,
        &ui,
    )
}

#[test]
fn what_a_record_says_is_signed_only_where_it_was_signed_before() {
    let world = World::new();
    let (repository, right) = filled(&world);
    let (root, ui, now) = (repository.path(), Ui::silent(), Stamp::now());
    let three = world.disk("three");
    let list = root.join("images/web-node/revisions.sjson");
    let signed = || [&list, &root.join("index.asc")].map(|path| std::fs::read(path).unwrap());
    let before = signed();
    type Forge = fn(&mut Value);
    let forgeries: [(&str, Forge); 7] = [
        ("other bytes", |r| {
            r["revisions"]["1"]["sha512"] = "0".repeat(128).into();
        }),
        ("another file", |r| {
            let file = r["revisions"]["2"]["file"].clone();
            r["revisions"]["1"]["file"] = file;
        }),
        ("another size", |r| r["revisions"]["1"]["size"] = 1.into()),
        ("one more", |r| {
            let one = r["revisions"]["1"].clone();
            r["revisions"]["9"] = one;
        }),
        ("another title", |r| {
            r["revisions"]["1"]["title"] = "Evil".into()
        }),
        ("another place", |r| {
            r["channels"]["stable"]["current"]["x86_64"] = 1.into();
        }),
        ("a trial", |r| {
            r["channels"]["stable"]["canary"] = json!({"x86_64": {"revision": 1, "share": "50%"}});
        }),
    ];
    for (what, forge) in forgeries {
        change(&record(root, "web-node"), forge);
        let policy = Policy {
            keep: Some(1),
            window: Span::seconds(0),
            grace: Span::seconds(0),
        };
        let tries: [Result<()>; 6] = [
            repository.renew(&now).map(drop),
            repository
                .rollback("web-node", "stable", Some(1), &now, &ui)
                .map(drop),
            repository
                .promote("web-node", ("stable", "nightly"), &now, &ui)
                .map(drop),
            publish_with(&repository, &three, |_| {}).map(drop),
            repository.yank("web-node", 1, false, &now, &ui).map(drop),
            repository.rotate(None, "2027", &now).map(drop),
        ];
        for (number, tried) in tries.into_iter().enumerate() {
            let error = tried.expect_err(&format!("{what}: {number}"));
            assert_eq!(
                error.kind(),
                Kind::Gate,
                "{what} {number}: {}",
                error.render()
            );
            let text = error.render();
            assert!(
                text.contains("the record of `web-node` says something else")
                    && text.contains("hint: "),
                "{what} {number}: {text}"
            );
        }
        let ui = Ui::silent().stage("repository", "verify");
        let found = audit(root.to_str().unwrap(), &Signers::default(), &ui).unwrap();
        let faults = found.faults.join("\n");
        assert!(faults.contains("says something else"), "{what}: {faults}");
        drop(repository.prune(&policy, true, &now));
        let text = copied(&world, "copy").unwrap_err().render();
        assert!(text.contains("says something else"), "{what}: {text}");
        assert_eq!(signed(), before, "{what}");
        std::fs::write(record(root, "web-node"), &right).unwrap();
    }
    // What is signed of the others may tell of it, too; the right record is gone on with.
    change(&record(root, "web-node"), forgeries[0].1);
    assert!(publish_with(&repository, &three, |p| p.name = "other").is_err());
    std::fs::write(record(root, "web-node"), &right).unwrap();
    repository.renew(&now).unwrap();
    assert_eq!(publish(&repository, &three).revision, 3);
    world.fetched_equals(&repository, "stable", "web-node", &three);
}

#[test]
fn a_record_that_leads_out_of_the_directory_is_named_and_nothing_is_removed() {
    let world = World::new();
    let (repository, right) = filled(&world);
    let (root, now) = (repository.path(), Stamp::now());
    let victim = world.path("victim/7/file");
    std::fs::create_dir_all(victim.parent().unwrap()).unwrap();
    std::fs::write(&victim, "data").unwrap();
    let value: Value = serde_json::from_slice(&right).unwrap();
    let mut gone = value["revisions"]["1"].clone();
    gone["removed"] = json!(now.when);
    let bad = record(root, "zz");
    let mut forge = |name: &str, file: Value| {
        gone["file"] = file;
        let revisions = json!({"7": gone});
        let text = json!({
            "version": 1, "name": name, "revisions": revisions, "channels": {}, "history": [],
        });
        std::fs::write(&bad, text.to_string()).unwrap();
    };
    let policy = Policy {
        keep: None,
        window: Span::seconds(0),
        grace: Span::seconds(0),
    };
    for (name, file) in [
        ("../../victim", value["revisions"]["1"]["file"].clone()),
        ("zz", "../../victim/7/file".into()),
        ("zz", "images/zz/../../../victim/7/file".into()),
        ("zz", "/etc/hostname".into()),
        ("zz", "images/web-node/1/x".into()),
    ] {
        forge(name, file);
        for tried in [
            copied(&world, "copy").map(drop),
            repository.prune(&policy, true, &now).map(drop),
            repository.renew(&now).map(drop),
        ] {
            let text = tried.unwrap_err().render();
            let named = text.contains(&bad.display().to_string()) && text.contains("move it away");
            assert!(named, "{text}");
        }
        assert!(!root.join(".imgforge/journal.json").exists());
        assert!(victim.exists(), "{name}");
    }
    std::fs::remove_file(bad).unwrap();
    change(&root.join(".imgforge/channels.json"), |file| {
        file["channels"]["../../x"] = json!({});
    });
    let text = repository.renew(&now).unwrap_err().render();
    assert!(text.contains("channels.json"), "{text}");
    change(&root.join(".imgforge/channels.json"), |file| {
        file["channels"].as_object_mut().unwrap().remove("../../x");
    });
    repository.renew(&now).unwrap();

    // Nor does a link lead there.
    std::fs::create_dir_all(world.path("victim/1")).unwrap();
    std::fs::rename(root.join("images/web-node"), world.path("moved")).unwrap();
    symlink(world.path("moved"), root.join("images/web-node")).unwrap();
    let ui = Ui::silent();
    for tried in [
        copied(&world, "linked").map(drop),
        repository.yank("web-node", 1, true, &now, &ui).map(drop),
        repository.renew(&now).map(drop),
    ] {
        let text = tried.unwrap_err().render();
        assert!(text.contains("images/web-node is a link"), "{text}");
    }
    assert!(world.path("moved/1").exists());
    assert!(!root.join(".imgforge/journal.json").exists());
}

#[test]
fn a_copy_takes_what_publications_write_and_nothing_else() {
    let world = World::new();
    let (repository, _) = filled(&world);
    let root = repository.path();
    publish_with(&repository, &world.disk("two"), |p| p.channel = "nightly").unwrap();
    repository.rotate(None, "2027", &Stamp::now()).unwrap();
    copied(&world, "copy").unwrap();
    let trees = [root.to_owned(), world.path("copy")];
    let mut diff = Program::new("diff").arg("-r");
    // Pages say when they were made.
    for own in ["lock", "incoming", "transaction", "*.html"] {
        diff = diff.args(["-x", own]);
    }
    diff.args(&trees).run().unwrap();
    for page in ["index.html", "images/web-node/index.html"] {
        assert!(world.path("copy").join(page).exists(), "{page}");
    }

    std::fs::write(world.path("secret"), "top secret").unwrap();
    symlink(world.path("secret"), root.join("channels/extra.json")).unwrap();
    symlink(world.path("secret"), root.join("images/web-node/1/extra")).unwrap();
    for file in [
        "hello.html",
        "images/hello.html",
        "channels/stable/web-node/x.html",
    ] {
        std::fs::write(root.join(file), "<script>").unwrap();
    }
    copied(&world, "copy").unwrap();
    copied(&world, "another").unwrap();
    for copy in ["copy", "another"] {
        let find = Program::new("grep").args(["-rlE", "top secret|^<script>$"]);
        let found = find.arg(world.path(copy)).text();
        assert!(found.is_err(), "{found:?}");
    }
    // What it does take is no link to something else; what it makes anew, no link leads to.
    let link = |path: &str| {
        std::fs::remove_file(root.join(path)).unwrap();
        symlink(world.path("secret"), root.join(path)).unwrap();
        copied(&world, "copy")
    };
    link("channels/index.json").unwrap();
    let list = std::fs::read_to_string(world.path("copy/channels/index.json"));
    assert!(list.unwrap().contains("nightly"));
    let text = link("index.asc").unwrap_err().render();
    assert!(text.contains("index.asc is a link"), "{text}");
}

#[test]
fn a_damaged_file_of_a_copy_is_replaced() {
    let world = World::new();
    filled(&world);
    copied(&world, "copy").unwrap();
    let place = world.path("copy").display().to_string();
    let faults = || {
        let ui = Ui::silent().stage("repository", "verify");
        audit(&place, &Signers::default(), &ui).unwrap().faults
    };
    for file in ["web-node-0123456789ab.xz", "manifest.json"] {
        let path = world.path("copy/images/web-node/1").join(file);
        let right = std::fs::read(&path).unwrap();
        let mut bytes = right.clone();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(copied(&world, "copy").unwrap().files, 1, "{file}");
        assert_eq!(std::fs::read(&path).unwrap(), right, "{file}");
    }
    assert_eq!(faults(), Vec::<String>::new());
    assert_eq!(copied(&world, "copy").unwrap().files, 0);
}

/// Whoever publishes goes by the same rule as whoever reads: a key counts, not a copy of it.
#[test]
fn a_prolonged_key_goes_on_to_publish() {
    let world = World::new();
    let home = Home::with_an_expired_key(world.path("gnupg"));
    let old = home.program().arg("--export").output().unwrap();
    std::fs::write(world.path("allowed.gpg"), old).unwrap();
    let key = home.fingerprint();
    home.gpg(&["--quick-set-expire", &key, "0"]);
    let open = |fingerprint: Option<&str>| {
        Repository::open(Settings {
            signer: Signer::configured_in(&key, &home.0).unwrap(),
            signers: Signers {
                keys: Some(world.path("allowed.gpg")),
                fingerprint: fingerprint.map(str::to_owned),
                ..Signers::default()
            },
            ..world.settings(&world.path("repo"))
        })
    };
    let one = world.disk("one");
    for fingerprint in [None, Some(key.as_str())] {
        let repository = open(fingerprint).unwrap();
        publish(&repository, &one);
        repository.renew(&Stamp::now()).unwrap();
        assert_eq!(repository.entries("stable").unwrap().len(), 1);
    }
    // The fingerprint of another key that the file has is not that of the one that signs.
    let other = "0".repeat(40);
    let error = open(Some(&other))
        .unwrap()
        .renew(&Stamp::now())
        .unwrap_err();
    assert!(
        error
            .render()
            .contains(&format!("the key {other} is not there")),
        "{}",
        error.render()
    );
}

#[test]
fn a_list_that_expires_soon_is_signed_anew_by_any_publication() {
    let site = World::publishing();
    let (world, one) = (&site, site.disk("one"));
    std::fs::create_dir(world.path("recipes")).unwrap();
    let (repository, _) = filled(world);
    let list = world.path("repo/images/other/revisions.sjson");
    let until = |path: &Path| {
        let text = verify(&std::fs::read(path).unwrap(), &repository.keyring()).unwrap();
        let list: Value = serde_json::from_str(&text.text).unwrap();
        list["valid-until"].as_str().unwrap().to_owned()
    };
    let fresh = until(&list);
    let old = verify(&std::fs::read(&list).unwrap(), &repository.keyring()).unwrap();
    let sign = |end: &str| {
        let text = old.text.replace(&fresh, end);
        let home = Home(world.path("state/gnupg"));
        let sign = home
            .program()
            .args(["--digest-algo", "SHA512", "--clearsign"]);
        std::fs::write(&list, sign.input(text).output().unwrap()).unwrap();
    };
    sign("2020-01-01T00:00:00Z");
    let text = site.fails(4, &["repo", "verify"]);
    assert!(
        text.contains("images/other/revisions.sjson: it was valid until 2020"),
        "{text}"
    );
    let text = site.fails(4, &["status"]);
    assert!(
        text.contains("the list of other's revisions in main has expired"),
        "{text}"
    );
    // What has expired may be an old one.
    let error = publish_with(&repository, &one, |p| p.name = "third").unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let soon = format!("{soon:.0}");
    sign(&soon);
    publish_with(&repository, &one, |p| p.name = "third").unwrap();
    assert!(until(&list) >= fresh);
    // Nothing changes, and it is signed anew all the same.
    sign(&soon);
    assert!(
        !publish_with(&repository, &one, |p| p.name = "third")
            .unwrap()
            .changed
    );
    assert!(until(&list) >= fresh);
    site.ok(&["repo", "verify"]);
}
