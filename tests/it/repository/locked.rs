//! Locks of images on what a repository has.

use imgforge::digest::Sha256;
use imgforge::sbom::Kind;
use imgforge::sysprep::Declared;

use super::parents::{BUILD, base, site};
use super::site::key;
use super::world::*;
use crate::support::names;
use crate::views::contents;

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
    // Only that one's packages are known.
    let diff = ["diff", "child", "child"];
    site.run(&diff).exits(2).says(&["child is not built"]);
    let sealed = site.path(&format!("state/store/{}", key(&plan(&site), "seal")));
    contents(Kind::Deb, &[]).write(&sealed).unwrap();
    site.ok(&diff).prints(&["no difference"]);
    site.ok(&["publish", "child", "--to", "nightly"]);
    let lock = site.read("recipes/child.lock");
    let locked = &manifest(2)["locked"];
    assert_eq!(locked["sha256"], Sha256::of(lock.as_bytes()).as_str());
    assert_eq!(locked["judged-valid-until"], false);
}

/// The other host has neither the repository nor its key.
#[test]
fn a_kit_has_the_published_image_that_its_lock_names() {
    let (site, one) = locked();
    let kit = [site.path("kit.tar"), site.path("site.gpg")];
    let [kit, key] = kit.each_ref().map(|path| path.to_str().unwrap());
    let export = ["kit", "export", "child", "-o", kit, "--key-file", key];
    // Somebody wrote to the blob that the lock names.
    let blob = site.path("repo/images/base/1");
    let mut blobs = names(&blob)
        .into_iter()
        .filter(|name| name.ends_with(".xz"));
    let blob = blob.join(blobs.next().unwrap());
    let whole = std::fs::read(&blob).unwrap();
    let mut damaged = whole.clone();
    damaged[99] ^= 1;
    std::fs::write(&blob, damaged).unwrap();
    site.run(&export)
        .exits(4)
        .says(&["is not what the lock names", &one.sha512]);
    assert!(!site.path("kit.tar").exists());
    std::fs::write(&blob, whole).unwrap();
    site.ok(&export);
    std::fs::rename(site.path("repo"), site.path("elsewhere")).unwrap();
    let world = World::new();
    std::fs::remove_file(world.path("imgforge.yaml")).unwrap();
    let import = ["kit", "import", kit, "--key", key];
    world.ok(&import);
    world.ok(&[&BUILD[..], &["--locked", "--offline"]].concat());
    let entry = world.path(&format!("state/store/{}", key_of_install(&world)));
    let compare = Program::new("qemu-img").args(["compare", "-q", "-f", "qcow2", "-F", "raw"]);
    let disks = [entry.join("disk.qcow2"), one.raw.clone()];
    compare.args(&disks).run().unwrap();
}

fn key_of_install(world: &World) -> String {
    key(&plan(world), "install")
}
