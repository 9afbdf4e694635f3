//! Somebody writes to the directory of a repository, and has no key: what is signed or removed is made
//! of what a signed list vouches for, whatever the verb and whichever the image that it names.

use std::os::unix::fs::symlink;

use imgforge::repository::Policy;
use imgforge::repository::verify::audit;
use imgforge::units::Span;

use super::forged::{change, copied, record};
use super::world::*;

const NOTHING_STAYS: Policy = Policy {
    keep: None,
    window: Span::seconds(0),
    grace: Span::seconds(0),
};

/// Publishes a disk with a qcow2 for streams.
fn publish_disk(repository: &Repository, name: &'static str, disk: &Disk) {
    publish_with(repository, disk, |p| {
        p.name = name;
        let file = Companion::bytes("disk.qcow2", format!("{name} {}", disk.sha512));
        p.companions = vec![file.about([("target", "disk"), ("format", "qcow2")])];
    })
    .unwrap();
}

fn faults(root: &Path) -> String {
    let ui = Ui::silent().stage("repository", "verify");
    let report = audit(root.to_str().unwrap(), &Signers::default(), &ui);
    report.unwrap().faults.join("\n")
}

/// Everything that is signed of a repository.
fn signed(root: &Path) -> String {
    let grep = Program::new("grep").args(["-r", "", "--include=*.asc", "--include=*.sjson"]);
    grep.arg(root).text().unwrap()
}

#[test]
fn nothing_is_signed_of_an_image_that_no_list_vouches_for() {
    let world = World::new();
    let (repository, ui, now) = (world.repository(), Ui::silent(), Stamp::now());
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    publish_disk(&repository, "web-node", &one);
    let old_index = std::fs::read(repository.path().join("index.asc")).unwrap();
    publish_disk(&repository, "other", &one);
    publish_disk(&repository, "other", &two);
    let root = repository.path();
    let other = record(root, "other");
    let right = std::fs::read(&other).unwrap();
    let before = signed(root);
    assert!(before.contains("images/other/2/disk.qcow2"));

    type Forge = fn(&Path, &[u8]);
    fn edit(root: &Path, forge: impl FnOnce(&mut Value)) {
        change(&record(root, "other"), forge);
    }
    let forgeries: [(&str, Forge, &str); 7] = [
        (
            "another file",
            |root, _| {
                edit(root, |r| {
                    r["revisions"]["2"]["companions"]["disk.qcow2"]["sha256"] =
                        "0".repeat(64).into();
                });
            },
            "the record of `other` says something else",
        ),
        (
            "an invented image",
            |root, right| {
                let text = String::from_utf8_lossy(right).replace("other", "evil");
                std::fs::write(record(root, "evil"), text).unwrap();
            },
            "images/evil/revisions.sjson is not to be trusted",
        ),
        (
            "no place",
            |root, _| edit(root, |r| r["channels"] = json!({})),
            "the record of `other` says something else",
        ),
        (
            "nothing happened",
            |root, _| {
                edit(root, |r| {
                    (r["revisions"], r["channels"], r["history"]) =
                        (json!({}), json!({}), json!([]));
                });
            },
            "the record of `other` says something else",
        ),
        (
            "no record",
            |root, _| std::fs::remove_file(record(root, "other")).unwrap(),
            ".imgforge/names/other.json is not",
        ),
        (
            "no list",
            |root, _| std::fs::remove_file(root.join("images/other/revisions.sjson")).unwrap(),
            "it is not there",
        ),
        (
            "fewer are kept",
            |root, _| edit(root, |r| r["keep"] = 1.into()),
            "the record of `other` says something else",
        ),
    ];
    let list = std::fs::read(root.join("images/other/revisions.sjson")).unwrap();
    let restore = || {
        drop(std::fs::remove_file(record(root, "evil")));
        std::fs::write(&other, &right).unwrap();
        std::fs::write(root.join("images/other/revisions.sjson"), &list).unwrap();
    };
    let refused = |what: &str, expected: &str| {
        let tries: [Result<()>; 5] = [
            publish_with(&repository, &three, |_| {}).map(drop),
            repository.freeze("stable", true, &now),
            repository
                .promote("web-node", ("stable", "nightly"), &now, &ui)
                .map(drop),
            repository.yank("web-node", 1, false, &now, &ui).map(drop),
            repository.prune(&NOTHING_STAYS, true, &now).map(drop),
        ];
        for (number, tried) in tries.into_iter().enumerate() {
            let text = tried.expect_err(&format!("{what}: {number}")).render();
            assert!(
                text.contains(expected) && text.contains("hint: "),
                "{what} {number}: {text}"
            );
        }
    };
    for (what, forge, expected) in forgeries {
        forge(root, &right);
        refused(what, expected);
        assert!(copied(&world, "copy").is_err(), "{what}");
        assert_ne!(faults(root), "", "{what}");
        restore();
        assert_eq!(signed(root), before, "{what}");
    }
    // Nor of an older index, whose other half is not.
    let index = std::fs::read(root.join("index.asc")).unwrap();
    std::fs::write(root.join("index.asc"), old_index).unwrap();
    refused("an older index", "says that the channel has `other`");
    std::fs::remove_file(root.join("index.asc")).unwrap();
    refused("no index", "says that the channel has `other`");
    std::fs::write(root.join("index.asc"), index).unwrap();
    assert_eq!(signed(root), before);
    repository.freeze("stable", true, &now).unwrap();
    assert_eq!(faults(root), "");
}

