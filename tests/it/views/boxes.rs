//! The box catalogue of a made-up box.

use super::*;

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
