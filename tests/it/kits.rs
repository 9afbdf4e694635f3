//! `imgforge kit` by the real binary: what one host has fetched, another one builds of without a network.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use imgforge::digest::Sha256;
use imgforge::host::exec::Program;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::wait_for;
use crate::support::server::Server;
use crate::support::{Run as _, Said, World, names, under};

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

/// Of a toolbox.
const PACKAGE: &[u8] = b"not a package at all";

/// Where the cache of a state directory has it.
fn package() -> String {
    let sha256 = Sha256::of(PACKAGE).to_string();
    format!("state/cache/blobs/{}/{sha256}", &sha256[..2])
}

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
             toy\n    stage: configure\n    recipe: old\n    beside:\n      \"toolbox ansible-trixie\":\n        \
             fetched:\n          \"http://mirror.example.org/ansible.deb\": \"sha256:{} {}\"\npackages: []\n# end\n",
            disk().len(),
            Sha256::of(PACKAGE),
            PACKAGE.len()
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
        self.world.write(&package(), PACKAGE);
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
        "2 contents that the locks name",
        "disk.raw",
        "ansible.deb",
        "imgforge build toy --locked",
    ]);
    assert!(!site.world.path("kit.tar").exists());
    let kit = site.exported();
    site.server.forget();
    let world = bare();
    import(&world, &kit, &[])
        .ok()
        .prints(&["and 2 downloads are new", "--locked --offline"]);
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
    assert_eq!(std::fs::read(world.path(&package())).unwrap(), PACKAGE);
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

/// What judges images is as it was where the kit is from.
#[test]
fn a_kit_has_the_advisories_excuses_and_keyrings_of_imgforge_yaml() {
    let site = Site::new();
    let config = "state: state\nadvisories: [{format: osv, from: known}, {format: osv, from: 'https://a.example/x'}]\nvex: [vex.json]\nupdates: {keyrings: [keys/site.gpg, gone.gpg]}\n";
    site.world.write("imgforge.yaml", config);
    for path in ["known/one.json", "vex.json", "keys/site.gpg"] {
        site.world.write(path, path);
    }
    std::os::unix::fs::symlink("..", site.world.path("known/circle")).unwrap();
    site.world.ok(&BUILD);
    site.world.write(&package(), PACKAGE);
    let words = ["gone.gpg of", "a symbolic link", "known/circle"];
    site.world.ok(&EXPORT).says(&words);
    let world = bare();
    let kit = ["kit.tar", "site.gpg"].map(|name| site.world.path(name));
    import(&world, &kit, &[]).ok();
    for path in ["known/one.json", "vex.json", "keys/site.gpg"] {
        assert_eq!(world.read(path), path);
    }
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
        .says(&["no trusted key is set for kits", "--key FILE"]);
    assert_eq!(names(&world.path("")), Vec::<String>::new());
}

