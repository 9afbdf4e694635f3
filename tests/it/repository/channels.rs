//! Channels of one repository.

use imgforge::channels::Share;
use imgforge::repository::State;
use imgforge::repository::state::ChannelEvent;

use super::world::*;

#[test]
fn channels_share_the_counter_and_have_names_of_their_own() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    let nightly = |disk: &Disk| publish_with(&repository, disk, |p| p.channel = "nightly").unwrap();
    let first = nightly(&one);
    assert_eq!(
        (first.revision, first.entry.as_str()),
        (1, "web-node-nightly")
    );
    assert_eq!(publish(&repository, &two).revision, 2);
    assert_eq!(
        nightly(&two).revision,
        2,
        "the same bytes keep their number"
    );
    world.fetched_equals(&repository, "nightly", "web-node-nightly", &two);
    world.fetched_equals(&repository, "stable", "web-node", &two);
    assert_eq!(repository.entries("nightly").unwrap()[0].revision, 2);

    let error = publish_with(&repository, &one, |p| p.name = "web-node-nightly").unwrap_err();
    assert!(
        error.render().contains("belongs to `web-node`"),
        "{}",
        error.render()
    );
    let other = Settings {
        default_channel: "nightly".into(),
        ..world.settings(repository.path())
    };
    assert!(
        Repository::open(other)
            .unwrap_err()
            .message()
            .contains("is `stable`")
    );
}

fn nightly(repository: &Repository, disk: &Disk) -> Published {
    publish_with(repository, disk, |p| p.channel = "nightly").unwrap()
}

/// `revision (action)` of what a channel got.
fn told(moved: &[ChannelEvent]) -> Vec<String> {
    let one =
        |moved: &ChannelEvent| format!("{:?} {} {}", moved.revision, moved.action, moved.arch);
    moved.iter().map(one).collect()
}

fn why(text: &str) -> Stamp {
    Stamp::now().why(Some(text))
}

#[test]
fn a_promotion_keeps_its_number_where_it_is_higher() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    let promote = |why_not: &str| {
        let to = ("nightly", "stable");
        repository
            .promote("web-node", to, &why(why_not), &ui)
            .unwrap()
    };
    nightly(&repository, &one);
    let moved = promote("the first one");
    assert_eq!(told(&moved), ["Some(1) promote x86_64"]);
    assert_eq!(moved[0].from.as_deref(), Some("nightly"));
    assert!(promote("again").is_empty(), "the same bytes");

    nightly(&repository, &two);
    assert_eq!(publish(&repository, &three).revision, 3);
    let moved = promote("older than what is there");
    assert_eq!(told(&moved), ["Some(4) promote x86_64"], "2 is below 3");
    world.fetched_equals(&repository, "stable", "web-node", &two);
    let manifest = repository.state().unwrap().manifest("web-node", 4).unwrap();
    assert_eq!((manifest.same_as, manifest.revision), (Some(2), 4));
    let gate = manifest.gate.unwrap().read().unwrap();
    assert_eq!(gate.clones[0].boots, 2);

    let error = repository
        .promote("web-node", ("stable", "stable"), &why("x"), &ui)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    for (name, from, expected) in [
        ("nothing", "nightly", "has no image `nothing`"),
        ("web-node", "weekly", "has no channel `weekly`"),
    ] {
        let to = (from, "stable");
        let error = repository.promote(name, to, &why("x"), &ui).unwrap_err();
        assert!(error.render().contains(expected), "{}", error.render());
    }
}

#[test]
fn a_rollback_brings_old_bytes_under_a_higher_number_at_once() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    let back = |to| repository.rollback("web-node", "stable", to, &why("it hangs"), &ui);
    publish(&repository, &one);
    let error = back(None).unwrap_err().render();
    assert!(error.contains("had nothing else"), "{error}");
    publish(&repository, &two);
    publish(&repository, &three);
    assert_eq!(told(&back(None).unwrap()), ["Some(4) rollback x86_64"]);
    world.fetched_equals(&repository, "stable", "web-node", &two);
    assert_eq!(told(&back(None).unwrap()), ["Some(5) rollback x86_64"]);
    world.fetched_equals(&repository, "stable", "web-node", &one);
    assert!(back(None).is_err(), "never forward to what was taken back");
    assert_eq!(told(&back(Some(3)).unwrap()), ["Some(6) rollback x86_64"]);
    world.fetched_equals(&repository, "stable", "web-node", &three);
    assert!(back(Some(3)).is_err(), "it is there");
    assert!(back(Some(77)).is_err());

    let state = repository.state().unwrap();
    let history = &state.images["web-node"].history;
    assert_eq!(history.len(), 6);
    let last = &history[5];
    assert_eq!(
        (last.replaced, last.stamp.why.as_deref()),
        (Some(5), Some("it hangs"))
    );
    assert!(last.stamp.who.contains('@'), "{last:?}");
    let fresh = publish_with(&repository, &one, |p| {
        p.stamp = Stamp::now().commit(Some("0123abc".into()));
    });
    assert_eq!(fresh.unwrap().revision, 7);
    let state = repository.state().unwrap();
    let last = state.images["web-node"].history.last().unwrap();
    assert_eq!(last.stamp.commit.as_deref(), Some("0123abc"));
}

