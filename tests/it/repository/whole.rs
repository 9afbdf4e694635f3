//! Somebody puts back a part of what was signed here before, or takes a part away: nobody goes on from
//! what is not all of one state, even who has never seen this repository.

use std::collections::BTreeMap;

use imgforge::repository::verify::audit;

use super::forged::{change, copied};
use super::world::*;
use crate::pull::replay::sign_again;

const STATE: &str = ".imgforge/state.sjson";
const CHANNELS: &str = ".imgforge/channels.json";

/// What publications replace, by its path.
type Files = BTreeMap<String, Vec<u8>>;

fn faults(root: &Path) -> String {
    let ui = Ui::silent().stage("repository", "verify");
    let report = audit(root.to_str().unwrap(), &Signers::default(), &ui);
    report.unwrap().faults.join("\n")
}

fn keep(root: &Path) -> Files {
    let find = Program::new("find").arg(root);
    let find = find.args(["-type", "f", "-not", "-path", "*/images/*/[0-9]*/*"]);
    let all = find
        .args(["-not", "-name", "lock", "-printf", "%P\n"])
        .text()
        .unwrap();
    let read = |path: &str| (path.to_owned(), std::fs::read(root.join(path)).unwrap());
    all.lines().map(read).collect()
}

fn put(root: &Path, files: &Files) {
    for path in keep(root).keys().filter(|path| !files.contains_key(*path)) {
        std::fs::remove_file(root.join(path)).unwrap();
    }
    for (path, bytes) in files {
        std::fs::write(root.join(path), bytes).unwrap();
    }
}

fn gone(root: &Path, paths: &[&str]) {
    for path in paths {
        std::fs::remove_file(root.join(path)).unwrap();
    }
}

fn back(root: &Path, files: &Files, paths: &[&str]) {
    for path in paths {
        std::fs::write(root.join(path), &files[*path]).unwrap();
    }
}

/// Whoever publishes or copies refuses, and nothing changes.
fn refused(world: &World, what: &str, expected: &str) {
    let root = world.path("repo");
    let before = keep(&root);
    let (ui, now) = (Ui::silent(), Stamp::now());
    // Another host that publishes, which has seen nothing.
    let repository = Repository::open(world.settings(&root)).unwrap();
    let next = world.disk("next");
    let mut tries: Vec<Result<()>> = vec![
        repository.renew(&now).map(drop),
        repository
            .promote("db", ("stable", "testing"), &now, &ui)
            .map(drop),
        publish_with(&repository, &next, |p| p.name = "db").map(drop),
        copied(world, "copy").map(drop),
    ];
    // Who has lost it says so.
    if root.join(STATE).exists() {
        tries.push(repository.renew_older(&now).map(drop));
    }
    for (number, tried) in tries.into_iter().enumerate() {
        let error = tried.expect_err(&format!("{what}: {number}"));
        let text = error.render();
        assert_eq!(error.kind(), Kind::Gate, "{what} {number}: {text}");
        assert!(
            text.contains(expected) && text.contains("hint: "),
            "{what} {number}: {text}"
        );
    }
    let found = faults(&root);
    assert!(found.contains(expected), "{what}: {found}");
    assert!(keep(&root) == before, "{what}");
}

