//! The box catalogue of a made-up box.

use super::*;
use crate::server::Server;

/// A box as Vagrant unpacks it, with a disk of nothing.
fn real_box(world: &World, text: &str) -> Companion {
    let dir = world.path(&format!("box-{text}"));
    std::fs::create_dir(&dir).unwrap();
    let metadata = json!({"provider": "libvirt", "format": "qcow2", "virtual_size": 1});
    std::fs::write(dir.join("metadata.json"), metadata.to_string()).unwrap();
    std::fs::write(dir.join("box.img"), text).unwrap();
    let file = world.path(&format!("{text}.box"));
    let tar = Program::new("tar").arg("-C").arg(&dir).arg("-czf");
    tar.arg(&file).arg(".").run().unwrap();
    let name = format!("web-node-{text}.box");
    Companion::file(name, file).about([
        ("target", "vagrant"),
        ("format", "box"),
        ("provider", "libvirt"),
    ])
}

#[test]
fn vagrant_itself_adds_updates_and_verifies_a_box_of_the_catalogue() {
    let world = World::new();
    let server = Server::of(&world.path("repo"));
    let mut settings = world.settings(&world.path("repo"));
    settings.url = Some(server.text("").trim_end_matches('/').to_owned());
    let repository = Repository::open(settings).unwrap();
    let publish = |text: &str| {
        let disk = world.disk(text);
        publish_with(&repository, &disk, |p| {
            p.companions = vec![real_box(&world, text)];
        })
        .unwrap();
    };
    let home = world.path("vagrant.d");
    let vagrant = |args: &[&str]| {
        Program::new("vagrant")
            .args(args)
            .env("VAGRANT_HOME", &home)
            .env("VAGRANT_CHECKPOINT_DISABLE", "1")
            .env("HOME", world.dir.path())
            .timeout(crate::patience::HANG)
    };
    let catalogue = server.text("vagrant/web-node.json");
    let add = ["box", "add", "--provider", "libvirt", &catalogue];
    publish("one");
    vagrant(&add).run().unwrap();
    let content = |end: &str| {
        let boxes = std::fs::read_dir(home.join("boxes/web-node")).unwrap();
        let mut versions: Vec<_> = boxes
            .flatten()
            .map(|file| file.path())
            .filter(|path| path.to_string_lossy().ends_with(end))
            .collect();
        let dir = versions.pop().unwrap_or_else(|| panic!("no version {end}"));
        std::fs::read_to_string(dir.join("libvirt/box.img")).unwrap()
    };
    assert_eq!(content(".1.0"), "one");

    publish("two");
    let outdated = vagrant(&["box", "outdated", "--global"]).text().unwrap();
    assert!(outdated.contains("is outdated"), "{outdated}");
    let update = [
        "box",
        "update",
        "--box",
        "web-node",
        "--provider",
        "libvirt",
    ];
    vagrant(&update).run().unwrap();
    assert_eq!(content(".2.0"), "two");

    // Bytes that are not the catalogue's are refused.
    publish("three");
    let blob = world.path("repo/images/web-node/3/web-node-three.box");
    std::fs::copy(world.path("one.box"), &blob).unwrap();
    let error = vagrant(&update).run().unwrap_err().render();
    assert!(error.contains("checksum"), "{error}");
    let listed = vagrant(&["box", "list"]).text().unwrap();
    assert!(
        listed.contains(".2.0)") && !listed.contains(".3.0)"),
        "{listed}"
    );
}

/// The newest revision is for another architecture, and the client, which does not look at that, takes
/// each catalogue's own.
#[test]
fn vagrant_itself_takes_the_box_of_the_catalogues_architecture() {
    let world = World::new();
    let server = Server::of(&world.path("repo"));
    let mut settings = world.settings(&world.path("repo"));
    settings.url = Some(server.text("").trim_end_matches('/').to_owned());
    let repository = Repository::open(settings).unwrap();
    for (text, arch) in [("intel", "x86_64"), ("arm", "aarch64")] {
        publish_with(&repository, &world.disk(text), |p| {
            p.arch = arch;
            p.companions = vec![real_box(&world, text)];
        })
        .unwrap();
    }
    for (catalogue, expected) in [
        ("vagrant/web-node.json", "intel"),
        ("vagrant/arm64/web-node.json", "arm"),
    ] {
        let home = world.path(expected);
        Program::new("vagrant")
            .args(["box", "add", "--provider", "libvirt"])
            .arg(server.text(catalogue))
            .env("VAGRANT_HOME", &home)
            .env("VAGRANT_CHECKPOINT_DISABLE", "1")
            .env("HOME", world.dir.path())
            .timeout(crate::patience::HANG)
            .run()
            .unwrap();
        let mut boxes = std::fs::read_dir(home.join("boxes/web-node")).unwrap();
        let version = boxes.find_map(|file| Some(file.unwrap().path()).filter(|it| it.is_dir()));
        let disk = version.unwrap().join("libvirt/box.img");
        assert_eq!(std::fs::read_to_string(disk).unwrap(), expected);
    }
}

