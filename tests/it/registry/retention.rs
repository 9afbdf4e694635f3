//! `gc --remote`: what is old goes of the shared store, unless something that stays needs it.

use std::collections::BTreeSet;

use imgforge::digest::{Key, Sha256};
use imgforge::registry::{EMPTY_BYTES, Registry};
use imgforge::store::remote::{Inventory, Retention};
use imgforge::time;
use imgforge::units::Span;
use serde_json::{Value, json};

use super::site::{Site, noise};
use crate::patience::wait_for;
use crate::support::World;
use crate::support::registry::{Kind, Service};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const DAY: u64 = 86_400;

fn key(name: &str) -> Key {
    Key::of(name.as_bytes())
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    let digest = format!("sha256:{}", Sha256::of(bytes).as_str());
    let data = BASE64_STANDARD.encode(bytes);
    json!({"mediaType": kind, "digest": digest, "size": bytes.len(), "data": data})
}

/// Puts an entry under a key, made some days ago, as an imgforge leaves it there.
fn plant(registry: &Registry, key: &Key, days: u64, more: &[(&str, Value)]) {
    let created = time::now() - days * DAY;
    let mut meta = json!({
        "key": key, "image": "web", "stage": "seal", "created": created, "took": 1.0,
        "inputs": [["stage", "seal"]], "facts-version": 1, "facts": {},
    });
    let mut annotations = json!({"org.imgforge.key": key});
    for (name, value) in more {
        match name.starts_with("org.") {
            true => annotations[*name] = value.clone(),
            false => meta[*name] = value.clone(),
        }
    }
    let meta = serde_json::to_vec(&meta).unwrap();
    for bytes in [&meta[..], EMPTY_BYTES] {
        registry.push_bytes(bytes).unwrap();
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.imgforge.entry.v1",
        "config": descriptor("application/vnd.imgforge.meta.v1+json", &meta),
        "layers": [descriptor("application/vnd.oci.empty.v1+json", EMPTY_BYTES)],
        "annotations": annotations,
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    registry.put_manifest(key.as_str(), bytes).unwrap();
}

/// Thirty days, by the clock of now, and nothing published.
fn month() -> Retention {
    Retention {
        age: Span::seconds(30 * DAY),
        now: time::now(),
        published: BTreeSet::new(),
    }
}

/// Which of these keys are there.
fn there<'a>(registry: &Registry, names: &[&'a str]) -> Vec<&'a str> {
    let is_there = |name: &&str| registry.has_manifest(key(name).as_str()).unwrap();
    names
        .iter()
        .copied()
        .filter(|name| is_there(name))
        .collect()
}

#[test]
fn what_is_old_goes_unless_something_that_stays_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(&dir.path().join("registry"), Kind::default());
    let registry = service.client("imgforge");
    let on = |parent: &str| [("parent", json!(key(parent)))];
    plant(&registry, &key("root"), 50, &[]);
    plant(&registry, &key("base"), 40, &on("root"));
    plant(&registry, &key("child"), 1, &on("base"));
    plant(&registry, &key("lone"), 45, &[]);
    plant(&registry, &key("lone child"), 31, &on("lone"));
    // A report on a disk, which is no layer on it.
    plant(&registry, &key("sealed"), 60, &[]);
    let of = [(
        "org.imgforge.made-of",
        json!(format!("{} chain", key("sealed"))),
    )];
    plant(&registry, &key("report"), 2, &of);
    plant(&registry, &key("published"), 90, &on("published base"));
    plant(&registry, &key("published base"), 91, &[]);
    let all = [
        "base",
        "child",
        "lone",
        "lone child",
        "published",
        "published base",
        "report",
        "root",
        "sealed",
    ];
    let retention = Retention {
        published: [key("published")].into(),
        ..month()
    };
    service.restart(Kind::default());
    let mut inventory = Inventory::read(&service.oci("imgforge").parse().unwrap()).unwrap();
    assert_eq!(inventory.candidates(&retention).len(), 2);
    // One request lists all tags, and one each reads an entry.
    wait_for("ten requests", || service.requests().len() >= 10);
    assert_eq!(service.requests().len(), 1 + all.len());
    assert_eq!(there(&registry, &all), all, "it was only looked");
    let mut gone = vec![];
    let tell = |item: &imgforge::store::remote::Item| {
        gone.push(item.made);
        Ok(())
    };
    inventory.remove(&retention, tell).unwrap();
    assert_eq!(gone.len(), 2);
    assert!(gone[0] > gone[1], "what is built on the other goes first");
    let kept = [
        "base",
        "child",
        "published",
        "published base",
        "report",
        "root",
        "sealed",
    ];
    assert_eq!(there(&registry, &all), kept);
}