#[test]
fn a_part_of_an_older_state_is_refused() {
    let world = World::new();
    let (repository, ui, now) = (world.repository(), Ui::silent(), Stamp::now());
    let root = repository.path();
    let publish = |disk: &Disk, name: &'static str, channel: &'static str| {
        publish_with(&repository, disk, |p| (p.name, p.channel) = (name, channel)).unwrap();
    };
    let [one, two, three, four] = ["one", "two", "three", "four"].map(|text| world.disk(text));
    publish(&two, "db", "stable");
    publish(&one, "web", "nightly");
    publish(&three, "web", "nightly");
    publish(&four, "leak", "testing");
    let before = keep(root);
    repository.yank("web", 1, false, &now, &ui).unwrap();
    repository.yank("leak", 1, false, &now, &ui).unwrap();
    let yanked = keep(root);
    repository.freeze("testing", true, &now).unwrap();
    let after = keep(root);
    assert_eq!(faults(root), "");

    let leak = [".imgforge/names/leak.json", "images/leak/revisions.sjson"];
    let web = [".imgforge/names/web.json", "images/web/revisions.sjson"];
    let testing = "channels/testing/index.asc";
    let nameless = || {
        change(&root.join(CHANNELS), |file| {
            file["channels"].as_object_mut().unwrap().remove("testing");
        })
    };
    type Attack<'a> = (&'a str, &'a dyn Fn(), &'a str);
    let attacks: [Attack<'_>; 9] = [
        (
            "the index of a channel that nobody names",
            &|| {
                back(root, &before, &[testing]);
                nameless();
            },
            "channels.json has no such channel",
        ),
        (
            "an image whose record and list are gone, in an older index",
            &|| {
                back(root, &yanked, &[testing, CHANNELS]);
                back(root, &before, &[testing]);
                gone(root, &leak);
            },
            "channels/testing/index.asc is not the one that was signed last",
        ),
        (
            "an older record with its list",
            &|| back(root, &before, &web),
            "the record of `web` is not the one that was signed last",
        ),
        (
            "a yanked image without record and list",
            &|| gone(root, &leak),
            "the record of `leak` is not there",
        ),
        (
            "a frozen channel that nobody names",
            &|| {
                nameless();
                gone(root, &[testing]);
            },
            "the channel `testing`",
        ),
        (
            "no state",
            &|| gone(root, &[STATE]),
            "state.sjson is not there, and ",
        ),
        (
            "an older state beside what is new",
            &|| back(root, &yanked, &[STATE]),
            "the channel `testing`",
        ),
        (
            "the new state beside what is older",
            &|| {
                put(root, &yanked);
                back(root, &after, &[STATE]);
            },
            "the channel `testing`",
        ),
        (
            "no state, and a part of an older one",
            &|| {
                back(root, &before, &web);
                gone(root, &[STATE]);
            },
            "state.sjson is not there, and ",
        ),
    ];
    for (what, attack, expected) in attacks {
        attack();
        refused(&world, what, expected);
        put(root, &after);
    }
    repository.renew(&now).unwrap();
    copied(&world, "copy").unwrap();
    assert_eq!(faults(root), "");
    // All of an older one is a restored backup.
    put(root, &before);
    repository.renew(&now).unwrap();
    assert_eq!(faults(root), "");
}

#[test]
fn another_repository_of_the_same_key_is_signed_by_itself() {
    let world = World::new();
    publish(&world.repository(), &world.disk("one"));
    let test = Repository::open(world.settings(&world.path("test"))).unwrap();
    publish(&test, &world.disk("one"));
    std::fs::copy(test.path().join(STATE), world.path("repo").join(STATE)).unwrap();
    let error = world
        .repository()
        .renew(&Stamp::now())
        .unwrap_err()
        .render();
    assert!(error.contains("it is of another repository"), "{error}");
    let found = faults(&world.path("repo"));
    assert!(found.contains("it is of another repository"), "{found}");
}

#[test]
fn a_lost_state_is_signed_anew_on_demand_only() {
    let world = World::new();
    let notices = Arc::new(Mutex::new(vec![]));
    let root = world.path("repo");
    let settings = || Settings {
        ui: Ui::new(Notices(Arc::clone(&notices))),
        ..world.settings(&root)
    };
    let now = Stamp::now();
    let repository = Repository::open(settings()).unwrap();
    publish(&repository, &world.disk("one"));
    gone(&root, &[STATE]);
    repository.renew(&now).unwrap_err();
    repository.renew_older(&now).unwrap();
    let told = notices.lock().unwrap().join("\n");
    assert!(told.contains("signed all the same"), "{told}");
    assert_eq!(faults(&root), "");
    publish(&repository, &world.disk("two"));
}

