//! `imgforge kit` by the real binary: what one host has fetched, another one builds of without a network.

use std::path::{Path, PathBuf};

use imgforge::digest::Sha256;
use imgforge::host::exec::Program;

use crate::support::server::Server;
use crate::support::{Said, World, names};

/// Begins with the signature of a boot sector.
fn disk() -> Vec<u8> {
    let mut disk = vec![3; 4 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// A host that has built `toy` of a disk of a server, by its lock.
struct Site {
    world: World,
    server: Server,
    _files: tempfile::TempDir,
}

const BUILD: [&str; 5] = ["build", "toy", "--locked", "--until", "install"];

const EXPORT: [&str; 7] = [
    "kit",
    "export",
    "toy",
    "-o",
    "kit.tar",
    "--key-file",
    "site.gpg",
];

impl Site {
    fn new() -> Site {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("disk.raw"), disk()).unwrap();
        let server = Server::of(files.path());
        let world = World::new();
        let (url, sha256) = (server.text("disk.raw"), Sha256::of(&disk()));
        let body = format!(
            "include: [_base/toy.yaml]\ninstall: {{import: {{image: \"{url}\", sha256: {sha256}}}}}\n\
             configure: [{{files: {{from: files/motd, to: /etc/motd}}}}]\n"
        );
        world.image("toy", &body);
        world.write("recipes/_base/toy.yaml", "machine: {disk: 1GiB}\n");
        world.write("files/motd", "hello\n");
        world.write("files/unnamed", "of no recipe\n");
        let lock = format!(
            "imgforge-lock: 1\nimage: toy\nclock: 2026-01-01T00:00:00Z\nstages:\n  - image: toy\n    \
             stage: install\n    recipe: old\n    media:\n      \"{url}\": \"sha256:{sha256} {}\"\n  - image: \
             toy\n    stage: configure\n    recipe: old\npackages: []\n# end\n",
            disk().len()
        );
        world.write("recipes/toy.lock", lock);
        Site {
            world,
            server,
            _files: files,
        }
    }

    fn exported(&self) -> [PathBuf; 2] {
        self.world.ok(&BUILD);
        self.world.ok(&EXPORT);
        ["kit.tar", "site.gpg"].map(|name| self.world.path(name))
    }
}

/// An empty directory.
fn bare() -> World {
    let world = World::new();
    std::fs::remove_file(world.path("imgforge.yaml")).unwrap();
    world
}

fn import(world: &World, [kit, key]: &[PathBuf; 2], more: &[&str]) -> Said {
    let words = [
        "kit",
        "import",
        kit.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ];
    world.run(&[&words[..], more].concat())
}

fn files(world: &World) -> Vec<String> {
    let mut all = vec![];
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for name in names(&world.path("").join(&dir)) {
            let path = dir.join(name);
            let at = world.path("").join(&path);
            match at.is_dir() {
                true if path != Path::new("state") => dirs.push(path),
                true => {}
                false => all.push(path.display().to_string()),
            }
        }
    }
    all.sort();
    all
}

#[test]
fn an_empty_host_builds_of_a_kit_and_asks_no_server() {
    let site = Site::new();
    let missing = site.world.run(&EXPORT).exits(2);
    missing.says(&[
        "1 contents that the locks name",
        "disk.raw",
        "imgforge build toy --locked",
    ]);
    assert!(!site.world.path("kit.tar").exists());
    let kit = site.exported();
    site.server.forget();
    let world = bare();
    import(&world, &kit, &[])
        .ok()
        .prints(&["and 1 downloads are new", "--locked --offline"]);
    let expected = [
        "files/motd",
        "imgforge.yaml",
        "recipes/_base/toy.yaml",
        "recipes/toy.lock",
        "recipes/toy.yaml",
    ];
    assert_eq!(files(&world), expected);
    world.ok(&[&BUILD[..], &["--offline"]].concat());
    assert_eq!(site.server.requests().len(), 0);
    let disk = |world: &World| {
        let stored = world.stored().into_iter();
        let disks = stored.map(|key| world.path("state/store").join(key).join("disk.qcow2"));
        disks.filter(|disk| disk.exists()).last().unwrap()
    };
    let compare = Program::new("qemu-img").arg("compare");
    compare
        .arg(disk(&world))
        .arg(disk(&site.world))
        .run()
        .unwrap();
    // Once more there is nothing to do; what somebody has changed stays unless they say so.
    import(&world, &kit, &[])
        .ok()
        .prints(&["0 files of recipes and 0 downloads are new"]);
    world.write("files/motd", "mine\n");
    world.replace("imgforge.yaml", "state:", "# mine\nstate:");
    let said = import(&world, &kit, &[]).exits(2);
    said.says(&["1 files", "files/motd", "--overwrite"]);
    assert_eq!(world.read("files/motd"), "mine\n");
    import(&world, &kit, &["--overwrite"])
        .ok()
        .says(&["imgforge.yaml stays"]);
    assert_eq!(world.read("files/motd"), "hello\n");
    assert!(world.read("imgforge.yaml").contains("# mine"));
}

#[test]
fn what_nobody_who_counts_has_signed_writes_nothing() {
    let (site, other) = (Site::new(), Site::new());
    let [kit, key] = site.exported();
    let [_, foreign] = other.exported();
    let world = bare();
    let refused = |kit: &Path, key: &Path, words: &[&str]| {
        import(&world, &[kit.to_owned(), key.to_owned()], &[])
            .exits(4)
            .says(words);
        assert_eq!(names(&world.path("")), Vec::<String>::new());
    };
    refused(&kit, &foreign, &["kit.tar is refused", "--key FILE"]);
    let bytes = std::fs::read(&kit).unwrap();
    let changed = site.world.path("changed.tar");
    let mut tampered = bytes.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    std::fs::write(&changed, tampered).unwrap();
    refused(&changed, &key, &["was changed"]);
    std::fs::write(&changed, &bytes[..bytes.len() / 2]).unwrap();
    refused(&changed, &key, &["cut off"]);
    let word = ["kit", "import", kit.to_str().unwrap()];
    world
        .run(&word)
        .exits(2)
        .says(&["nobody says whose kits count", "--key FILE"]);
    assert_eq!(names(&world.path("")), Vec::<String>::new());
}

#[test]
fn a_kit_has_no_password_no_link_and_nothing_from_elsewhere() {
    let site = Site::new();
    site.world.ok(&BUILD);
    let refused = |words: &[&str]| {
        site.world.run(&EXPORT).exits(2).says(words);
        assert!(!site.world.path("kit.tar").exists());
    };
    let recipe = site.world.read("recipes/toy.yaml");
    let config = site.world.read("imgforge.yaml");
    let mirror = "mirrors: {debian: [\"http://me:secret@mirror.example.debian.org/debian\"]}\n";
    site.world
        .write("imgforge.yaml", format!("{config}{mirror}"));
    refused(&["imgforge.yaml has a password"]);
    site.world.write("imgforge.yaml", &config);
    site.world
        .write("recipes/toy.yaml", recipe.replace("files/motd", "files"));
    std::os::unix::fs::symlink("/etc/passwd", site.world.path("files/link")).unwrap();
    refused(&["files/link is a link"]);
    site.world.write("recipes/toy.yaml", &recipe);
    site.world.ok(&EXPORT);
}