#[test]
fn a_rollback_keeps_all_that_the_old_manifest_says_and_warns_of_a_damaged_one() {
    let world = World::new();
    let warnings = Arc::default();
    let settings = Settings {
        ui: Ui::new(Notices(Arc::clone(&warnings))),
        ..world.settings(&world.path("repo"))
    };
    let repository = Repository::open(settings).unwrap();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&repository, &one);
    publish(&repository, &two);
    let path = |number: u64| {
        let root = repository.path();
        root.join(format!("images/web-node/{number}/manifest.json"))
    };
    let read = |number| -> Value {
        let bytes = std::fs::read(path(number)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let back = |to| {
        repository.rollback(
            "web-node",
            "stable",
            Some(to),
            &why("it leaks"),
            &Ui::silent(),
        )
    };
    let mut newer = read(1);
    newer["rating"] = json!({"stars": 5});
    newer["gate"]["clones"][0]["colour"] = json!("blue");
    std::fs::write(path(1), newer.to_string()).unwrap();
    back(1).unwrap();
    let again = read(3);
    for key in ["imgforge", "sealed", "gate", "rating", "sha512", "file"] {
        assert!(!again[key].is_null(), "{key}");
        assert_eq!(again[key], newer[key], "{key}");
    }
    let numbers = (&again["revision"], &again["same-as"]);
    assert_eq!(numbers, (&json!(3), &json!(1)));
    assert_eq!(*warnings.lock().unwrap(), Vec::<String>::new());

    std::fs::write(path(2), "{\"version\": 1, ").unwrap();
    back(2).unwrap();
    let told = warnings.lock().unwrap().join("\n");
    let expected = format!("web-node@4 lacks facts: {} is damaged", path(2).display());
    assert!(told.contains(&expected), "{told}");
    assert_eq!(
        (&read(4)["revision"], &read(4)["gate"]),
        (&json!(4), &Value::Null)
    );
}

#[test]
fn a_frozen_channel_stays_as_it_is() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&repository, &one);
    nightly(&repository, &two);
    repository
        .freeze("stable", true, &why("release week"))
        .unwrap();
    let index = std::fs::read(repository.path().join("index.asc")).unwrap();
    let refused = [
        publish_with(&repository, &two, |_| {}).map(drop),
        repository
            .promote("web-node", ("nightly", "stable"), &why("x"), &ui)
            .map(drop),
        repository
            .rollback("web-node", "stable", Some(2), &why("x"), &ui)
            .map(drop),
        repository
            .complete("web-node", "stable", None, &why("x"), &ui)
            .map(drop),
        State::refuse_frozen(repository.path(), "stable"),
    ];
    for result in refused {
        let error = result.unwrap_err();
        let text = error.render();
        assert_eq!(
            (error.kind(), error.kind().exit_code()),
            (Kind::Gate, 4),
            "{text}"
        );
        assert!(text.contains("is frozen: release week"), "{text}");
        assert!(text.contains("imgforge channel thaw stable"), "{text}");
    }
    assert_eq!(
        std::fs::read(repository.path().join("index.asc")).unwrap(),
        index
    );
    assert!(repository.freeze("stable", true, &why("twice")).is_err());
    publish_with(&repository, &one, |p| p.channel = "nightly").unwrap();

    repository
        .freeze("stable", false, &why("released"))
        .unwrap();
    assert!(repository.freeze("stable", false, &why("twice")).is_err());
    assert_eq!(publish(&repository, &two).revision, 2);
    let log = &repository.state().unwrap().channels["stable"].log;
    let log: Vec<_> = log
        .iter()
        .map(|one| (one.frozen, one.stamp.why.as_deref()))
        .collect();
    assert_eq!(
        log,
        [(true, Some("release week")), (false, Some("released"))]
    );
}

#[test]
fn one_client_uses_two_channels_at_once() {
    let world = World::new();
    let repository = world.repository();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&repository, &one);
    nightly(&repository, &two);
    let both = |order: [&str; 2]| {
        let root = address(repository.path());
        let section = |channel: &str| {
            let index = repository.state().unwrap().index_path(channel);
            format!("[{channel}]\nuri={root}/{index}\ngpgkey={root}/imgforge.gpg\n")
        };
        world.sources(&order.map(section).join("\n"));
        let list = world
            .client("virt-builder")
            .args(["--list", "--list-format", "json"]);
        let list = list.json::<Value>().unwrap();
        let names = list["templates"].as_array().unwrap().iter();
        names
            .map(|one| one["os-version"].clone())
            .collect::<Vec<_>>()
    };
    for order in [["stable", "nightly"], ["nightly", "stable"]] {
        let mut names = both(order);
        names.sort_by_key(Value::to_string);
        assert_eq!(names, ["web-node", "web-node-nightly"]);
        world.unpacked_equals(world.client("virt-builder"), "web-node", &one);
        world.unpacked_equals(world.client("virt-builder"), "web-node-nightly", &two);
    }
}