/// Vagrant 2.3 does not look at architectures: it takes the newest version there is, and the last
/// box in it.
#[test]
fn a_catalogue_is_for_one_architecture_and_has_a_provider_once() {
    let world = World::new();
    let (repository, intel, arm) = (world.repository(), world.disk("intel"), world.disk("arm"));
    let publish = |disk: &Disk, arch: &'static str, names: &[&str]| {
        publish_with(&repository, disk, |p| {
            p.arch = arch;
            p.companions = names.iter().map(|name| boxed(name)).collect();
        })
        .unwrap();
    };
    publish(&intel, "x86_64", &["one", "other"]);
    publish(&arm, "aarch64", &["arm"]);
    let listed = |path: &str| {
        let catalogue = read(repository.path(), path);
        assert_eq!(catalogue["name"], "web-node");
        let versions = catalogue["versions"].as_array().unwrap().clone();
        let boxes = versions.iter().flat_map(|v| {
            let providers = v["providers"].as_array().unwrap();
            assert_eq!(providers.len(), 1, "{v:#}");
            providers.clone()
        });
        boxes
            .map(|one| one["architecture"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("vagrant/web-node.json"), ["amd64"]);
    assert_eq!(listed("vagrant/arm64/web-node.json"), ["arm64"]);
    repository
        .yank(
            "web-node",
            2,
            false,
            &Stamp::now().why(Some("a test")),
            &Ui::silent(),
        )
        .unwrap();
    let arm = repository.path().join("vagrant/arm64/web-node.json");
    assert!(!arm.exists());
    assert_eq!(listed("vagrant/web-node.json"), ["amd64"]);
}

fn boxed(text: &str) -> Companion {
    Companion::bytes(format!("web-node-{text}.box"), text.as_bytes()).about([
        ("target", "vagrant"),
        ("format", "box"),
        ("provider", "libvirt"),
    ])
}

#[test]
fn a_catalogue_lists_every_version_of_a_channel_and_no_yanked_one() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    for (disk, name) in [(&one, "one"), (&two, "two")] {
        publish_with(&repository, disk, |p| p.companions = vec![boxed(name)]).unwrap();
    }
    let catalogue = read(repository.path(), "vagrant/web-node.json");
    assert_eq!(catalogue["name"], "web-node");
    let versions = catalogue["versions"].as_array().unwrap();
    let numbers: Vec<&str> = versions
        .iter()
        .map(|v| v["version"].as_str().unwrap())
        .collect();
    assert!(
        numbers[0].ends_with(".2.0") && numbers[1].ends_with(".1.0"),
        "{numbers:?}"
    );
    let provider = &versions[0]["providers"][0];
    assert_eq!(
        (&provider["name"], &provider["checksum_type"]),
        (&json!("libvirt"), &json!("sha256"))
    );
    let path = provider["url"]
        .as_str()
        .unwrap()
        .strip_prefix("file://")
        .unwrap();
    let sum = Program::new("sha256sum").arg(path).text().unwrap();
    assert!(
        sum.starts_with(provider["checksum"].as_str().unwrap()),
        "{sum}"
    );
    // A publisher whose clock is behind: the new box is still the newest.
    let three = world.disk("three");
    publish_with(&repository, &three, |p| {
        p.companions = vec![boxed("three")];
        let days = jiff::SignedDuration::from_hours(24 * 40);
        p.stamp.when = p.stamp.when.checked_sub(days).unwrap();
    })
    .unwrap();
    let later = read(repository.path(), "vagrant/web-node.json");
    let newest = later["versions"][0]["version"].as_str().unwrap();
    assert!(newest.ends_with(".3.0"), "{newest}");
    assert_eq!(newest.split('.').next(), numbers[0].split('.').next());
    repository
        .yank("web-node", 3, false, &Stamp::now(), &Ui::silent())
        .unwrap();
    assert!(
        !repository
            .path()
            .join("channels/nightly/vagrant/web-node.json")
            .exists()
    );

    repository
        .yank(
            "web-node",
            2,
            false,
            &Stamp::now().why(Some("a test")),
            &Ui::silent(),
        )
        .unwrap();
    let catalogue = read(repository.path(), "vagrant/web-node.json");
    let text = catalogue.to_string();
    assert!(!text.contains(".2.0\""), "{text}");
    assert!(
        text.contains("one.box"),
        "what it replaced is there again: {text}"
    );
}