#[test]
fn what_others_have_tagged_stays_with_its_tag() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&dir.path().join("registry"), Kind::default());
    let registry = service.client("imgforge");
    plant(&registry, &key("old"), 40, &[]);
    let manifest = registry.manifest(key("old").as_str()).unwrap().unwrap();
    registry.put_manifest("keep", manifest).unwrap();
    let address = service.oci("imgforge").parse().unwrap();
    let mut inventory = Inventory::read(&address).unwrap();
    assert_eq!(inventory.candidates(&month()), []);
    inventory.remove(&month(), |_| Ok(())).unwrap();
    assert!(registry.has_manifest("keep").unwrap());
}

#[test]
fn what_was_removed_is_a_miss_and_is_put_there_again() {
    let site = Site::new();
    let a = site.builder("a");
    let base = a.commit("base", None, &noise(100_000));
    let child = a.commit("child", Some(&base.meta().key), &noise(1000));
    a.put(&child);
    let address = site.service.oci("imgforge").parse().unwrap();
    let later = Retention {
        now: time::now() + 31 * DAY,
        ..month()
    };
    let mut inventory = Inventory::read(&address).unwrap();
    inventory.remove(&later, |_| Ok(())).unwrap();
    assert_eq!(inventory.count(), 0);
    let reader = site.builder("reader");
    for entry in [&base, &child] {
        assert!(!reader.bring(&entry.meta().key));
    }
    assert_eq!(reader.said(), "", "a miss is no warning");
    // Who has it yet gives it again.
    let again = site.builder("a");
    again.put(&child);
    assert!(site.builder("reader").bring(&child.meta().key));
}

#[test]
fn what_is_put_there_meanwhile_stays_and_two_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&dir.path().join("registry"), Kind::default());
    let registry = service.client("imgforge");
    let address = service.oci("imgforge").parse().unwrap();
    for name in ["base", "again", "lone"] {
        plant(&registry, &key(name), 40, &[]);
    }
    let mut both = [(); 2].map(|()| Inventory::read(&address).unwrap());
    // Old, too, as far as its stage is concerned; its builder shares it only now.
    let on = [("parent", json!(key("base")))];
    plant(&registry, &key("late"), 35, &on);
    plant(&registry, &key("again"), 39, &[]);
    for one in &mut both {
        assert_eq!(one.candidates(&month()).len(), 3);
        one.remove(&month(), |_| Ok(())).unwrap();
    }
    let all = ["again", "base", "late", "lone"];
    assert_eq!(there(&registry, &all), ["again", "base", "late"]);
}

#[test]
fn gc_shows_what_goes_and_keeps_what_channels_have() {
    let world = World::importing();
    world.configure("repositories: {main: {path: repo}}\n");
    world.ok(&["build", "small", "--until", "install"]);
    world.finish("small", &world.disk("one"));
    let mut service = Service::start(&world.path("registry"), Kind::default());
    let registry = service.client("imgforge");
    let seal = Key::parse(&world.key("small", "seal")).unwrap();
    plant(&registry, &seal, 90, &[]);
    plant(&registry, &key("old"), 40, &[]);
    let manifest = registry.manifest(seal.as_str()).unwrap().unwrap();
    let other = [&manifest[..], b"\n"].concat();
    registry.put_manifest("latest", other).unwrap();
    let remote = service.oci("imgforge");
    let gc = |more: &[&str]| world.run(&[&["gc", "--remote", &remote], more].concat());
    let bare = World::new();
    std::fs::remove_file(bare.path("imgforge.yaml")).unwrap();
    let said = bare.run(&["gc", "--remote", &remote, "--yes"]);
    said.exits(2).says(&["it is not known what is published"]);
    // What is published cannot be asked: nothing goes.
    gc(&["--yes"])
        .exits(2)
        .says(&["looking what the repository `main` still has"]);
    world.ok(&["publish", "small"]);
    let more = "{path: repo}, far: {url: \"https://127.0.0.1:1/far\"}";
    world.replace("imgforge.yaml", "{path: repo}", more);
    let old = key("old");
    let said = gc(&[]).ok();
    said.prints(&[
        &format!("web seal {}: goes, 40 d old", old.short()),
        "would remove 1 of 2 entries",
        "--yes does it",
        "cannot read them: latest\n",
        "skipped the repository `far`",
    ]);
    assert!(registry.has_manifest(old.as_str()).unwrap());
    gc(&["--older-than", "41d", "--yes"])
        .ok()
        .prints(&["has nothing to remove"]);
    // One that lets nobody remove anything.
    service.restart(Kind {
        keeps: true,
        ..Kind::default()
    });
    gc(&["--yes"])
        .exits(1)
        .says(&["REGISTRY_STORAGE_DELETE_ENABLED=true"]);
    service.restart(Kind::default());
    gc(&["--yes"]).ok().prints(&["removed 1 of", "1 left"]);
    assert!(!registry.has_manifest(old.as_str()).unwrap());
    for tag in [seal.as_str(), "latest"] {
        assert!(registry.has_manifest(tag).unwrap(), "{tag}");
    }
    service.kill();
    gc(&[]).exits(1).says(&["127.0.0.1"]);
    let nowhere = world.run(&["gc", "--remote"]);
    nowhere.exits(2).says(&["no shared store is named"]);
}