#[test]
fn a_trial_gives_a_new_revision_to_some_and_ends_for_all() {
    let world = World::new();
    let ui = Ui::silent();
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    let mut settings = world.settings(&world.path("repo"));
    settings.channels = [("stable".to_owned(), canary("10%"))].into();
    let repository = Repository::open(settings).unwrap();
    let listed = || {
        let entries = repository.entries("stable").unwrap();
        let one = |entry: &imgforge::index::IndexEntry| format!("{} {}", entry.id, entry.revision);
        entries.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(publish(&repository, &one).revision, 1);
    assert_eq!(
        listed(),
        ["web-node 1"],
        "the first has nothing to be tried against"
    );
    assert_eq!(publish(&repository, &two).revision, 2);
    assert_eq!(listed(), ["web-node 1", "web-node-stable-canary 2"]);
    world.fetched_equals(&repository, "stable", "web-node", &one);
    world.fetched_equals(&repository, "stable", "web-node-stable-canary", &two);
    let trial = repository.entries("stable").unwrap().remove(1);
    let field = |key: &str| {
        trial
            .other
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
    };
    assert_eq!(field("imgforge_canary").as_deref(), Some("10"));
    assert_eq!(field("imgforge_canary_of").as_deref(), Some("web-node"));
    assert!(!publish(&repository, &two).changed, "it is on trial");

    let complete =
        |share: Option<Share>| repository.complete("web-node", "stable", share, &why("fine"), &ui);
    complete(Some("50%".parse().unwrap())).unwrap();
    let placement = &repository.state().unwrap().images["web-node"].channels["stable"];
    assert_eq!(placement.canary["x86_64"].share.to_string(), "50%");
    assert_eq!(told(&complete(None).unwrap()), ["Some(2) complete x86_64"]);
    assert_eq!(listed(), ["web-node 2"]);
    assert!(complete(None).is_err(), "nothing is on trial");

    publish(&repository, &three);
    let back = repository.rollback("web-node", "stable", None, &why("slow"), &ui);
    assert_eq!(told(&back.unwrap()), ["Some(4) rollback x86_64"]);
    assert_eq!(listed(), ["web-node 4"], "above what some machines have");
    world.fetched_equals(&repository, "stable", "web-node", &two);

    publish(&repository, &one);
    assert_eq!(listed(), ["web-node 4", "web-node-stable-canary 5"]);
    let ended = publish(&repository, &two);
    assert_eq!((ended.revision, ended.changed), (6, true));
    assert_eq!(listed(), ["web-node 6"], "above what some machines have");

    let clash = publish_with(&repository, &one, |p| p.name = "web-node-stable-canary");
    assert!(
        clash
            .unwrap_err()
            .render()
            .contains("belongs to `web-node`")
    );
}

#[test]
fn architectures_are_promoted_and_go_back_together() {
    let world = World::new();
    let (repository, ui) = (world.repository(), Ui::silent());
    let on = |text: &str, arch: &'static str| {
        let disk = world.disk(text);
        let published = publish_with(&repository, &disk, |p| {
            (p.channel, p.arch) = ("nightly", arch);
        });
        (disk, published.unwrap().revision)
    };
    let promote = |text: &str| {
        let to = ("nightly", "stable");
        told(&repository.promote("web-node", to, &why(text), &ui).unwrap())
    };
    let (intel, _) = on("intel", "x86_64");
    let (arm, _) = on("arm", "aarch64");
    let mut moved = promote("both");
    moved.sort();
    assert_eq!(moved, ["Some(1) promote x86_64", "Some(2) promote aarch64"]);
    let (_, third) = on("arm, newer", "aarch64");
    assert_eq!(promote("what moved"), ["Some(3) promote aarch64"]);
    assert_eq!(third, 3);

    // What the stock client takes for each machine.
    let arch = |name: &'static str| {
        let client = world.virt_builder(&repository, "stable");
        client.args(["--arch", name])
    };
    world.unpacked_equals(arch("x86_64"), "web-node", &intel);
    let index = repository.entries("stable").unwrap();
    let revisions = |index: &[imgforge::index::IndexEntry]| {
        let mut all: Vec<_> = index.iter().map(|e| (e.arch.clone(), e.revision)).collect();
        all.sort();
        all
    };
    let expected = [("aarch64".to_owned(), 3), ("x86_64".to_owned(), 1)];
    assert_eq!(revisions(&index), expected);

    // Only one of them has somewhere to go back to.
    let moved = repository
        .rollback("web-node", "stable", None, &why("it does not boot"), &ui)
        .unwrap();
    assert_eq!(told(&moved), ["Some(4) rollback aarch64"]);
    let index = repository.entries("stable").unwrap();
    let of_arm = index.iter().find(|entry| entry.arch == "aarch64").unwrap();
    assert_eq!(of_arm.sha512.as_deref(), Some(&*arm.sha512));
    let list = world.listed(&repository, "stable");
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
}
