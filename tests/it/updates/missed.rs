//! What would be missed in silence: fixes that nobody looks for, or that another mirror hides.

use super::*;
use crate::support::world::IMPORT;

/// What of an image could not be judged.
fn unread(report: &Value) -> String {
    report["images"][0]["unread"].to_string()
}

#[test]
fn an_image_without_a_source_of_security_fixes_is_told() {
    let (_archive, server, world) = mirror();
    let main = format!("deb {} bookworm main", server.text("debian"));
    let sources = |more: &str| Contents {
        sources: [main.as_str(), more]
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| (*line).to_owned())
            .collect(),
        ..deb(&[package("vim", "2:9.0.1378-2", "")])
    };
    world.has("without", &sources(""));
    let said = world.updates(&["without"]).exits(1);
    let said = said.says(&["none of its sources is one of security fixes"]);
    said.prints(&["1  unknown   unknown"]);
    let security = format!(
        "deb {} bookworm-security main",
        server.text("debian-security")
    );
    world.has("with", &sources(&security));
    world.updates(&["with"]).ok();
    // What has no release has no such suite.
    let rolling = Contents {
        release: String::new(),
        sources: vec!["deb http://127.0.0.1:1/debian sid main".into()],
        ..deb(&[package("vim", "2:9.0.1378-2", "")])
    };
    world.has("rolling", &rolling);
    let report = world.updates(&["rolling", "--json"]).exits(1).json();
    assert!(!unread(&report).contains("security"), "{report}");
}

#[test]
fn a_mirror_that_lags_hides_nothing_that_another_one_has() {
    let (old, server, world) = mirror();
    let new = Archive::new();
    for (dir, suite) in [
        (MAIN, "bookworm"),
        ("debian/dists/bookworm-updates", "bookworm-updates"),
    ] {
        new.suite(dir, suite, &[]);
    }
    let newer = [("vim", "2:9.0.1378-3", "")];
    new.suite(SECURITY, "bookworm-security", &newer);
    new.alter(SECURITY, |text| {
        text.replace("Sat, 15 Nov 2025", "Tue, 18 Nov 2025")
    });
    let second = new.serve();
    world.write("second.gpg", new.public_key());
    world.replace(
        "imgforge.yaml",
        "\"]",
        &format!("\", \"{}\"]", second.text("debian")),
    );
    world.replace(
        "imgforge.yaml",
        "[archive.gpg]",
        "[archive.gpg, second.gpg]",
    );
    let said = world.updates(&["editor", "--json"]).exits(4);
    let row = "editor vim 2:9.0.1378-2 2:9.0.1378-3 bookworm-security *";
    assert_eq!(waiting(&said.json()), [row]);
    let lags = format!(
        "{} bookworm-security is 3 d older",
        server.text("debian-security")
    );
    said.says(&[&*lags]);
    // Whichever stands first, and where the newer one has no list that counts.
    new.write(
        &format!("{SECURITY}/main/binary-amd64/Packages.xz"),
        b"nothing",
    );
    let fresh = world.updates(&["editor", "--json"]);
    assert_eq!(waiting(&fresh.exits(4).json()), [row], "it is kept");
    std::fs::remove_dir_all(world.path("state/updates/indexes")).unwrap();
    let said = world.updates(&["editor", "--json"]).ok();
    said.says(&["is not what its index says", "was read instead"]);
    drop(old);
}

