//! What files of a published image are from, for those who build on it.

use super::world::*;
use imgforge::blame::{Index, Layer, SUFFIX, index_layer};
use imgforge::lock::Fetched;
use imgforge::ui::Ui;

const STATUS: &str =
    "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n";

const URL: &str = "http://mirror.example.debian.org/pool/tool_2-3_amd64.deb";

/// A disk with a package of dpkg's, as import wants it; and its index, as who published it has it.
fn disk(world: &World) -> (Disk, Index) {
    let tree = world.path("tree");
    for (path, content) in [
        ("etc/os-release", "ID=debian\n"),
        ("usr/bin/tool", "#!/bin/sh\n"),
        ("var/lib/dpkg/status", STATUS),
        ("var/lib/dpkg/info/tool.list", "/.\n/usr/bin/tool\n"),
    ] {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let raw = world.path("base.boot");
    File::create(&raw).unwrap().set_len(24 << 20).unwrap();
    let table = Program::new("sfdisk").arg("-q").arg(&raw);
    table
        .input("label: dos\nstart=2048, size=40960\n")
        .run()
        .unwrap();
    let make = Program::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-E", "offset=1048576"]);
    let make = make.arg("-d").arg(&tree).arg(&raw).arg("20480k");
    make.run().unwrap();
    let layer = world.path("base.qcow2");
    let convert = Program::new("qemu-img").args(["convert", "-O", "qcow2"]);
    convert.arg(&raw).arg(&layer).run().unwrap();
    let made = Layer {
        key: "k".into(),
        image: "base".into(),
        stage: "install".into(),
        commit: Some("c0ffee".into()),
        ..Layer::default()
    };
    let fetched = Fetched {
        url: URL.into(),
        sha256: "0".repeat(64),
        size: 7,
    };
    let ui = Ui::silent().stage("base", "install");
    let dir = world.dir.path();
    let index = index_layer(dir, &layer, made, None, &[fetched], &ui).unwrap();
    assert!(
        index.files.len() > 10 && index.unread.is_empty(),
        "{index:?}"
    );
    (world.packed(raw), index)
}

/// The index of a child of that image, which has `companion` beside it.
fn child(companion: impl FnOnce(Index) -> Option<Vec<u8>>) -> Index {
    let site = World::publishing();
    let child = "from: {image: main#base}\nmachine: {disk: 1GiB}\n";
    site.image("child", child);
    let (disk, index) = disk(&site);
    let published = publish_with(&site.repository(), &disk, |publication| {
        publication.name = "base";
        let name = format!("base-{}{SUFFIX}", publication.version);
        let companion = companion(index).map(|bytes| Companion::bytes(name, bytes));
        publication.companions.extend(companion);
    });
    published.unwrap();
    site.ok(&["build", "child", "--until", "install"]);
    let entry = site.path("state/store").join(site.key("child", "install"));
    // What came from the repository is in the index, and nowhere else.
    assert!(!entry.join("parent-files.zst").exists());
    Index::read(&entry).unwrap().unwrap()
}

#[test]
fn files_of_a_published_image_keep_their_causes_above_it() {
    let index = child(|index| Some(index.to_bytes().unwrap()));
    let layers = index.layers.iter();
    let layers: Vec<(&str, &str)> = layers
        .map(|layer| (layer.image.as_str(), layer.stage.as_str()))
        .collect();
    assert_eq!(layers, [("base", "install"), ("child", "install")]);
    assert_eq!(index.unread, [""; 0]);
    assert!(index.files.iter().all(|file| file.changed.layer == 0));
    let tool = index.answer("/usr/bin/tool").unwrap();
    assert_eq!(tool.changed.commit.as_deref(), Some("c0ffee"));
    let download = tool.package.unwrap().download.unwrap();
    assert_eq!((download.url.as_str(), download.size), (URL, 7));
}

#[test]
fn a_published_image_without_an_index_is_told() {
    let index = child(|_| None);
    assert_eq!(
        index.unread,
        [
            "the published image below: it has no index of its files, so what it has counts for the \
          install stage"
        ]
    );
    assert!(index.layers[0].blind);
    let tool = index.answer("/usr/bin/tool").unwrap();
    assert_eq!(tool.made.image, "child");
    assert_eq!(tool.package.unwrap().download, None);
    // The disk is from somewhere still.
    let origin = tool.origin.unwrap();
    assert!(
        origin.starts_with("file://") && origin.contains("/base"),
        "{origin}"
    );

    let index = child(|_| Some(b"of another imgforge".to_vec()));
    let told = &index.unread[0];
    assert!(told.starts_with("the published image below: "), "{told}");
    assert!(
        told.contains("no index of files that can be read"),
        "{told}"
    );
}
