//! `repo query` over what publications keep of the SBOMs.

use imgforge::repository::query::{query, ranges};

use super::*;

#[test]
fn a_query_finds_revisions_by_version_in_every_channel() {
    let world = World::new();
    let repository = world.repository();
    let versions = [
        ("one", "3.5.1-1"),
        ("two", "3.5.2~rc1-1"),
        ("three", "3.5.2-1"),
        ("four", "3.10.0-1"),
    ];
    for (text, version) in versions {
        let disk = world.disk(text);
        let packages = [
            package("openssl", version, ""),
            package("libssl3", version, "openssl"),
            package("vim", "2:9.0-1", ""),
        ];
        publish_with(&repository, &disk, |p| {
            p.companions = companions(&disk, &contents(Kind::Deb, &packages))
        })
        .unwrap();
    }
    let rpm = world.disk("rpm");
    let packages = [package("openssl", "3.5.1-6.el9", "")];
    publish_with(&repository, &rpm, |p| {
        (p.name, p.channel) = ("rocky", "nightly");
        p.companions = companions(&rpm, &contents(Kind::Rpm, &packages));
    })
    .unwrap();
    let bare = world.disk("bare");
    publish_with(&repository, &bare, |p| p.name = "bare").unwrap();

    let root = repository.path();
    let ask = |text: &str, channel| {
        let answer = query(root, &text.parse().unwrap(), channel).unwrap();
        let rows = answer.found.iter().map(|f| {
            format!(
                "{} {} {} {}",
                f.image,
                f.package,
                f.version,
                ranges(&f.revisions)
            )
        });
        (rows.collect::<Vec<_>>(), answer)
    };
    let (rows, answer) = ask("openssl<3.5.2", None);
    assert_eq!(
        rows,
        [
            "rocky openssl 3.5.1-6.el9 1",
            "web-node libssl3 3.5.1-1 1",
            "web-node libssl3 3.5.2~rc1-1 2",
            "web-node openssl 3.5.1-1 1",
            "web-node openssl 3.5.2~rc1-1 2",
        ]
    );
    assert_eq!(answer.unknown["bare"], [1], "what has no SBOM is told of");
    assert_eq!(answer.found[0].channels["nightly"], [1]);
    assert!(
        ask("openssl<3.5.2", Some("stable")).0.is_empty(),
        "stable has 3.10"
    );
    let (rows, answer) = ask("vim<9.1", None);
    assert!(
        rows.is_empty() && answer.epochs == ["vim 2:9.0-1"],
        "{rows:?} {:?}",
        answer.epochs
    );
    assert_eq!(ask("vim<2:9.1", None).0, ["web-node vim 2:9.0-1 1-4"]);

    repository
        .yank(
            "web-node",
            1,
            false,
            &Stamp::now().why(Some("a test")),
            &Ui::silent(),
        )
        .unwrap();
    assert_eq!(ask("openssl<=3.5.1-1", None).0, Vec::<String>::new());

    // A list that was lost is written anew by the next publication.
    std::fs::remove_file(root.join("images/web-node/packages.json")).unwrap();
    let five = world.disk("five");
    let packages = [package("openssl", "3.11-1", "")];
    publish_with(&repository, &five, |p| {
        p.companions = companions(&five, &contents(Kind::Deb, &packages))
    })
    .unwrap();
    assert_eq!(
        ask("openssl>=3.5.2", Some("stable")).0,
        ["web-node openssl 3.11-1 5"]
    );
    assert_eq!(ask("libssl3", None).0.len(), 3);
    let changes = read(root, "images/web-node/changes.json");
    let diff = &changes["revisions"]["5"]["diff"];
    assert_eq!(diff["changed"][0]["new"], "3.11-1");
    assert_eq!(diff["removed"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_command_line_prints_a_table_or_json_and_compares_revisions() {
    let world = World::new();
    let repository = world.repository();
    for (text, version) in [("one", "3.5.1-1"), ("two", "3.5.2-1")] {
        let disk = world.disk(text);
        let packages = [package("openssl", version, "")];
        let mut contents = contents(Kind::Deb, &packages);
        contents.config.insert("/etc/issue".into(), text.into());
        publish_with(&repository, &disk, |p| {
            p.companions = companions(&disk, &contents)
        })
        .unwrap();
    }
    world.configure("repositories: {main: {path: repo}}\n");
    let run = |args: &[&str]| world.ok(args).out;
    let table = run(&["repo", "query", "openssl<3.5.2"]);
    assert!(
        table.contains("web-node") && table.contains("3.5.1-1") && !table.contains("3.5.2-1"),
        "{table}"
    );
    let json: Value = serde_json::from_str(&run(&["repo", "query", "--json", "openssl"])).unwrap();
    assert_eq!(json["found"].as_array().map(Vec::len), Some(2));
    let diff = run(&["diff", "web-node@1", "web-node@stable"]);
    assert!(
        diff.contains("3.5.1-1") && diff.contains("3.5.2-1") && diff.contains("/etc/issue"),
        "{diff}"
    );
    assert_eq!(
        run(&["diff", "web-node@2", "web-node@stable"]),
        "no difference\n"
    );
    let arm = world.disk("arm");
    let packages = [package("openssl", "3.5.2-1", "")];
    publish_with(&repository, &arm, |p| {
        p.arch = "aarch64";
        p.companions = companions(&arm, &contents(Kind::Deb, &packages));
    })
    .unwrap();
    let refused = |args: &[&str], why: &str| {
        world.run(args).exits(2).says(&[why]);
    };
    let apart = "web-node@2 is for x86_64, and web-node@3 for aarch64";
    refused(&["diff", "web-node@2", "web-node@3"], apart);
    let several = "name one of web-node:aarch64@stable, web-node:x86_64@stable";
    refused(&["diff", "web-node@2", "web-node@stable"], several);
    let other = "`web-node:x86_64` has no revision or channel `3`";
    refused(&["diff", "web-node@2", "web-node:x86_64@3"], other);
    for of_one in [
        ["diff", "web-node@2", "web-node:x86_64@stable"],
        ["diff", "web-node:aarch64@3", "web-node:aarch64@stable"],
    ] {
        assert_eq!(run(&of_one), "no difference\n");
    }
}

#[test]
fn what_the_gate_found_is_read_whichever_version_wrote_it_and_again_where_it_could_not_be() {
    let world = World::new();
    let repository = world.repository();
    for text in ["one", "two"] {
        publish(&repository, &world.disk(text));
    }
    let root = repository.path();
    let path = |number| root.join(format!("images/web-node/{number}/manifest.json"));
    let list = root.join("images/web-node/changes.json");
    let (now, ui) = (Stamp::now().why(Some("a test")), Ui::silent());
    let back = |to| {
        let moved = repository.rollback("web-node", "stable", Some(to), &now, &ui);
        let checks = &read(root, "images/web-node/changes.json")["revisions"];
        (moved.unwrap()[0].revision, checks.clone())
    };
    let boots = |checks: &Value| checks["checks"][0] == "a machine booted it";

    // One that an older version has written, and a damaged one.
    let mut older = read(root, "images/web-node/1/manifest.json");
    let clone = older["gate"]["clones"][0].as_object_mut().unwrap();
    clone.remove("boots").unwrap();
    std::fs::write(path(1), older.to_string()).unwrap();
    let whole = std::fs::read(path(2)).unwrap();
    std::fs::write(path(2), "{\"version\": 1, ").unwrap();
    std::fs::remove_file(&list).unwrap();
    let (number, revisions) = back(1);
    assert_eq!(number, Some(3));
    assert!(boots(&revisions["1"]), "{revisions}");
    let unreadable = json!(["what the gate found cannot be read"]);
    assert_eq!(revisions["2"]["checks"], unreadable);

    // It is whole again; the one of a rollback is not, whose bytes' first one is.
    std::fs::write(path(2), whole).unwrap();
    std::fs::write(path(3), "{\"version\": 1, ").unwrap();
    let (_, revisions) = back(2);
    assert!(boots(&revisions["2"]), "{revisions}");
    std::fs::remove_file(&list).unwrap();
    let (number, revisions) = back(3);
    assert_eq!(number, Some(5));
    assert!(boots(&revisions["3"]), "{revisions}");
    let manifest = repository.state().unwrap().manifest("web-node", 5).unwrap();
    assert_eq!((manifest.same_as, manifest.gate.is_some()), (Some(1), true));
}
