//! What is said of every file of a real image: its stage, its step, its package.

use std::collections::BTreeMap;

use imgforge::blame::{Index, Part};
use imgforge::machine::Arch;

use super::shipped;
use crate::slots;

/// Files whose cause nobody knows, at most: one in so many.
const KNOWN: usize = 1000;

#[test]
#[ignore = "e2e: src/blame src/ext4 src/runner src/stage/configure recipes/debian-mini.yaml"]
fn every_file_of_debian_mini_has_a_cause() {
    slots::take(1);
    let world = shipped(Arch::X86_64);
    world.ok(&["build", "debian-mini", "--until", "seal"]);
    let entry = world
        .path("state/store")
        .join(world.key("debian-mini", "seal"));
    let index = Index::read(&entry).unwrap().unwrap();
    assert_eq!(index.unread, Vec::<String>::new());
    let stages: Vec<&str> = index
        .layers
        .iter()
        .map(|layer| layer.stage.as_str())
        .collect();
    assert_eq!(stages, ["install", "configure", "seal"]);
    assert!(index.files.len() > 5000, "{}", index.files.len());
    let unknown = index.files.iter().filter(|file| {
        let cause = index.cause(file.changed);
        matches!(cause.part, Part::Unknown | Part::OneOf(..))
    });
    let unknown: Vec<&str> = unknown.map(|file| file.path.as_str()).collect();
    assert!(unknown.len() * KNOWN <= index.files.len(), "{unknown:?}");
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
