//! Locks of images on what a repository has.

use imgforge::digest::Sha256;
use imgforge::sysprep::Declared;

use super::parents::{BUILD, base, site};
use super::site::key;
use super::world::*;

/// Publishes `base` with a key on purpose, and builds, finishes and locks `child` on it.
fn locked() -> (World, Disk) {
    let site = site("{image: main#base}");
    let mut declared = json!(Declared::default());
    declared["keys"] = json!({"ops": ["ssh-ed25519 AAAA ops"]});
    let (one, _) = base(&site, "one", |p| {
        let file = "base-0123456789ab.declared.json";
        p.companions = vec![Companion::bytes(file, declared.to_string())];
    });
    site.ok(&BUILD);
    let own = site.disk("child");
    site.finish("child", &own);
    site.ok(&["lock", "child"]);
    (site, one)
}

/// The plan of a build that is bound to the lock.
fn plan(site: &World) -> Value {
    site.ok(&["plan", "child", "--locked", "--json"]).json()[0].clone()
}

#[test]
fn a_locked_child_is_built_on_the_revision_of_its_lock_whatever_the_channel_has() {
    let (site, one) = locked();
    let lock = site.read("recipes/child.lock");
    for word in [
        "  revision: 1\n",
        one.sha512.as_str(),
        "    archives:\n      \"declared\"",
    ] {
        assert!(lock.contains(word), "{word}: {lock}");
    }
    base(&site, "two", |_| {});
    let build = [&BUILD[..], &["--locked", "--offline"]].concat();
    site.ok(&build);
    let entry = site.path(&format!("state/store/{}", key(&plan(&site), "install")));
    let compare = Program::new("qemu-img").args(["compare", "-q", "-f", "qcow2", "-F", "raw"]);
    compare
        .args([&entry.join("disk.qcow2"), &one.raw])
        .run()
        .unwrap();
    let meta = std::fs::read(entry.join("meta.json")).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let keys = &meta["facts"]["declared"]["keys"];
    assert_eq!(*keys, json!({"ops": ["ssh-ed25519 AAAA ops"]}));
    // The recipe has another one below.
    site.replace(
        "recipes/child.yaml",
        "main#base",
        "main#base, channel: stable",
    );
    site.run(&build).exits(3);
}

#[test]
fn what_was_built_last_is_published_and_says_which_lock_bound_it() {
    let (site, _) = locked();
    let manifest = |number: u32| -> Value {
        let path = site.path(&format!("repo/images/child/{number}/manifest.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    site.ok(&["publish", "child", "--to", "nightly"]);
    assert_eq!(manifest(1)["locked"], Value::Null);
    site.ok(&[&BUILD[..], &["--locked"]].concat());
    let own = site.disk("locked-child");
    site.finish_planned(&plan(&site), &own, 2);
    site.ok(&["publish", "child", "--to", "nightly"]);
    let lock = site.read("recipes/child.lock");
    let locked = &manifest(2)["locked"];
    assert_eq!(locked["sha256"], Sha256::of(lock.as_bytes()).as_str());
    assert_eq!(locked["judged-valid-until"], false);
}