#[test]
fn a_kernel_of_another_interface_is_a_newer_kernel() {
    let (archive, _server, world) = mirror();
    let signed = "linux-signed-amd64 (6.1.153+1)";
    archive.suite(
        SECURITY,
        "bookworm-security",
        &[
            ("linux-image-6.1.0-40-amd64", "6.1.153-1", signed),
            ("linux-image-6.1.0-40-cloud-amd64", "6.1.153-1", signed),
            ("linux-image-6.1.0-40-amd64-dbg", "6.1.153-1", "linux"),
            (
                "linux-image-6.12.9-amd64",
                "6.12.9-1",
                "linux-6.12 (6.12.9-1)",
            ),
        ],
    );
    let kernel = |abi: &str, version: &str, source: &str| {
        let mut kernel = package(
            &format!("linux-image-6.1.0-{abi}"),
            version,
            "linux-signed-amd64",
        );
        source.clone_into(&mut kernel.source_version);
        kernel
    };
    let old = kernel("38-cloud-amd64", "6.1.147-1", "6.1.147+1");
    let now = kernel("39-cloud-amd64", "6.1.148-1", "6.1.148+1");
    world.has("cloud", &deb(&[old, now]));
    world.has("new", &deb(&[kernel("40-amd64", "6.1.153-1", "6.1.153+1")]));
    let said = world.updates(&["cloud", "new", "--json"]).exits(4);
    let row = "cloud linux-image-6.1.0-39-cloud-amd64 6.1.148-1 6.1.153-1 bookworm-security *";
    assert_eq!(waiting(&said.json()), [row]);
    let said = world.updates(&["cloud"]).exits(4);
    said.prints(&["6.1.153-1 (linux-image-6.1.0-40-cloud-amd64)"]);

    // Its vulnerabilities are those of the source package that was signed.
    let issue = |fixed: &str| json!({"releases": {"bookworm": {"status": "resolved", "fixed_version": fixed, "urgency": "high"}}});
    let tracker = json!({"linux": {"CVE-1": issue("6.1.153-1"), "CVE-2": issue("6.1.140-1")}});
    world.write("tracker.json", tracker.to_string());
    let config = world.read("imgforge.yaml");
    world.write(
        "imgforge.yaml",
        format!("{config}advisories: [{{format: debian-tracker, from: tracker.json}}]\n"),
    );
    let report = world.updates(&["cloud", "new", "--json"]).exits(4).json();
    assert_eq!(
        report["images"][0]["updates"][0]["advisories"],
        json!(["CVE-1"])
    );
    let of = |number: usize| {
        let all = report["images"][number]["advisories"].as_array();
        let all = all.into_iter().flatten();
        all.map(|one| format!("{} {}", one["source"], one["installed"]))
            .collect::<Vec<_>>()
    };
    let expected = [
        r#""linux" "6.1.147-1""#.to_owned(),
        r#""linux" "6.1.148-1""#.to_owned(),
    ];
    assert_eq!(of(0), expected);
    assert!(of(1).is_empty(), "{report}");
}