/// A killed publisher has written down a number, in a record that is signed; or all of it is there.
#[test]
fn what_a_killed_publisher_left_is_no_other_state() {
    let world = World::new();
    let root = world.path("repo");
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    publish(&world.repository(), &one);
    let (from, into) = (root.clone(), world.path(""));
    let killed = world.repository().on_step(move |step| {
        let to = into.join(step.replace(' ', "-"));
        if !to.exists() {
            let copy = Program::new("cp").arg("-a").args([&from, &to]);
            copy.run().unwrap();
        }
    });
    publish(&killed, &two);
    publish_with(&killed, &two, |p| p.name = "new").unwrap();
    for (step, number) in [
        ("bind-the-revision", 2),
        ("move-the-blob-in", 3),
        ("write-the-journal", 3),
        ("rename-an-entry-point", 3),
        ("remove-the-journal", 3),
    ] {
        let left = world.path(step);
        let settings = || world.settings(&left);
        Repository::open(settings())
            .unwrap()
            .renew(&Stamp::now())
            .unwrap();
        assert_eq!(faults(&left), "", "{step}");
        // Two who publish, in turn.
        let [a, b] = [(); 2].map(|()| Repository::open(settings()).unwrap());
        assert_eq!(publish(&a, &three).revision, number, "{step}");
        publish_with(&b, &two, |p| p.name = "new").unwrap();
        publish_with(&a, &three, |p| p.name = "new").unwrap();
        b.freeze("stable", true, &Stamp::now()).unwrap();
        assert_eq!(faults(&left), "", "{step}");
    }
}

#[test]
fn a_repository_of_an_older_imgforge_is_signed_as_a_whole_by_the_first_change() {
    let world = World::new();
    let repository = world.repository();
    let root = repository.path();
    publish(&repository, &world.disk("one"));
    for path in ["index.asc", "images/web-node/revisions.sjson"] {
        sign_again(&world, path, 0, |text| {
            let new = |line: &&str| {
                !["# imgforge state=", "  \"state\": "]
                    .iter()
                    .any(|new| line.starts_with(new))
            };
            text.lines()
                .filter(new)
                .map(|line| format!("{line}\n"))
                .collect()
        });
    }
    std::fs::remove_file(root.join(STATE)).unwrap();
    assert_eq!(faults(root), "");
    copied(&world, "older").unwrap();
    assert!(!world.path("older").join(STATE).exists());

    let notices = Arc::new(Mutex::new(vec![]));
    let settings = Settings {
        ui: Ui::new(Notices(Arc::clone(&notices))),
        ..world.settings(root)
    };
    let repository = Repository::open(settings).unwrap();
    publish(&repository, &world.disk("one"));
    publish(&repository, &world.disk("two"));
    let told = notices.lock().unwrap().join("\n");
    assert_eq!(
        told.matches("no older imgforge can publish").count(),
        1,
        "{told}"
    );
    assert_eq!(faults(root), "");
    copied(&world, "older").unwrap();
    // A copy goes on.
    let copy = Repository::open(world.settings(&world.path("older"))).unwrap();
    publish(&copy, &world.disk("three"));
    assert_eq!(faults(copy.path()), "");
    std::fs::remove_file(root.join(STATE)).unwrap();
    let error = repository.renew(&Stamp::now()).unwrap_err().render();
    assert!(error.contains("says that it is"), "{error}");
}

#[test]
fn the_state_is_signed_by_the_main_key_whichever_that_is() {
    let site = World::publishing();
    let root = site.path("repo");
    publish(&site.repository(), &site.disk("one"));
    let mut signers = vec![];
    let mut signed = || {
        let state = std::fs::read(root.join(STATE)).unwrap();
        let verified = verify(&state, &root.join("imgforge.gpg")).unwrap();
        let state: Value = serde_json::from_str(&verified.text).unwrap();
        signers.push(verified.fingerprint);
        state["serial"].as_u64().unwrap()
    };
    assert_eq!(signed(), 1);
    for (number, suffix) in [(2, "a"), (5, "b")] {
        site.ok(&["repo", "rotate-key", "--suffix", suffix]);
        assert_eq!(signed(), number);
        site.ok(&["repo", "rotate-key", "--finish"]);
        assert_eq!(signed(), number + 1);
        site.ok(&["channel", "renew"]);
        assert_eq!(signed(), number + 2);
        assert_eq!(faults(&root), "");
    }
    signers.dedup();
    assert_eq!(signers.len(), 3);
}