#[test]
fn nothing_goes_because_a_record_says_what_nobody_has_signed() {
    let world = World::new();
    let (repository, now) = (world.repository(), Stamp::now());
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish_disk(&repository, "web-node", &one);
    publish_disk(&repository, "other", &one);
    publish_disk(&repository, "other", &two);
    let root = repository.path();
    let policy = Policy {
        keep: Some(10),
        window: Span::seconds(1),
        ..NOTHING_STAYS
    };
    let blobs = || {
        let find = Program::new("find").arg(root.join("images"));
        let found = find.args(["-name", "*.xz"]).text().unwrap();
        found.lines().count()
    };
    for (name, number) in [("other", "2"), ("web-node", "1")] {
        let right = std::fs::read(record(root, name)).unwrap();
        change(&record(root, name), |r| {
            r["revisions"][number]["removed"] = json!(now.when)
        });
        drop(repository.prune(&policy, true, &now));
        assert_eq!(blobs(), 3, "{name}");
        std::fs::write(record(root, name), right).unwrap();
    }
    // What was only bound says that the bytes of the others are to go.
    change(&record(root, "other"), |r| {
        let mut planted = r["revisions"]["2"].clone();
        planted["pending"] = true.into();
        planted["yanked"] = r["revisions"]["2"]["created"].clone();
        planted["created"]["when"] = "2020-01-01T00:00:00Z".into();
        planted["retired"] = "2020-01-01T00:00:00Z".into();
        planted["removed"] = "2020-01-01T00:00:00Z".into();
        r["revisions"]["9"] = planted;
    });
    repository.prune(&policy, true, &now).unwrap();
    assert_eq!(blobs(), 3);
    repository.renew(&now).unwrap();
    assert_eq!(faults(root), "");
}

#[test]
fn a_number_that_no_imgforge_has_bound_keeps_nobody_from_publishing() {
    let world = World::new();
    let repository = world.repository();
    let [one, two] = ["one", "two"].map(|text| world.disk(text));
    publish(&repository, &one);
    for number in [imgforge::index::MAX_REVISION, u64::MAX] {
        change(&record(repository.path(), "web-node"), |r| {
            let mut planted = r["revisions"]["1"].clone();
            planted["pending"] = true.into();
            planted["sha512"] = two.sha512.clone().into();
            r["revisions"][number.to_string()] = planted;
        });
    }
    assert_eq!(publish(&repository, &two).revision, 2);
    world.fetched_equals(&repository, "stable", "web-node", &two);
}

#[test]
fn pointers_and_streams_are_compared_with_the_lists() {
    let world = World::new();
    let repository = world.repository();
    let one = world.disk("one");
    publish_disk(&repository, "web-node", &one);
    publish_disk(&repository, "other", &one);
    let root = repository.path();
    assert_eq!(faults(root), "");
    let home = Home(world.path("state/gnupg"));
    for (file, from, to, expected) in [
        (
            "streams/v1/images.sjson",
            "images/other/1/disk",
            "images/other/2/disk",
            "no signed list does",
        ),
        (
            "streams/v1/images.sjson",
            "\"products\":{",
            "\"products\":{},\"x\":{",
            "it lacks `other`",
        ),
        (
            "channels/stable/other/latest.sjson",
            "\"revision\": 1",
            "\"revision\": 2",
            "something that the signed list does not have",
        ),
        (
            "channels/stable/other/latest.sjson",
            "\"architectures\"",
            "\"x\"",
            "it lacks what the signed list has",
        ),
    ] {
        let path = root.join(file);
        let right = std::fs::read(&path).unwrap();
        let text = verify(&right, &repository.keyring()).unwrap().text;
        assert!(text.contains(from), "{text}");
        let sign = home
            .program()
            .args(["--digest-algo", "SHA512", "--clearsign"]);
        let forged = sign.input(text.replace(from, to)).output().unwrap();
        std::fs::write(&path, forged).unwrap();
        let found = faults(root);
        assert!(found.contains(file) && found.contains(expected), "{found}");
        std::fs::write(&path, right).unwrap();
    }
    assert_eq!(faults(root), "");
}

