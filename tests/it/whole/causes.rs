//! What is said of every file of a real image: its stage, its step, its package.

use std::collections::BTreeMap;

use imgforge::blame::{Answer, How, Index, Part};
use imgforge::host::exec::Program;
use imgforge::machine::Arch;
use serde_json::Value;

use super::{path, shipped};
use crate::slots;
use crate::support::{World, tool};

/// Files whose cause nobody knows, at most: one in so many.
const KNOWN: usize = 1000;

#[test]
#[ignore = "e2e: src/blame src/ext4 src/runner src/stage/configure recipes/debian-mini.yaml"]
fn every_file_of_debian_mini_has_a_cause() {
    slots::take(1);
    let world = shipped(Arch::X86_64);
    world.ok(&["build", "debian-mini", "--until", "seal"]);
    let index = sealed(&world, "debian-mini");
    let stages: Vec<&str> = index
        .layers
        .iter()
        .map(|layer| layer.stage.as_str())
        .collect();
    assert_eq!(stages, ["install", "configure", "seal"]);
    assert!(index.files.len() > 5000, "{}", index.files.len());
    every_file_has_a_cause(&index);
    // What packages have is dpkg's own business: each of their regular files is somebody's.
    let owned = |dir: &str| {
        let files = index.files.iter().filter(|file| file.is_file());
        let files: Vec<_> = files.filter(|file| file.path.starts_with(dir)).collect();
        let nobody = files.iter().filter(|file| index.package(file).is_none());
        let nobody: Vec<&str> = nobody.map(|file| file.path.as_str()).collect();
        (files.len(), nobody)
    };
    for dir in ["/usr/bin/", "/usr/sbin/", "/usr/share/doc/"] {
        let (all, nobody) = owned(dir);
        assert!(all > 50, "{dir}: {all}");
        assert_eq!(nobody, [""; 0], "{dir}");
    }
    // The steps have their places, in order, and something of their own.
    let configure = &index.layers[1];
    assert!(!configure.steps.is_empty());
    let mut by_step: BTreeMap<u32, usize> = BTreeMap::new();
    for file in &index.files {
        if let Part::Step(step) = index.cause(file.changed).part {
            *by_step.entry(step.number).or_default() += 1;
        }
    }
    for step in &configure.steps {
        assert!(step.began <= step.ended, "{step:?}");
        let place = step.place.as_deref().unwrap_or_default();
        assert!(place.starts_with("recipes/"), "{step:?}");
    }
    assert!(!by_step.is_empty(), "{:?}", configure.steps);
    let said = world.ok(&["blame", "debian-mini:/usr/bin/dpkg"]).out;
    for part in ["install of debian-mini", "package", "dpkg 1."] {
        assert!(said.contains(part), "{said}");
    }
    let said = world.ok(&["blame", "debian-mini:/bin/ls", "--json"]).json();
    assert_eq!(said["package"]["name"], "coreutils");
    assert_eq!(said["changed"]["stage"], "install");
    let page = world.path("size.html");
    let html = [
        "size",
        "debian-mini",
        "--by",
        "package",
        "--html",
        page.to_str().unwrap(),
    ];
    world.ok(&html);
    assert!(std::fs::read_to_string(page).unwrap().contains("<svg"));
}

/// The index of an image's sealed disk.
fn sealed(world: &World, image: &str) -> Index {
    let entry = world.path("state/store").join(world.key(image, "seal"));
    let index = Index::read(&entry).unwrap().unwrap();
    assert_eq!(index.unread, Vec::<String>::new());
    index
}

fn every_file_has_a_cause(index: &Index) {
    let unknown = index.files.iter().filter(|file| {
        let cause = index.cause(file.changed);
        matches!(cause.part, Part::Unknown | Part::OneOf(..))
    });
    let unknown: Vec<&str> = unknown.map(|file| file.path.as_str()).collect();
    assert!(unknown.len() * KNOWN <= index.files.len(), "{unknown:?}");
}

const MIDDLE: &str = "from: {image: main#debian-mini}
configure:
- packages: [hello]
- shell: {run: 'echo middle >/etc/middle; echo gone >/etc/gone'}
";

const LEAF: &str = "from: middle
configure:
- packages: [tree]
- shell: {run: 'echo leaf >/etc/leaf; chmod 600 /etc/middle; rm /etc/gone'}
";

