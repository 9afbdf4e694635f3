//! The verbs about repositories, as people and scripts use them.

use super::world::*;

/// A site whose repository has a canary channel and a hook.
fn hooked() -> World {
    let site = World::publishing();
    let config = "repositories:\n  main:\n    path: repo\n    \
                  channels: {canaried: {canary: 10%}}\n    \
                  hooks: [{run: [./announce]}]\n";
    site.configure(config);
    let hook = site.path("announce");
    std::fs::write(&hook, "#!/bin/sh\ncat >> announced\n").unwrap();
    std::fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
    site
}

#[test]
fn a_channels_life_on_the_command_line() {
    let site = hooked();
    let repository = site.repository();
    let (one, two) = (site.disk("one"), site.disk("two"));
    publish_with(&repository, &one, |p| p.channel = "nightly").unwrap();
    let promote = ["channel", "promote", "web-node", "nightly", "stable"];
    assert_eq!(
        site.ok(&promote).out,
        "stable: web-node x86_64 has revision 1 (promote)\n"
    );
    assert_eq!(
        site.ok(&promote).out,
        "stable: web-node is the same already\n"
    );
    let announced = std::fs::read_to_string(site.path("announced")).unwrap();
    assert!(announced.contains("\"action\":\"promote\""), "{announced}");
    publish_with(&repository, &two, |p| p.channel = "nightly").unwrap();
    site.ok(&promote);
    site.ok(&["channel", "rollback", "web-node", "--why", "it hangs"]);

    site.ok(&["channel", "freeze", "stable", "--why", "release week"]);
    let error = site.fails(4, &promote);
    assert!(error.contains("is frozen: release week"), "{error}");
    let list = site.ok(&["channel", "list"]).out;
    assert!(list.contains("stable is frozen since"), "{list}");
    site.ok(&["channel", "thaw", "stable", "--why", "released"]);
    site.fails(2, &["channel", "freeze", "stable"]);

    let list: Value = serde_json::from_str(&site.ok(&["channel", "list", "--json"]).out).unwrap();
    let stable = list
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["channel"] == "stable")
        .unwrap();
    assert_eq!(
        (&stable["default"], &stable["images"][0]["revision"]),
        (&json!(true), &json!(3))
    );
    let history = site
        .ok(&[
            "channel",
            "history",
            "web-node",
            "--channel",
            "stable",
            "--json",
        ])
        .out;
    let history: Value = serde_json::from_str(&history).unwrap();
    let words: Vec<&str> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            one["action"].as_str().unwrap_or(if one["frozen"] == true {
                "freeze"
            } else {
                "thaw"
            })
        })
        .collect();
    assert_eq!(words, ["promote", "promote", "rollback", "freeze", "thaw"]);
    assert_eq!(history[2]["why"], "it hangs");
    let table = site.ok(&["channel", "history"]).out;
    assert!(
        table.contains("promote from nightly") && table.contains("release week"),
        "{table}"
    );

    let canaried = ["channel", "promote", "web-node", "nightly", "canaried"];
    site.ok(&canaried);
    publish_with(&repository, &one, |p| p.channel = "nightly").unwrap();
    assert!(site.ok(&canaried).out.contains("(canary)"));
    let complete = ["channel", "complete", "web-node", "--channel", "canaried"];
    site.ok(&[&complete[..], &["--share", "50%"]].concat());
    assert!(site.ok(&["channel", "list"]).out.contains("for 50%"));
    assert!(site.ok(&complete).out.contains("(complete)"));
    site.fails(2, &complete);
}