#[test]
fn a_canary_is_judged_and_what_it_fixes_is_not_built_again() {
    let (archive, _server, world) = mirror();
    world.disk_file("files/disk.raw");
    world.image("editor", IMPORT);
    world.replace(
        "imgforge.yaml",
        "{path: repo}",
        "{path: repo, channels: {stable: {canary: 10%}}}",
    );
    let newer = [("vim", "2:9.0.1378-3", "")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    let mut settings = world.settings(&world.path("repo"));
    settings.channels = [("stable".to_owned(), canary("10%"))].into();
    let repository = Repository::open(settings).unwrap();
    let publish = |text: &str, version: &str| {
        let disk = world.disk(text);
        publish_with(&repository, &disk, |p| {
            p.name = "editor";
            p.companions = companions(&disk, &deb(&[package("vim", version, "")]));
        })
        .unwrap();
    };
    publish("editor-2", "2:9.0.1378-2+really");
    let said = world.updates(&["editor", "--json"]).exits(4);
    let rows = [
        "editor vim 2:9.0.1378-2 2:9.0.1378-3 bookworm-security *",
        "editor vim 2:9.0.1378-2+really 2:9.0.1378-3 bookworm-security *",
    ];
    assert_eq!(waiting(&said.json()), rows);
    let said = world.updates(&["editor"]).exits(4);
    said.prints(&["editor:x86_64@stable (canary):"]);

    // Now the canary has it.
    publish("editor-3", "2:9.0.1378-3");
    let said = world.updates(&["editor", "--json"]).exits(4);
    assert_eq!(waiting(&said.json()), rows[..1]);
    let build = ["build", "--all", "--updated", "--until", "install"];
    world.ok(&build).says(&["no fixes wait: nothing is built"]);
    // What everybody has waits for it.
    let said = world.run(&["status"]);
    assert!(
        said.out
            .contains("editor in stable for x86_64: 1 fixes wait"),
        "{}",
        said.out
    );
}

#[test]
fn what_nobody_could_judge_is_not_told_as_none() {
    let (_archive, _server, world) = mirror();
    let rpm = [package("bash", "5.1.8-9.el9", "")];
    world.has("rocky", &contents(Kind::Rpm, &rpm));
    world.disk_file("files/disk.raw");
    world.image("editor", IMPORT);
    world.updates(&[]).exits(1);
    world.run(&["status", "--metrics", "m.prom"]);
    let metrics = world.read("m.prom");
    for (image, count) in [("rocky", 1), ("web", 0)] {
        let line = format!(
            "imgforge_pending_fixes_unjudged{{repository=\"main\",channel=\"stable\",image=\"{image}\",arch=\"x86_64\"}} {count}"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
    let said = world.run(&["status"]);
    assert!(
        said.out
            .contains("rocky in stable for x86_64: nobody knows whether fixes wait"),
        "{}",
        said.out
    );
}

#[test]
fn advisories_about_other_releases_are_no_answer() {
    let (_archive, _server, world) = mirror();
    let other = Contents {
        distro: "kali".into(),
        release: "2025.1".into(),
        ..deb(&[package("openssl", "3.0.11-1~deb12u2", "")])
    };
    world.has("kali", &other);
    let tracker = json!({"openssl": {"CVE-1": {"releases": {
        "bookworm": {"status": "open", "urgency": "high"}}}}});
    world.write("tracker.json", tracker.to_string());
    let config = world.read("imgforge.yaml");
    let with = |from: &str| {
        let text = format!("{config}advisories: [{{format: debian-tracker, from: {from}}}]\n");
        world.write("imgforge.yaml", text);
    };
    with("tracker.json");
    let report = world.updates(&["kali", "--json"]).exits(1).json();
    let lack = "no advisory is about its release, kali 2025.1";
    assert!(unread(&report).contains(lack), "{report}");
    let report = world.updates(&["web", "--json"]).ok().json();
    assert_eq!(report["images"][0]["unread"], Value::Null);
    // Nor what anybody on the way can empty.
    with("http://advisories.example.org/all.json");
    world
        .updates(&["web"])
        .exits(2)
        .says(&["can be changed on their way"]);
    // Nor is a file without any.
    world.write("none.json", "{}");
    with("none.json");
    world
        .updates(&["web"])
        .exits(1)
        .says(&["it has no advisory at all"]);
}

#[test]
fn what_nobody_named_is_not_built_again() {
    let (archive, _server, world) = mirror();
    world.disk_file("files/disk.raw");
    world.image("editor", IMPORT);
    for child in ["web", "build"] {
        world.image(child, "from: editor\n");
    }
    let newer = [("openssl", "3.0.15-1~deb12u1", "")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    // The target that does not exist is told when it is known what would be built.
    let ask = |words: &[&str], code: i32, said: &str| {
        let ask = [&["build"], words, &["--updated", "--target", "nothing"]].concat();
        world.run(&ask).exits(code).says(&[said]);
    };
    ask(&["web"], 2, "fixes wait: building web\n");
    ask(&["build"], 0, "no fixes wait: nothing is built");
    ask(&["--all"], 2, "fixes wait: building web\n");
    world.image("new", IMPORT);
    ask(&["new"], 2, "no channel has an image `new`");
    ask(&["web", "--locked"], 2, "cannot be used with");
    // What nobody could read is not nothing.
    let config = world.read("imgforge.yaml");
    world.write(
        "imgforge.yaml",
        format!("{config}advisories: [{{format: osv, from: gone.json}}]\n"),
    );
    for said in [
        "nothing is built: no fixes are known to wait",
        "gone.json has no advisories",
        "not every image could be judged",
    ] {
        ask(&["build"], 1, said);
    }
}
