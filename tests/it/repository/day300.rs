//! What a repository needs when it is old: revisions that go, copies, and who is told.

use std::path::Path;

use imgforge::repository::hooks::Hook;
use imgforge::repository::{Fate, Policy};
use imgforge::units::Span;
use jiff::{SignedDuration, Timestamp};

use super::world::*;

/// `days` from now.
fn in_days(days: i64) -> Stamp {
    let later = SignedDuration::from_hours(24 * days);
    Stamp {
        when: Timestamp::now() + later,
        ..Stamp::now()
    }
}

fn policy(keep: u32) -> Policy {
    Policy {
        keep: Some(keep),
        window: Span::seconds(30 * 86_400),
        grace: Span::seconds(86_400),
    }
}

fn revision_dirs(root: &Path) -> Vec<String> {
    let dirs = std::fs::read_dir(root.join("images/web-node"))
        .unwrap()
        .flatten();
    let names = dirs.map(|dir| dir.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name != "revisions.sjson").collect();
    names.retain(|name| name.parse::<u64>().is_ok());
    names.sort();
    names
}

#[test]
fn a_yanked_revision_leaves_every_channel_and_never_comes_back() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let [one, two] = ["one", "two"].map(|text| world.disk(text));
    publish(&repository, &one);
    publish_with(&repository, &one, |p| p.channel = "nightly").unwrap();
    publish(&repository, &two);
    let back = repository.rollback("web-node", "stable", Some(1), &Stamp::now(), &ui);
    assert_eq!(back.unwrap()[0].revision, Some(3));
    let child = publish_with(&repository, &two, |p| {
        p.built_on = vec!["web-node-0123456789ab".into()];
    });
    assert_eq!(child.unwrap().revision, 4);
    repository
        .rollback("web-node", "stable", Some(1), &Stamp::now(), &ui)
        .unwrap();
    repository
        .freeze("stable", true, &Stamp::now().why(Some("holidays")))
        .unwrap();

    let stamp = Stamp::now().why(Some("a token in /etc"));
    let yanked = repository.yank("web-node", 1, true, &stamp, &ui).unwrap();
    assert_eq!(yanked.revisions, [1, 3, 5], "all with these bytes");
    assert_eq!(yanked.children, ["web-node@4"]);
    let got: Vec<_> = yanked
        .moved
        .iter()
        .map(|m| (m.channel.as_str(), m.revision))
        .collect();
    // What a rollback took back does not come by itself.
    assert_eq!(got, [("nightly", None), ("stable", None)]);
    repository.freeze("stable", false, &Stamp::now()).unwrap();
    let back = repository.rollback("web-node", "stable", Some(4), &Stamp::now(), &ui);
    assert_eq!(back.unwrap()[0].revision, Some(6));
    world.fetched_equals(&repository, "stable", "web-node", &two);
    assert_eq!(revision_dirs(repository.path()), ["2", "4", "6"]);

    // An index must not be empty: nothing to see, and no client fails.
    assert!(repository.entries("nightly").unwrap().is_empty());
    let builder = || world.virt_builder(&repository, "nightly");
    assert_eq!(builder().arg("--list").text().unwrap(), "");
    let index = repository.path().join("channels/nightly/index.asc");
    world
        .client("virt-index-validate")
        .arg(index)
        .run()
        .unwrap();

    let error = publish_with(&repository, &one, |p| p.channel = "nightly").unwrap_err();
    let text = error.render();
    assert_eq!(error.kind(), Kind::Gate);
    assert!(text.contains("was yanked: a token in /etc"), "{text}");
    let error = repository.rollback("web-node", "nightly", Some(1), &Stamp::now(), &ui);
    assert!(error.is_err());
    assert_eq!(
        publish_with(&repository, &two, |p| p.channel = "nightly")
            .unwrap()
            .revision,
        6
    );
    assert_eq!(
        repository.entries("nightly").unwrap().len(),
        1,
        "the placeholder is gone"
    );
    assert!(repository.yank("web-node", 99, false, &stamp, &ui).is_err());
}

