//! `blame`, `size` and `diff` of published images, by the index of their files.

use imgforge::blame::{Claim, File, How, Index, Layer, Removed, SUFFIX, Since, Step};
use imgforge::sbom::{Kind, Package};
use sha2::{Digest as _, Sha512};

use super::{companions, contents, package};
use crate::repository::world::*;
use crate::support::{Run as _, names, under};

const SECOND: i64 = 1_000_000_000;

fn file(path: &str, content: &str, (layer, at): (usize, i64)) -> File {
    let since = Since {
        layer,
        at: Some(at * SECOND),
    };
    File {
        path: path.into(),
        mode: 0o100_644,
        size: 3,
        stored: 4096,
        content: content.into(),
        born: since,
        changed: since,
        dressed: since,
        ..File::default()
    }
}

/// Of an image with `/etc/motd` by a step, and a program of a package of this version.
fn index(version: &str, motd: &str) -> Index {
    let layer = |stage: &str, steps: Vec<Step>| Layer {
        key: "k".into(),
        image: "web-node".into(),
        stage: stage.into(),
        place: Some(format!("recipes/web-node.yaml:{}", stage.len())),
        commit: Some("c0ffee".into()),
        steps,
        ..Layer::default()
    };
    let step = Step {
        number: 1,
        title: "run motd.sh".into(),
        place: Some("recipes/web-node.yaml:21".into()),
        began: 100 * SECOND,
        ended: 110 * SECOND,
    };
    let mut program = file("/usr/bin/openssl", version, (0, 5));
    program.claim = Some(Claim {
        package: 0,
        how: How::Listed,
    });
    let dir = File {
        mode: 0o040_755,
        ..file("/etc", "", (0, 5))
    };
    Index {
        layers: vec![
            layer("install", vec![]),
            layer("configure", vec![step]),
            layer("seal", vec![]),
        ],
        packages: vec![package("openssl", version, "")],
        files: vec![dir, file("/etc/motd", motd, (1, 105)), program],
        removed: vec![Removed {
            path: "/etc/machine-id.old".into(),
            layer: 2,
        }],
        ..Index::default()
    }
}

#[test]
fn published_images_say_where_their_files_are_from() {
    let world = World::new();
    let repository = world.repository();
    for (text, version) in [("one", "3.5.1-1"), ("two", "3.5.2-1")] {
        let disk = world.disk(text);
        let packages: [Package; 1] = [package("openssl", version, "")];
        publish_with(&repository, &disk, |p| {
            p.companions = companions(&disk, &contents(Kind::Deb, &packages));
            let bytes = index(version, text).to_bytes().unwrap();
            let name = format!("web-node-{}{SUFFIX}", p.version);
            p.companions.push(Companion::bytes(name, bytes));
        })
        .unwrap();
    }
    world.configure("repositories: {main: {path: repo}}\n");
    let run = |args: &[&str]| world.ok(args).out;
    let motd = run(&["blame", "web-node@stable:/etc/motd"]);
    for part in [
        "/etc/motd: file, 0644, 0:0, 3 B",
        "configure of web-node, step 1 (run motd.sh), recipes/web-node.yaml:21",
        "none says that it has it",
        "c0ffee",
    ] {
        assert!(motd.contains(part), "{motd}");
    }
    let program = world.ok(&["blame", "web-node@1:/usr/bin/openssl", "--json"]);
    let program = program.json();
    assert_eq!(program["package"]["name"], "openssl");
    assert_eq!(program["package"]["version"], "3.5.1-1");
    assert_eq!(program["changed"]["stage"], "install");
    let dir = run(&["blame", "web-node@1:/etc/"]);
    assert!(
        dir.contains("/etc: directory") && dir.contains("step 1 (run motd.sh)"),
        "{dir}"
    );
    let gone = world.run(&["blame", "web-node@1:/etc/machine-id.old"]);
    gone.exits(2).says(&["it was removed by seal of web-node"]);
    let none = world.run(&["blame", "web-node@1:/etc/none"]);
    none.exits(2).says(&["web-node@1 has no /etc/none"]);

    let sizes = world
        .ok(&["size", "web-node@stable", "--by", "package", "--json"])
        .json();
    assert_eq!(sizes["bytes"], 3 * 4096);
    assert_eq!(sizes["parts"][1]["name"], "openssl 3.5.2-1 (amd64)");
    let page = world.path("size.html");
    run(&["size", "web-node@stable", "--html", page.to_str().unwrap()]);
    assert!(std::fs::read_to_string(page).unwrap().contains("<svg"));

    let diff = run(&["diff", "web-node@1", "web-node@2"]);
    for part in [
        "package openssl: 3.5.1-1 became 3.5.2-1: 1 file",
        "configure of web-node, step 1 (run motd.sh), recipes/web-node.yaml:21: 1 file",
    ] {
        assert!(diff.contains(part), "{diff}");
    }
    let diff = world
        .ok(&["diff", "web-node@1", "web-node@2", "--json"])
        .json();
    assert_eq!(diff["files"].as_array().map(Vec::len), Some(2));

    // One that an older imgforge published.
    publish(&repository, &world.disk("three"));
    let old = world.run(&["blame", "web-node@3:/etc/motd"]);
    old.exits(2).says(&["web-node@3 has no index of its files"]);

    // Who can write to the directory can say nothing else: not in the file, and not in its record.
    let dir = world.path("repo/images/web-node/1");
    let names = names(&dir);
    let path = dir.join(names.iter().find(|name| name.ends_with(SUFFIX)).unwrap());
    let sha512 = |bytes: &[u8]| hex::encode(Sha512::digest(bytes));
    let (was, other) = (
        std::fs::read(&path).unwrap(),
        index("3.5.1-1", "other").to_bytes().unwrap(),
    );
    std::fs::write(&path, &other).unwrap();
    let changed = world.run(&["blame", "web-node@1:/etc/motd"]);
    changed
        .exits(4)
        .says(&["its SHA-512 is not what its record says"]);
    let record = "repo/.imgforge/names/web-node.json";
    world.replace(record, &sha512(&was), &sha512(&other));
    let changed = world.run(&["blame", "web-node@1:/etc/motd"]);
    changed
        .exits(4)
        .says(&["the record of `web-node` says something else"]);
}

