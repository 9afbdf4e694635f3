//! Images on images that a repository has: `from: {image: REPO#name}`.

use super::world::*;
use imgforge::repository::Policy;
use imgforge::sysprep::Declared;
use imgforge::units::Span;

pub(super) const BUILD: [&str; 4] = ["build", "child", "--until", "install"];

/// A disk with a boot signature, as import wants it.
fn disk(world: &World, text: &str) -> Disk {
    let raw = world.path(&format!("{text}.boot"));
    let file = File::create(&raw).unwrap();
    file.set_len(65 << 20).unwrap();
    file.write_all_at(text.as_bytes(), 4096).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    world.packed(raw)
}

pub(super) fn base(
    site: &World,
    text: &str,
    change: impl FnOnce(&mut Publication<'_>),
) -> (Disk, u64) {
    let disk = disk(site, text);
    let repository = site.repository();
    let published = publish_with(&repository, &disk, |publication| {
        publication.name = "base";
        change(publication);
    });
    (disk, published.unwrap().revision)
}

pub(super) fn site(from: &str) -> World {
    let site = World::publishing();
    site.image("child", &format!("from: {from}\nmachine: {{disk: 1GiB}}\n"));
    site
}

/// The disk of the child's install stage, which holds `disk`.
fn install_is(site: &World, name: &str, disk: &Disk) {
    let key = site.key(name, "install");
    let path = site.path(&format!("state/store/{key}/disk.qcow2"));
    let compare = Program::new("qemu-img").args(["compare", "-q", "-f", "qcow2", "-F", "raw"]);
    compare.args([&path, &disk.raw]).run().unwrap();
}

#[test]
fn a_parent_of_another_architecture_is_refused_with_what_to_write() {
    let site = site("{image: main#base}");
    base(&site, "one", |_| {});
    site.replace(
        "recipes/child.yaml",
        "disk: 1GiB",
        "disk: 1GiB, arch: aarch64",
    );
    site.run(&BUILD).exits(2).says(&[
        "what child builds on cannot be found",
        "`base` is not there for aarch64, only for x86_64",
        "`machine: {arch: x86_64}`",
    ]);
}

#[test]
fn a_child_is_built_on_the_revision_that_the_channel_has_and_again_when_that_moves() {
    let site = site("{image: main#base, channel: nightly}");
    let nightly = |p: &mut Publication<'_>| p.channel = "nightly";
    let (one, _) = base(&site, "one", nightly);
    site.image(
        "twin",
        "from: {image: main#base, channel: nightly}\nmachine: {disk: 1GiB}\n",
    );
    site.ok(&BUILD);
    install_is(&site, "child", &one);
    let explained = site.ok(&["plan", "child", "--explain"]).out;
    let wanted = "builds on main#base, channel nightly: revision 1, 0123456789ab";
    assert!(explained.contains(wanted), "{explained}");
    // All who build on it share it.
    assert_eq!(site.key("twin", "install"), site.key("child", "install"));

    // Another channel of the same image, and another image, change nothing.
    let before = site.key("child", "install");
    base(&site, "elsewhere", |p| p.channel = "stable");
    publish_with(&site.repository(), &one, |p| p.channel = "nightly").unwrap();
    assert_eq!(site.key("child", "install"), before);
    let (three, revision) = base(&site, "three", nightly);
    assert_eq!(revision, 3);
    let explained = site.ok(&["plan", "child", "--explain"]).out;
    assert!(
        explained.contains("the revision of main#base changed: 1 → 3"),
        "{explained}"
    );
    assert!(
        explained.contains("the content of main#base changed"),
        "{explained}"
    );
    site.ok(&BUILD);
    install_is(&site, "child", &three);
    let drawn = site.ok(&["plan", "--all"]).out;
    assert!(
        drawn.contains("on main#base, channel nightly: revision 3"),
        "{drawn}"
    );

    // One command sees one revision, and a revision can be named.
    site.image(
        "child",
        "from: {image: main#base@1, channel: nightly}\nmachine: {disk: 1GiB}\n",
    );
    site.ok(&BUILD);
    install_is(&site, "child", &one);
}

#[test]
fn import_of_a_published_image_follows_its_revision_too() {
    let site = World::publishing();
    let body = "install: {import: {image: main#base}}\nmachine: {disk: 1GiB}\n";
    site.image("child", body);
    base(&site, "one", |_| {});
    site.ok(&BUILD);
    let (two, _) = base(&site, "two", |_| {});
    let explained = site.ok(&["plan", "child", "--explain"]).out;
    assert!(
        explained.contains("the revision of main#base changed: 1 → 2"),
        "{explained}"
    );
    site.ok(&BUILD);
    install_is(&site, "child", &two);
}

#[test]
fn a_canary_is_nothing_to_build_on() {
    let site = site("{image: main#base}");
    let (one, _) = base(&site, "one", |_| {});
    let mut settings = site.settings(&site.path("repo"));
    settings.channels = [("stable".to_owned(), canary("99%"))].into();
    let repository = Repository::open(settings).unwrap();
    let two = disk(&site, "two");
    publish_with(&repository, &two, |p| p.name = "base").unwrap();
    site.ok(&BUILD);
    install_is(&site, "child", &one);
}

#[test]
fn without_the_repository_a_plan_uses_the_last_revision_and_offline_builds_do() {
    let site = site("{image: main#base}");
    base(&site, "one", |_| {});
    let error = site.fails(3, &["build", "child", "--until", "install", "--offline"]);
    assert!(
        error.contains("no build here has used main#base"),
        "{error}"
    );
    // As a client of another host: only the key is here when the repository is not.
    std::fs::copy(site.path("repo/imgforge.gpg"), site.path("key.gpg")).unwrap();
    site.configure("repositories: {main: {path: repo, key: key.gpg}}\n");
    site.ok(&BUILD);
    std::fs::rename(site.path("repo"), site.path("away")).unwrap();
    let planned = site.run(&["plan", "child"]).ok();
    planned.says(&["planned with the one of the last build"]);
    let error = site.fails(1, &BUILD);
    assert!(
        error.contains("what child builds on cannot be found"),
        "{error}"
    );
    assert!(
        error.contains("--offline` builds on the revision of the last build"),
        "{error}"
    );
    site.ok(&["build", "child", "--until", "install", "--offline"]);
    // A damaged memory does not hide why it was asked.
    let pins = std::fs::read_dir(site.path("state/pins")).unwrap();
    for pin in pins {
        std::fs::write(pin.unwrap().path(), "{").unwrap();
    }
    let error = site.fails(1, &["plan", "child"]);
    for part in ["is damaged", "what child builds on cannot be found"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn nothing_is_built_on_what_nobody_trusted_has_signed() {
    let site = site("{image: main#base}");
    let (one, _) = base(&site, "one", |_| {});
    let stranger = Home::new(site.path("stranger"));
    stranger.gpg(&["--quick-gen-key", "stranger", "ed25519", "sign", "never"]);
    let key = site.path("stranger.gpg");
    stranger
        .program()
        .arg("-o")
        .arg(&key)
        .arg("--export")
        .run()
        .unwrap();
    site.configure("repositories: {main: {path: repo, key: stranger.gpg}}\n");
    let error = site.fails(4, &["plan", "child"]);
    assert!(error.contains("is not to be trusted"), "{error}");
    site.fails(4, &BUILD);

    // A blob that is not what was signed: nothing of it stays.
    site.configure("repositories: {main: {path: repo}}\n");
    let blob = site.path("repo/images/base/1/base-0123456789ab.xz");
    let mut bytes = std::fs::read(&one.xz).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    let error = site.fails(4, &BUILD);
    assert!(
        error.contains("the install stage of child failed"),
        "{error}"
    );
    let key = site.key("child", "install");
    assert!(!site.path(&format!("state/store/{key}")).exists());
}

#[test]
fn a_disk_that_is_too_small_is_said_before_anything_is_fetched() {
    let site = site("{image: main#base}");
    site.image(
        "child",
        "from: {image: main#base}\nmachine: {disk: 64MiB}\n",
    );
    base(&site, "one", |_| {});
    let error = site.fails(2, &BUILD);
    assert!(
        error.contains("the image main#base has a disk of 65MiB"),
        "{error}"
    );
    assert!(error.contains("machine: {disk: 65MiB}"), "{error}");
}

#[test]
fn the_manifest_pins_the_parent_and_prune_keeps_it_for_the_child() {
    let site = site("{image: main#base}");
    let mut declared = json!(Declared::default());
    declared["keys"] = json!({"ops": ["ssh-ed25519 AAAA ops"]});
    let file = "base-0123456789ab.declared.json";
    let (one, _) = base(&site, "one", |p| {
        p.companions = vec![Companion::bytes(file, declared.to_string())];
    });
    site.ok(&BUILD);
    let facts = site.facts("child", "install");
    assert_eq!(facts["declared"]["keys"], declared["keys"], "{facts}");
    let own = site.disk("child");
    site.finish("child", &own);
    let told = site.ok(&["publish", "child", "--to", "nightly"]).out;
    assert!(told.contains("child"), "{told}");
    let manifest = std::fs::read(site.path("repo/images/child/1/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let from = &manifest["from"];
    assert_eq!(
        (
            &from["image"],
            &from["revision"],
            &from["sha512"],
            &from["image-version"]
        ),
        (
            &json!("main#base"),
            &json!(1),
            &json!(one.sha512),
            &json!("0123456789ab")
        )
    );
    let version = site.version("child");
    let dir = site.path("repo/images/child/1");
    let provenance = dir.join(format!("child-{version}.provenance.json"));
    let provenance = std::fs::read_to_string(provenance).unwrap();
    assert!(provenance.contains("main#base revision 1"), "{provenance}");

    // Two later ones push the first out of every list; only the child still needs it.
    for text in ["two", "three"] {
        base(&site, text, |p| p.version = text);
    }
    let repository = site.repository();
    let policy = Policy {
        keep: Some(1),
        window: Span::seconds(1),
        grace: Span::seconds(1),
    };
    let mut later = Stamp::now();
    later.when = later
        .when
        .saturating_add(jiff::SignedDuration::from_hours(24))
        .unwrap();
    let candidates = repository.prune(&policy, false, &later).unwrap();
    let candidates: Vec<_> = candidates
        .iter()
        .map(|one| (one.name.as_str(), &one.revisions))
        .collect();
    assert_eq!(candidates, [("base", &vec![2])]);
    // Who yanks it learns of the child.
    let yanked = repository
        .yank("base", 1, false, &later, &Ui::silent())
        .unwrap();
    assert_eq!(yanked.children, ["child@1"]);
}