#[test]
fn a_pruned_revision_leaves_the_lists_first_and_its_files_later() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let disks = ["one", "two", "three", "four", "five"].map(|text| world.disk(text));
    for (disk, version) in disks.iter().zip(["1", "2", "3", "4", "5"]) {
        publish_with(&repository, disk, |p| p.version = version).unwrap();
    }
    // Another image lies on the second one, and a channel still has the first.
    publish_with(&repository, &disks[0], |p| p.channel = "archive").unwrap();
    publish_with(&repository, &disks[4], |p| {
        p.name = "child";
        p.built_on = vec!["web-node-2".into()];
    })
    .unwrap();
    let prune = |days, really| {
        repository
            .prune(&policy(1), really, &in_days(days))
            .unwrap()
    };
    let numbers = |candidates: &[imgforge::repository::PruneCandidate]| {
        candidates
            .iter()
            .flat_map(|one| one.revisions.clone())
            .collect::<Vec<_>>()
    };
    assert!(
        prune(0, true).is_empty(),
        "all of it was there in the window"
    );

    let shown = prune(40, false);
    assert_eq!(numbers(&shown), [3, 4]);
    assert!(
        shown.iter().all(|one| matches!(one.fate, Fate::Retire(_))),
        "{shown:?}"
    );
    assert_eq!(
        repository.state().unwrap().images["web-node"].revisions[&3].retired,
        None
    );
    assert_eq!(numbers(&prune(40, true)), [3, 4]);
    assert_eq!(
        revision_dirs(repository.path()).len(),
        5,
        "downloads may still run"
    );
    assert!(prune(40, true).is_empty(), "nothing more to do yet");

    // What comes back before its files are gone stays.
    repository
        .rollback("web-node", "stable", Some(4), &in_days(41), &ui)
        .unwrap();
    let removed = prune(42, true);
    assert_eq!(
        (numbers(&removed), removed[0].fate),
        (vec![3], Fate::Remove)
    );
    assert_eq!(revision_dirs(repository.path()), ["1", "2", "4", "5", "6"]);
    world.fetched_equals(&repository, "stable", "web-node", &disks[3]);

    // The number is taken for ever, and the same bytes can come again under another.
    let again = publish(&repository, &disks[2]);
    assert_eq!(again.revision, 7);
    world.fetched_equals(&repository, "stable", "web-node", &disks[2]);

    // Yanked: no history keeps it.
    repository
        .yank("web-node", 5, false, &in_days(43), &ui)
        .unwrap();
    assert_eq!(numbers(&prune(44, true)), [5]);
    assert_eq!(numbers(&prune(46, true)), [5]);
    assert!(!revision_dirs(repository.path()).contains(&"5".to_owned()));
}