/// An image that this host has built, with an index in its sealed layer.
fn built() -> World {
    let world = World::publishing();
    world.disk_file("files/disk.raw");
    world.image("small", crate::support::world::IMPORT);
    world.ok(&["build", "small", "--until", "install"]);
    world.finish("small", &world.disk("one"));
    let sealed = world.path("state/store").join(world.key("small", "seal"));
    index("3.5.1-1", "one").write(&sealed).unwrap();
    let packages = [package("openssl", "3.5.1-1", "")];
    contents(Kind::Deb, &packages).write(&sealed).unwrap();
    world
}

#[test]
fn a_build_without_work_reads_no_index() {
    let world = built();
    let calls = world.path("calls");
    let opened = |words: &[&str]| {
        let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o"];
        let strace = [&strace[..], &[calls.to_str().unwrap()]].concat();
        under(&strace, &world.command(words)).said().ok();
        let calls = std::fs::read_to_string(&calls).unwrap();
        calls
            .lines()
            .filter(|line| line.contains("files.zst"))
            .count()
    };
    assert_eq!(opened(&["build", "small"]), 0);
    assert_eq!(opened(&["plan", "small"]), 0);
    // It would be seen.
    assert_eq!(opened(&["blame", "small:/etc/motd"]), 1);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let world = built();
    for words in [
        &["blame", "small:/etc/motd"][..],
        &["size", "small"],
        &["size", "small", "--json"],
        &["diff", "small", "small"],
    ] {
        let mut command = world.command(words);
        let full = std::fs::File::options().write(true).open("/dev/full");
        command.stdout(full.unwrap());
        let said = command.said();
        said.exits(1)
            .says(&["standard output", "No space left on device"]);
    }
    // A page is there as a whole, or as it was.
    let dir = world.path("full");
    std::fs::create_dir(&dir).unwrap();
    let page = dir.join("size.html");
    std::fs::write(&page, "before").unwrap();
    let limited = ["prlimit", "--fsize=1000", "--"];
    let words = ["size", "small", "--html", page.to_str().unwrap()];
    let said = under(&limited, &world.command(&words)).said();
    said.exits(1).says(&["size.html"]);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "before");
    assert_eq!(names(&dir), ["size.html"]);
}