#[test]
fn a_repositorys_care_on_the_command_line() {
    let site = hooked();
    let repository = site.repository();
    for text in ["one", "two", "three"] {
        publish(&repository, &site.disk(text));
    }
    assert!(
        site.ok(&["repo", "verify"])
            .out
            .contains("is right: 1 channels, 1 entries, 3 revisions")
    );
    let verified: Value =
        serde_json::from_str(&site.ok(&["repo", "verify", "--json"]).out).unwrap();
    assert_eq!(
        (&verified["valid"], &verified["revisions"]),
        (&json!(true), &json!(3))
    );

    let prune = [
        "repo",
        "prune",
        "--keep",
        "1",
        "--keep-days",
        "0",
        "--grace",
        "0s",
    ];
    assert!(site.ok(&prune).out.contains("--yes does it"));
    let done = site.ok(&[&prune[..], &["--yes"]].concat()).out;
    assert!(
        done.contains("web-node 1: removed") && done.contains("web-node 2: removed"),
        "{done}"
    );
    assert_eq!(site.ok(&prune).out, "nothing to remove\n");

    publish(&repository, &site.disk("four"));
    let yank = [
        "repo",
        "yank",
        "web-node@4",
        "--why",
        "a leaked key",
        "--purge",
    ];
    let yanked = site.ok(&yank).out;
    assert!(yanked.contains("removed images/web-node/4"), "{yanked}");
    assert!(
        yanked.contains("has revision 5, instead of 4 (yank)"),
        "{yanked}"
    );
    site.fails(2, &["repo", "yank", "web-node"]);
    assert!(
        site.ok(&["repo", "copy", "mirror"])
            .out
            .starts_with("copied ")
    );
    site.ok(&["repo", "verify", "mirror"]);

    let begun = site.ok(&["repo", "rotate-key", "--suffix", "next"]).out;
    assert!(begun.contains("/index-next.asc"), "{begun}");
    site.fails(2, &["repo", "rotate-key"]);
    site.ok(&["repo", "rotate-key", "--finish"]);
    site.ok(&["repo", "verify"]);

    let blob = site.path("repo/images/web-node/3/web-node-0123456789ab.xz");
    std::fs::write(&blob, "x").unwrap();
    let error = site.fails(4, &["repo", "verify"]);
    assert!(error.contains("it has 1 bytes"), "{error}");

    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/index");
    let index = |name: &str| format!("{fixtures}/{name}.index");
    let good = site
        .ok(&["repo", "verify", "--index", &index("good-two")])
        .out;
    assert!(
        good.contains("2 entries") && good.contains("before 1.55.6: reads it"),
        "{good}"
    );
    let differs = site.run(&[
        "repo",
        "verify",
        "--index",
        &index("differs-no-blank-between"),
    ]);
    let differs = differs.exits(4);
    differs.prints(&["before 1.55.6: does not: line 12"]);
    let error = site.fails(
        4,
        &["repo", "verify", "--index", &index("rule-duplicate-field")],
    );
    assert!(error.contains("`arch` is already in line 5"), "{error}");
}

#[test]
fn publish_takes_only_what_is_built_and_publishes_it() {
    let site = hooked();
    let recipe = "install: {import: {image: disk.raw}}\nmachine: {disk: 1GiB}\n";
    site.image("small", recipe);
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(site.path("disk.raw"), disk).unwrap();
    let error = site.fails(2, &["publish", "small", "--to", "nightly"]);
    assert!(
        error.contains("has no finished build of `small`"),
        "{error}"
    );
    assert!(error.contains("imgforge plan small --explain"), "{error}");
    site.fails(2, &["publish", "small", "--to", "No Channel"]);

    site.ok(&["build", "small", "--until", "install"]);
    let (one, repository) = (site.disk("one"), site.repository());
    site.finish("small", &one);
    let told = site.ok(&["publish", "small", "--to", "nightly"]).out;
    assert!(told.contains("revision 1"), "{told}");
    site.fetched_equals(&repository, "nightly", "small-nightly", &one);
    // The same bytes are the same revision, wherever they go.
    site.ok(&["publish", "small", "--to", "nightly"]);
    let told = site.ok(&["publish", "small", "--to", "stable"]).out;
    assert!(told.contains("revision 1"), "{told}");
    site.fetched_equals(&repository, "stable", "small", &one);
    let verified = site.ok(&["repo", "verify"]).out;
    assert!(
        verified.contains("2 channels, 2 entries, 1 revisions"),
        "{verified}"
    );
    site.ok(&["channel", "freeze", "stable", "--why", "a fair"]);
    let error = site.fails(4, &["publish", "small", "--to", "stable"]);
    assert!(error.contains("a fair"), "{error}");
}
