//! Entries of the store: what a plan says of them, and those that tests put there.

use std::path::PathBuf;

use imgforge::digest::{Key, file_blake3};
use imgforge::host::exec::Program;
use imgforge::sysprep::Declared;
use serde_json::{Value, json};

use crate::support::World;

/// The planned stage of an image.
#[track_caller]
pub(super) fn planned(world: &World, plan: &str, image: &str, label: &str) -> Value {
    let stages = world.planned(&[plan]).into_iter();
    let mut found = stages.filter(|stage| stage["image"] == image && stage["label"] == label);
    found.next().unwrap()
}

pub(super) fn key(world: &World, image: &str, label: &str) -> String {
    let planned = planned(world, image, image, label);
    planned["key"].as_str().unwrap().to_owned()
}

pub(super) fn disk(world: &World, key: &str) -> PathBuf {
    world.path(&format!("state/store/{key}/disk.qcow2"))
}

pub(super) fn digest(world: &World, key: &str) -> String {
    file_blake3(&disk(world, key)).unwrap()
}

/// Puts a stage's result into the store, as a build would; its later stages need guests.
pub(super) fn plant(
    world: &World,
    image: &str,
    label: &str,
    below: Option<&str>,
    facts: &Value,
) -> String {
    let key = key(world, image, label);
    let dir = world.path(&format!("state/store/{key}"));
    std::fs::create_dir_all(&dir).unwrap();
    let mut meta = json!({
        "key": key, "image": image, "stage": label, "created": 1, "took": 1.0,
        "inputs": [["stage", label]], "facts": facts,
    });
    if let Some(below) = below {
        Program::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(format!("../{below}/disk.qcow2"))
            .arg("disk.qcow2")
            .dir(&dir)
            .run()
            .unwrap();
        let parent = std::fs::read(world.path(&format!("state/store/{below}/meta.json")));
        let parent: Value = serde_json::from_slice(&parent.unwrap()).unwrap();
        let file = digest(world, &key);
        let chain = format!("{file}\n{}", parent["disk"]["chain"].as_str().unwrap());
        let chain = Key::of(chain.as_bytes());
        meta["parent"] = json!(below);
        meta["disk"] = json!({"file": file, "chain": chain});
    }
    std::fs::write(dir.join("meta.json"), meta.to_string()).unwrap();
    key
}

/// The digest of the chain of a stage's disk.
pub(super) fn chain(world: &World, key: &str) -> Value {
    let meta = std::fs::read(world.path(&format!("state/store/{key}/meta.json"))).unwrap();
    serde_json::from_slice::<Value>(&meta).unwrap()["disk"]["chain"].clone()
}

/// What sealing reports.
pub(super) fn sealed() -> Value {
    let declared = Declared {
        files: ["/etc/motd".to_owned()].into(),
        ..Declared::default()
    };
    json!({
        "install": {}, "declared": declared, "note": "",
        "os": {"root": "/dev/sda1", "distro": "debian", "major": 13, "minor": 0, "arch": "x86_64",
               "package_format": "deb", "mountpoints": [], "osinfo": "debian13", "product": "Debian"},
    })
}