#[test]
fn a_frozen_channel_is_thawed_by_who_signs_only() {
    let world = World::new();
    let (repository, now) = (world.repository(), Stamp::now());
    let [one, two] = ["one", "two"].map(|text| world.disk(text));
    publish(&repository, &one);
    repository.freeze("stable", true, &now).unwrap();
    let channels = repository.path().join(".imgforge/channels.json");
    let right = std::fs::read(&channels).unwrap();
    let thaws: [&dyn Fn(); 2] = [
        &|| change(&channels, |file| file["channels"]["stable"] = json!({})),
        &|| std::fs::remove_file(&channels).unwrap(),
    ];
    for thaw in thaws {
        thaw();
        let error = publish_with(&repository, &two, |_| {})
            .unwrap_err()
            .render();
        assert!(
            error.contains("whether it is frozen") && error.contains("hint: "),
            "{error}"
        );
        std::fs::write(&channels, &right).unwrap();
    }
    let error = publish_with(&repository, &two, |_| {})
        .unwrap_err()
        .render();
    assert!(error.contains("the channel `stable` is frozen"), "{error}");
    repository.renew(&now).unwrap();
    repository.freeze("stable", false, &now).unwrap();
    assert_eq!(publish(&repository, &two).revision, 2);
    assert_eq!(faults(repository.path()), "");
}

/// Whoever checks a repository is kept waiting by nothing that lies in it.
#[test]
fn no_check_follows_a_link_or_waits_for_a_pipe() {
    let site = World::publishing();
    let world = &site;
    let (repository, one) = (world.repository(), world.disk("one"));
    let disk = std::fs::read(&one.raw).unwrap();
    let manifest = json!({
        "name": "web-node", "version": "1", "file": "web-node.raw",
        "sha512": file_sha512(&one.raw).unwrap(), "disk-format": "raw", "min-disk": 1,
        "min-ram": 1, "properties": {}, "create": "",
    });
    publish_with(&repository, &one, |p| {
        let about = [("target", "openstack"), ("format", "openstack-manifest")];
        let name = "web-node.openstack.json";
        let manifest = Companion::bytes(name, manifest.to_string()).about(about);
        p.companions = vec![manifest, Companion::bytes("web-node.raw", disk)];
    })
    .unwrap();
    let root = repository.path();
    let blob = "images/web-node/1/web-node-0123456789ab.xz";
    let disk = "images/web-node/1/web-node.raw";
    type Plant = fn(&Path);
    let pipe: Plant = |path| Program::new("mkfifo").arg(path).run().unwrap();
    let endless: Plant = |path| symlink("/dev/zero", path).unwrap();
    for (file, plant, told) in [
        (blob, pipe, "it is not a file"),
        (blob, endless, "is a link"),
        (disk, endless, "is a link"),
        ("channels/index.json", pipe, "it is not a file"),
        ("channels/index.json", endless, "is a link"),
        ("images/web-node/revisions.sjson", pipe, "it is not a file"),
    ] {
        let path = root.join(file);
        std::fs::rename(&path, world.path("kept")).unwrap();
        plant(&path);
        let found = faults(root);
        assert!(
            found.contains(file) && found.contains(told),
            "{file}: {found}"
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(world.path("kept"), &path).unwrap();
    }
    std::fs::rename(root.join(disk), world.path("kept")).unwrap();
    symlink(world.path("kept"), root.join(disk)).unwrap();
    let error = site.fails(4, &["sync", "openstack", "web-node"]);
    assert!(error.contains("web-node.raw is a link"), "{error}");
    let pipe_of_ours = world.path("pipe");
    pipe(&pipe_of_ours);
    let client = imgforge::http::Client::new().unwrap();
    let url = imgforge::http::Url::of_path(&pipe_of_ours).unwrap();
    let error = client.read_optional(&url, 1).unwrap_err().render();
    assert!(error.contains("is not a file"), "{error}");
}