#[test]
fn a_kit_has_no_password_no_link_and_nothing_from_elsewhere() {
    let site = Site::new();
    site.exported();
    std::fs::remove_file(site.world.path("kit.tar")).unwrap();
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

/// Who takes `--key-file` for a key that is read loses no file by that; nor by a slip at `-o`.
#[test]
fn an_export_replaces_an_earlier_kit_and_its_key_and_no_other_file() {
    let site = Site::new();
    let kit = site.exported();
    site.world.ok(&EXPORT);
    let recipe = site.world.read("recipes/toy.yaml");
    let export = |kit: &str, key: &str| {
        let words = ["kit", "export", "toy", "-o", kit, "--key-file", key];
        site.world.run(&words)
    };
    export("kit.tar", "recipes/toy.yaml").exits(2).says(&[
        "toy.yaml is there already",
        "not the key",
        "--overwrite",
    ]);
    export("recipes/toy.yaml", "site.gpg").exits(2).says(&[
        "toy.yaml is there already",
        "no kit",
        "--overwrite",
    ]);
    export("new.tar", "new.tar")
        .exits(2)
        .says(&["both kit and key"]);
    // The key of somebody else is another key.
    let other = Site::new();
    let [_, foreign] = other.exported();
    std::fs::copy(&foreign, site.world.path("other.gpg")).unwrap();
    export("new.tar", "other.gpg").exits(2);
    assert!(!site.world.path("new.tar").exists());
    assert_eq!(site.world.read("recipes/toy.yaml"), recipe);
    let words = [&EXPORT[..6], &["other.gpg", "--overwrite"]].concat();
    site.world.ok(&words);
    let [old, new] =
        [&kit[1], &site.world.path("other.gpg")].map(|key| std::fs::read(key).unwrap());
    assert_eq!(old, new);
}

#[test]
fn what_is_damaged_on_a_host_is_the_kits_again() {
    let site = Site::new();
    let kit = site.exported();
    let world = bare();
    import(&world, &kit, &[]).ok();
    let medium = large(&world.path("state/store"));
    std::fs::write(&medium[0], vec![4; disk().len()]).unwrap();
    std::fs::write(world.path(&package()), "half").unwrap();
    let said = import(&world, &kit, &[]).ok();
    said.says(&["2 downloads were damaged"])
        .prints(&["0 downloads are new"]);
    assert_eq!(std::fs::read(world.path(&package())).unwrap(), PACKAGE);
    assert!(std::fs::read(&large(&world.path("state/store"))[0]).unwrap() == disk());
    world.ok(&[&BUILD[..], &["--offline"]].concat());
}

#[test]
fn an_import_that_cannot_end_writes_nothing() {
    let site = Site::new();
    let kit = site.exported();
    let refused = |world: &World, more: &[&str], words: &[&str]| {
        let before = names(&world.path(""));
        import(world, &kit, more).exits(2).says(words);
        assert_eq!(names(&world.path("")), before);
    };
    let world = bare();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), world.path("recipes")).unwrap();
    refused(&world, &[], &["recipes is not a directory", "-C DIR"]);
    assert_eq!(names(elsewhere.path()), Vec::<String>::new());
    let world = bare();
    world.write("recipes/toy.yaml/x", "");
    let words = ["toy.yaml is not a file", "-C DIR"];
    refused(&world, &["--overwrite"], &words);
    assert_eq!(names(&world.path("recipes")), ["toy.yaml"]);
    let world = bare();
    std::fs::create_dir(world.path("recipes")).unwrap();
    std::os::unix::fs::symlink("/dev/null", world.path("recipes/toy.yaml")).unwrap();
    refused(&world, &["--overwrite"], &words);
    assert_eq!(names(&world.path("recipes")), ["toy.yaml"]);
}

/// The files of a directory that are as large as the disk, at any depth.
fn large(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // A file may be gone by now.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        match about.is_dir() {
            true => all.extend(large(&entry.path())),
            false if about.len() == disk().len() as u64 => all.push(entry.path()),
            false => {}
        }
    }
    all
}

#[test]
fn a_full_disk_and_an_interrupt_leave_nothing_half_and_the_next_import_goes_on() {
    let site = Site::new();
    let kit = site.exported();
    let world = bare();
    let state = world.path("state");
    std::fs::create_dir(&state).unwrap();
    let [file, key] = kit.each_ref().map(|path| path.to_str().unwrap());
    let command = world.command(&["kit", "import", file, "--key", key]);
    let small = "mount -t tmpfs -o size=6m,mode=0700 small \"$1\"; state=$1; shift; \
                 \"$@\" || code=$?; find \"$state\" -size +100k; exit $code";
    let before = [
        "unshare",
        "-m",
        "sh",
        "-c",
        small,
        "sh",
        state.to_str().unwrap(),
    ];
    let said = under(&before, &command).said().exits(1);
    let said = said.says(&["No space left", "imgforge gc"]);
    assert_eq!(said.out, "", "nothing is left");
    // Somebody makes the same medium, for which the import waits.
    std::fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(state.join("locks")).unwrap();
    std::fs::set_permissions(state.join("locks"), Permissions::from_mode(0o700)).unwrap();
    let held = site.world.stored().into_iter().map(|key| {
        let lock = File::create(state.join("locks").join(key)).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        lock
    });
    let held: Vec<File> = held.collect();
    let mut waiting = world.command(&["kit", "import", file, "--key", key]);
    let waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null());
    let mut waiting = waiting.spawn().unwrap();
    wait_for("the copy of the medium", || !large(&state).is_empty());
    kill_process(Pid::from_child(&waiting), Signal::INT).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(130));
    assert_eq!(large(&state), Vec::<PathBuf>::new());
    drop(held);
    import(&world, &kit, &[]).ok();
    world.ok(&[&BUILD[..], &["--offline"]].concat());
}
