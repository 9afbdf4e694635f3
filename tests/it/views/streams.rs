//! Streams as Incus' own verifier and the mirror of Glance read them.

use imgforge::machine::Arch;
use imgforge::targets::ArtifactRecord;
use imgforge::targets::streams::{self, About};

use super::*;

/// What the pack stage makes for `publish: {streams: true}`.
fn artifacts(world: &World, disk: &Disk) -> Vec<Companion> {
    artifacts_on(Arch::default(), world, disk)
}

fn artifacts_on(arch: Arch, world: &World, disk: &Disk) -> Vec<Companion> {
    let dir = world.path(&format!("artifacts-{}", arch.as_str()));
    std::fs::create_dir_all(&dir).unwrap();
    let about = About {
        name: "web-node",
        title: "Debian 12 web node",
        version: "0123456789ab",
        arch,
        os: "debian",
        release: "12",
        created: 1_767_225_600,
        sealed: "sealed",
    };
    let made = streams::make(&dir, &disk.raw, &about).unwrap();
    let again = streams::make(&dir, &disk.raw, &about).unwrap();
    assert_eq!(
        made[1].sha512, again[1].sha512,
        "the metadata is the same each time"
    );
    let companion = |told: &ArtifactRecord| {
        Companion::file(told.file.clone(), dir.join(&told.file)).about(told.about.words())
    };
    made.iter().map(companion).collect()
}

fn incus(dir: &Path, args: &[&str]) -> imgforge::error::Result<String> {
    Program::new("incus-simplestreams")
        .args(args)
        .dir(dir)
        .text()
}

#[test]
fn incus_verifies_and_lists_the_streams_of_each_channel() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    for channel in ["stable", "nightly"] {
        publish_with(&repository, &disk, |p| {
            p.channel = channel;
            p.companions = artifacts(&world, &disk);
        })
        .unwrap();
    }
    let root = repository.path();
    for dir in [root.to_owned(), root.join("channels/nightly")] {
        incus(&dir, &["verify"]).unwrap();
        let list = incus(&dir, &["list", "--format", "json"]).unwrap();
        assert!(
            list.contains("web-node") && list.contains("virtual-machine"),
            "{list}"
        );
    }
    // Incus takes remotes with https only, and this repository is a directory.
    let page = std::fs::read_to_string(root.join("images/web-node/index.html")).unwrap();
    assert!(
        page.contains("incus image import web-node.tar.xz web-node.qcow2"),
        "{page}"
    );
    assert!(!page.contains("incus remote add"), "{page}");
    // What Incus calls the image, over both files; the verifier does not look at it.
    let files = ["0123456789ab.incus.tar.xz", "0123456789ab.qcow2"]
        .map(|name| root.join(format!("images/web-node/1/web-node-{name}")));
    let both = files.map(|path| std::fs::read(path).unwrap()).concat();
    let sum = Program::new("sha256sum").input(both).text().unwrap();
    let products = read(root, "streams/v1/images.json");
    let versions = &products["products"]["debian:12:web-node:amd64"]["versions"];
    let items = &versions.as_object().unwrap().values().next().unwrap()["items"];
    for item in ["incus.tar.xz", "lxd.tar.xz"] {
        let told = items[item]["combined_disk1-img_sha256"].as_str().unwrap();
        assert_eq!(told, &sum[..64], "{item}");
    }
    // The verifier does look at the bytes.
    let qcow2 = root.join("images/web-node/1/web-node-0123456789ab.qcow2");
    let bytes = std::fs::read(&qcow2).unwrap();
    let mut broken = bytes.clone();
    broken[100] ^= 1;
    std::fs::write(&qcow2, &broken).unwrap();
    assert!(incus(root, &["verify"]).is_err());
    std::fs::write(&qcow2, &bytes).unwrap();
    Program::new("qemu-img")
        .args(["check", "-q"])
        .arg(&qcow2)
        .run()
        .unwrap();

    // An image that leaves the channel leaves its streams, too.
    repository
        .yank(
            "web-node",
            1,
            false,
            &Stamp::now().why(Some("a test")),
            &Ui::silent(),
        )
        .unwrap();
    assert_eq!(read(root, "streams/v1/images.json")["products"], json!({}));
}

#[test]
fn incus_and_glances_mirror_take_the_architecture_that_they_want() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    for (arch, disk) in [(Arch::X86_64, &one), (Arch::Aarch64, &two)] {
        publish_with(&repository, disk, |p| {
            p.arch = arch.as_str();
            p.companions = artifacts_on(arch, &world, disk);
        })
        .unwrap();
    }
    let root = repository.path();
    incus(root, &["verify"]).unwrap();
    let listed = incus(root, &["list", "--format", "json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut archs: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["architecture"].as_str().unwrap())
        .collect();
    archs.sort_unstable();
    assert_eq!(archs, ["aarch64", "x86_64"], "{listed:#}");
    for (wanted, number) in [("arch~(aarch64|arm64)", 2), ("arch~(x86_64|amd64)", 1)] {
        let out = world.path("mirror");
        tool("sstream-mirror")
            .arg(format!("--keyring={}", repository.keyring().display()))
            .arg("--path=streams/v1/index.sjson")
            .arg(format!("file://{}", root.display()))
            .arg(&out)
            .args(["ftype~(disk1.img|disk.img)", wanted])
            .run()
            .unwrap();
        let images = std::fs::read_dir(out.join("images/web-node")).unwrap();
        let names: Vec<_> = images.flatten().map(|file| file.file_name()).collect();
        assert_eq!(names, [number.to_string().as_str()]);
        std::fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn glances_mirror_reads_the_signed_streams_and_every_byte() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    for channel in ["stable", "nightly"] {
        publish_with(&repository, &disk, |p| {
            p.channel = channel;
            p.companions = artifacts(&world, &disk);
        })
        .unwrap();
    }
    let root = repository.path();
    for path in ["streams/v1/index.sjson", "streams/v1/nightly/index.sjson"] {
        let out = world.path("mirror");
        tool("sstream-mirror")
            .arg(format!("--keyring={}", repository.keyring().display()))
            .arg(format!("--path={path}"))
            .arg(format!("file://{}", root.display()))
            .arg(&out)
            .args(["ftype~(disk1.img|disk.img)", "arch~(x86_64|amd64)"])
            .run()
            .unwrap();
        Program::new("cmp")
            .arg(out.join("images/web-node/1/web-node-0123456789ab.qcow2"))
            .arg(root.join("images/web-node/1/web-node-0123456789ab.qcow2"))
            .run()
            .unwrap();
        std::fs::remove_dir_all(out).unwrap();
    }
    // What glance.py asks of an item.
    let products = read(root, "streams/v1/images.json");
    let product = &products["products"]["debian:12:web-node:amd64"];
    assert_eq!(
        (&product["os"], &product["version"]),
        (&json!("debian"), &json!("12"))
    );
    assert!(products["content_id"].is_string());
    let version = product["versions"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap();
    assert!(
        version["pubname"]
            .as_str()
            .unwrap()
            .starts_with("web-node-")
    );
}