#[test]
fn a_copy_serves_the_same_goes_on_and_follows() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish_with(&repository, &one, |p| {
        p.companions = vec![
            Companion::bytes("notes.txt", "hello\n").signed(),
            Companion::file("disk.raw", &one.raw),
        ];
    })
    .unwrap();
    publish_with(&repository, &two, |p| p.channel = "nightly").unwrap();
    let copy = world.path("copy");
    let stage = Ui::silent().stage("repository", "copy");
    let copied = repository.copy(&copy, &stage).unwrap();
    assert_eq!(copied.kept, 0);
    assert!(copied.files >= 6, "{copied:?}");
    let mirror = Repository::open(world.settings(&copy)).unwrap();
    world.fetched_equals(&mirror, "stable", "web-node", &one);
    world.fetched_equals(&mirror, "nightly", "web-node-nightly", &two);
    let signature = std::fs::read(copy.join("images/web-node/1/notes.txt.asc")).unwrap();
    let notes = copy.join("images/web-node/1/notes.txt");
    let keyring = Keyring::of_file(&mirror.keyring(), None).unwrap();
    verify_detached(&notes, &signature, &keyring).unwrap();

    // A half-way copy serves what it served, and the next one goes on.
    let three = world.disk("three");
    publish(&repository, &three);
    repository
        .yank("web-node", 2, true, &Stamp::now(), &ui)
        .unwrap();
    let before = std::fs::read(copy.join("index.asc")).unwrap();
    let (root, target) = (repository.path().to_owned(), copy.clone());
    let broken = Repository::open(world.settings(&root))
        .unwrap()
        .on_step(move |step| {
            if step == "copy a file" {
                let part = "images/web-node/3/web-node-0123456789ab.xz.part";
                drop(std::fs::create_dir(target.join(part)));
            }
        });
    assert!(
        broken
            .copy(&copy, &stage)
            .unwrap_err()
            .render()
            .contains("web-node-0123456789ab.xz.part")
    );
    assert_eq!(std::fs::read(copy.join("index.asc")).unwrap(), before);
    std::fs::remove_dir(copy.join("images/web-node/3/web-node-0123456789ab.xz.part")).unwrap();
    let again = repository.copy(&copy, &stage).unwrap();
    assert_eq!((again.files, again.removed), (1, 1), "{again:?}");
    world.fetched_equals(&mirror, "stable", "web-node", &three);
    assert_eq!(revision_dirs(&copy), ["1", "3"]);
    let last = repository.copy(&copy, &stage).unwrap();
    assert_eq!((last.files, last.bytes), (0, 0));

    // A damaged source is not spread, and another repository not replaced.
    let blob = root.join("images/web-node/3/web-node-0123456789ab.xz");
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let error = repository.copy(&world.path("second"), &stage).unwrap_err();
    assert!(
        error.render().contains("is not what was published"),
        "{}",
        error.render()
    );
    let other = Repository::open(world.settings(&world.path("other"))).unwrap();
    let error = other.copy(&copy, &stage).unwrap_err();
    assert!(error.message().contains("is another repository"), "{error}");
    assert!(repository.copy(&root.join("inside"), &stage).is_err());
}

#[test]
fn hooks_are_told_and_undo_nothing() {
    let world = World::new();
    let disk = world.disk("one");
    let hook = |script: &str, timeout| Hook {
        run: vec!["sh".into(), "-c".into(), script.into()],
        dir: world.dir.path().to_owned(),
        timeout: Span::seconds(timeout),
    };
    let mut settings = world.settings(&world.path("repo"));
    settings.hooks = vec![
        hook("exit 3", 60),
        hook("sleep infinity", 1),
        hook("cat >> told; echo >> told", 60),
    ];
    let repository = Repository::open(settings).unwrap();
    let warnings = Arc::new(Mutex::new(vec![]));
    let ui = Ui::new(Notices(Arc::clone(&warnings)));
    let gate = proof("sealed");
    let publications = [publication(&disk, &gate)];
    repository.publish(&publications, &ui).unwrap();
    repository.publish(&publications, &ui).unwrap();
    repository
        .promote(
            "web-node",
            ("stable", "nightly"),
            &Stamp::now().why(Some("good")),
            &ui,
        )
        .unwrap();
    let told = std::fs::read_to_string(world.path("told")).unwrap();
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 2, "one a change: {told:?}");
    assert_eq!(
        (
            &told[0]["action"],
            &told[0]["image"],
            &told[0]["revision"],
            &told[0]["version"]
        ),
        (&json!("publish"), &json!("web-node"), &json!(1), &json!(1))
    );
    assert_eq!(
        (
            &told[1]["action"],
            &told[1]["channel"],
            &told[1]["from"],
            &told[1]["why"]
        ),
        (
            &json!("promote"),
            &json!("nightly"),
            &json!("stable"),
            &json!("good")
        )
    );
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(
        warnings[0].contains("the repository has changed all the same"),
        "{warnings:?}"
    );
    assert_eq!(repository.entries("stable").unwrap().len(), 1);
}