/// A published image, one that is built on it, and one on that.
#[test]
#[ignore = "e2e: src/blame src/ext4 src/runner src/stage/configure src/stage/install/published.rs"]
fn every_file_of_a_chain_of_three_has_a_cause_and_the_owner_that_dpkg_says() {
    slots::take(2);
    let world = shipped(Arch::X86_64);
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=Me", "-c", "user.email=me@example.org"];
        tool(
            "git",
            &[&["-C", path(world.dir.path())], &who[..], words].concat(),
        )
    };
    world.write(".gitignore", "/*\n!/recipes\n!/imgforge.yaml\n");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "--no-gpg-sign", "-m", "one"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    world.ok(&["build", "debian-mini", "--publish"]);
    slots::instead(1);
    world.image("middle", MIDDLE);
    world.image("leaf", LEAF);
    world.ok(&["build", "leaf", "--until", "seal"]);
    let index = sealed(&world, "leaf");
    let layers = index.layers.iter();
    let layers: Vec<String> = layers
        .map(|layer| format!("{} {}", layer.image, layer.stage))
        .collect();
    assert_eq!(
        layers,
        [
            "debian-mini install",
            "debian-mini configure",
            "debian-mini seal",
            "middle install",
            "middle configure",
            "middle seal",
            "leaf configure",
            "leaf seal"
        ]
    );
    let commits = index
        .layers
        .iter()
        .map(|layer| layer.commit.as_deref().unwrap());
    let dirty = format!("{commit}-dirty");
    assert!(
        commits.clone().take(3).all(|one| one == commit),
        "{:?}",
        index.layers
    );
    assert!(
        commits.skip(3).all(|one| one == dirty),
        "{:?}",
        index.layers
    );
    every_file_has_a_cause(&index);
    each_path_is_from_where_a_person_would_say(&index);
    // All came through the proxy, below the published image, too.
    let packages: Vec<_> = (0..index.packages.len())
        .filter(|package| !index.downloads.contains_key(package))
        .map(|package| &index.packages[package].name)
        .collect();
    assert_eq!(packages, [""; 0]);
    dpkg_says_the_same(&world, &index);
    what_is_printed_is_that(&world);
}

fn each_path_is_from_where_a_person_would_say(index: &Index) {
    let answer = |path: &str| index.answer(path).unwrap_or_else(|| panic!("no {path}"));
    let line = |told: &imgforge::blame::Told| {
        let place = told.place.as_deref().unwrap_or("-");
        let step = told.step.as_deref().unwrap_or("-");
        format!("{} of {}, {step}, {place}", told.stage, told.image)
    };
    let package = |answer: &Answer| {
        let owner = answer.package.as_ref();
        owner.map_or(String::new(), |owner| owner.package.name.clone())
    };
    for (path, made, owner) in [
        (
            "/bin/ls",
            "install of debian-mini, -, recipes/_base/debian.yaml:4",
            "coreutils",
        ),
        (
            "/usr/bin/less",
            "configure of debian-mini, step 2 (",
            "less",
        ),
        ("/usr/bin/hello", "configure of middle, step 1 (", "hello"),
        ("/etc/middle", "configure of middle, step 2 (", ""),
        ("/usr/bin/tree", "configure of leaf, step 1 (", "tree"),
        ("/etc/leaf", "configure of leaf, step 2 (", ""),
    ] {
        let answer = answer(path);
        assert!(
            line(&answer.made).starts_with(made),
            "{path}: {}",
            line(&answer.made)
        );
        assert_eq!(package(&answer), owner, "{path}");
    }
    let middle = answer("/etc/middle");
    assert!(
        line(&middle.dressed).starts_with("configure of leaf, step 2 ("),
        "{middle:?}"
    );
    assert!(
        line(&middle.made).ends_with("recipes/middle.yaml:5"),
        "{middle:?}"
    );
    let gone = index.removed("/etc/gone").unwrap();
    assert_eq!(
        (gone.stage.as_str(), gone.image.as_str()),
        ("configure", "leaf")
    );
    for (path, end) in [("/usr/bin/hello", "hello"), ("/bin/ls", "coreutils")] {
        let owner = answer(path).package.unwrap();
        let url = owner.download.unwrap().url;
        let name = url.rsplit('/').next().unwrap();
        assert!(
            name.starts_with(&format!("{end}_")) && name.ends_with(".deb"),
            "{url}"
        );
    }
}

/// dpkg itself, on the lists of the image.
fn dpkg_says_the_same(world: &World, index: &Index) {
    let disk = world
        .path("state/store")
        .join(world.key("leaf", "seal"))
        .join("disk.qcow2");
    let raw = world.path("leaf.raw");
    tool(
        "qemu-img",
        &["convert", "-O", "raw", path(&disk), path(&raw)],
    );
    let table: Value = serde_json::from_str(&tool("sfdisk", &["-J", path(&raw)])).unwrap();
    let parts = table["partitiontable"]["partitions"].as_array().unwrap();
    let largest = parts
        .iter()
        .max_by_key(|part| part["size"].as_u64())
        .unwrap();
    let place = format!(
        "{}?offset={}",
        path(&raw),
        largest["start"].as_u64().unwrap() * 512
    );
    let rdump = format!("rdump /var/lib/dpkg {}", path(world.dir.path()));
    tool("debugfs", &["-R", &rdump, &place]);
    std::fs::remove_file(&raw).unwrap();
    let dpkg = |words: &[&str]| {
        let dir = format!("--admindir={}", path(&world.path("dpkg")));
        Program::new("dpkg-query")
            .arg(dir)
            .args(words)
            .text()
            .unwrap()
    };
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let names = dpkg(&["-W", "-f", "${binary:Package}\n"]);
    for name in names.lines() {
        let mut last = None;
        for line in dpkg(&["-L", name]).lines() {
            // dpkg tells under a path where it is diverted to.
            let diverted = line
                .split_once(" to: ")
                .filter(|(by, _)| by.contains("diverted by"));
            if diverted.is_some() {
                last = None;
            }
            let path = diverted.map_or(line, |(_, to)| to);
            let before = last.replace(path.to_owned());
            note(index, &mut said, name, before.as_deref());
        }
        note(index, &mut said, name, last.as_deref());
    }
    assert!(said.len() > 5000, "{}", said.len());
    let wrong = said.iter().filter_map(|(path, packages)| {
        let (package, how) = index.package(index.find(path)?)?;
        let right = packages.contains(&package.name);
        (!right).then(|| format!("{path}: {} ({how:?}), dpkg says {packages:?}", package.name))
    });
    let wrong: Vec<String> = wrong.collect();
    assert_eq!(wrong, [""; 0]);
    let lacks = said
        .keys()
        .filter(|path| index.package(index.find(path).unwrap()).is_none());
    assert_eq!(lacks.collect::<Vec<_>>(), [""; 0]);
    // Nor has it more.
    let listed = index.files.iter().filter(|file| !file.is_dir());
    let listed = listed.filter(|file| {
        let how = index.package(file).map(|(_, how)| how);
        matches!(how, Some(How::Listed | How::Conffile | How::Diverted))
    });
    let more = listed.filter(|file| !said.contains_key(&file.path));
    let more: Vec<&str> = more.map(|file| file.path.as_str()).collect();
    // A link to a directory is that of a package, too; dpkg's path leads through it.
    assert!(
        more.iter().all(|path| index.find(path).unwrap().is_link()),
        "{more:?}"
    );
}

/// Notes whose a path is, where the image has it, and it is no directory.
fn note(
    index: &Index,
    said: &mut BTreeMap<String, Vec<String>>,
    package: &str,
    path: Option<&str>,
) {
    let answer = path
        .filter(|path| path.starts_with('/'))
        .and_then(|path| index.answer(path));
    if let Some(answer) = answer.filter(|answer| answer.kind != "directory") {
        let name = package.split(':').next().unwrap_or(package);
        said.entry(answer.path).or_default().push(name.to_owned());
    }
}

fn what_is_printed_is_that(world: &World) {
    let said = world.ok(&["blame", "leaf:/usr/bin/hello"]).out;
    for part in [
        "configure of middle, step 1",
        "recipes/middle.yaml:4",
        "/hello_",
        "-dirty",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let said = world.ok(&["blame", "debian-mini@stable:/usr/bin/less"]).out;
    for part in ["configure of debian-mini, step 2", "/less_"] {
        assert!(said.contains(part), "{said}");
    }
    let sizes = world.ok(&["size", "debian-mini@1", "--json"]).json();
    let parts = sizes["parts"].as_array().unwrap();
    for what in ["bytes", "packed"] {
        let sum: u64 = parts.iter().map(|part| part[what].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), sizes[what].as_u64(), "{what}: {sizes}");
    }
    let blob = tool("find", &[path(&world.path("repo/images")), "-name", "*.xz"]);
    let blob = std::fs::metadata(blob.trim()).unwrap().len();
    assert_eq!(sizes["packed"], blob);
    let differ = world.ok(&["diff", "debian-mini", "leaf"]).out;
    for part in ["package hello", "package tree", "was added", "/etc/leaf"] {
        assert!(differ.contains(part), "{differ}");
    }
}
