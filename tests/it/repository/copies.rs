//! A copy has what is signed, and what is made of it; nothing that somebody put beside it.

use imgforge::repository::{Copied, copy};

use super::forged::{change, copied};
use super::world::*;
use crate::pull::replay::sign_again;

/// A repository with everything that readers find.
fn filled(world: &World) -> Repository {
    let repository = world.repository();
    for (name, text) in [("web-node", "one"), ("web-node", "two"), ("other", "one")] {
        publish_with(&repository, &world.disk(text), |p| {
            p.name = name;
            let file = |end: &str, about: [(&'static str, &'static str); 2]| {
                Companion::bytes(format!("{name}.{end}"), format!("{end} {text}")).about(about)
            };
            p.companions = vec![
                file("vmlinuz", [("target", "ramdisk"), ("format", "kernel")]),
                file("initrd", [("target", "ramdisk"), ("format", "initrd")]),
                file("qcow2", [("target", "disk"), ("format", "qcow2")]),
                Companion::bytes(
                    format!("{name}.provenance.json"),
                    format!("{{\"of\": \"{name} {text}\"}}"),
                )
                .signed(),
            ];
        })
        .unwrap();
    }
    repository
}

fn copied_for(world: &World, signers: &Signers, to: &str) -> Result<Copied> {
    let ui = Ui::silent().stage("repository", "copy");
    copy(&world.path("repo"), &world.path(to), signers, None, &ui)
}

fn assert_equal(world: &World, one: &str, other: &str) {
    let diff = Program::new("diff").arg("-r");
    diff.args([world.path(one), world.path(other)])
        .run()
        .unwrap();
}

#[test]
fn a_copy_has_nothing_that_somebody_put_into_the_repository() {
    let world = World::new();
    let root = filled(&world).path().to_owned();
    copied(&world, "right").unwrap();
    assert_equal(&world, "right/channels", "repo/channels");
    assert_equal(&world, "right/streams", "repo/streams");
    for (path, text) in [
        (
            "channels/stable/web-node/boot.ipxe",
            "#!ipxe\nkernel http://evil/k\nboot\n",
        ),
        ("channels/stable/web-node/latest.json", "{\"evil\":true}"),
        ("channels/index.json", "{\"evil\":true}"),
        ("streams/v1/index.json", "{\"evil\":true}"),
        ("streams/v1/images.json", "{\"evil\":true}"),
        ("vagrant/web-node.json", "{\"evil\":true}"),
        ("index.html", "<script>evil</script>"),
        ("images/web-node/index.html", "<script>evil</script>"),
        (
            "images/web-node/packages.json",
            "{\"version\":1,\"name\":\"web-node\",\"revisions\":[1,2],\"packages\":[]}",
        ),
        (
            "images/web-node/changes.json",
            "{\"version\":1,\"name\":\"web-node\",\"revisions\":{\"1\":{\"checks\":[\"evil\"]}}}",
        ),
        ("imgforge-evil.gpg", "evil"),
        ("index-evil.asc", "evil"),
        ("images/web-node/revisions-evil.sjson", "evil"),
        (
            ".imgforge/keys.json",
            "{\"version\":1,\"main\":\"evil\",\"seconds\":[],\"retired\":[]}",
        ),
    ] {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    change(&root.join(".imgforge/names/web-node.json"), |record| {
        let mut planted = record["revisions"]["2"].clone();
        planted["pending"] = true.into();
        planted["notes"] = "evil".into();
        record["revisions"]["3"] = planted;
    });
    copied(&world, "copy").unwrap();
    let grep = Program::new("grep").args(["-rlE", "evil"]);
    let found = grep
        .arg(world.path("copy"))
        .args(["--exclude=web-node.json", "--exclude=keys.json"]);
    assert!(found.text().is_err());
    for part in ["channels", "streams", "images", "index.asc", "imgforge.gpg"] {
        assert_equal(&world, &format!("right/{part}"), &format!("copy/{part}"));
    }
    assert!(!world.path("copy/vagrant").exists());
    // A copy that has taken it once is mended.
    std::fs::copy(root.join("index.html"), world.path("right/index.html")).unwrap();
    copied(&world, "right").unwrap();
    assert_equal(&world, "right/index.html", "copy/index.html");
}

#[test]
fn what_is_signed_beside_the_lists_is_compared_with_them() {
    let world = World::new();
    let root = filled(&world).path().to_owned();
    let allowed = world.path("allowed.gpg");
    std::fs::copy(root.join("imgforge.gpg"), &allowed).unwrap();
    let stranger = Signer::own(&world.path("other"), &Ui::silent()).unwrap();
    let fake = Repository::open(Settings::new(world.path("fake"), stranger)).unwrap();
    publish(&fake, &world.disk("evil"));
    let read = |path: &str| std::fs::read(root.join(path)).unwrap();
    let strangers = std::fs::read(fake.path().join("channels/stable/web-node/latest.sjson"));
    let signature = read("images/other/1/other.provenance.json.asc");
    let manifest = String::from_utf8(read("images/web-node/1/manifest.json")).unwrap();
    let evil = manifest.replace("\"revision\": 2", "\"revision\": 7");
    let evil = evil.replace("\"sha512\": \"", "\"sha512\": \"0");
    let latest = "channels/stable/web-node/latest.sjson";
    let others = read("channels/stable/other/latest.sjson");
    for (path, bytes, expected) in [
        (latest, strangers.unwrap(), "not among the trusted ones"),
        (latest, others, "does not say what the signed lists say"),
        (
            "imgforge.gpg",
            std::fs::read(fake.keyring()).unwrap(),
            "is not the key that signs",
        ),
        (
            "images/web-node/1/manifest.json",
            evil.into_bytes(),
            "about other bytes",
        ),
        (
            "images/web-node/1/web-node.provenance.json.asc",
            signature,
            "web-node.provenance.json.asc is not to be trusted",
        ),
    ] {
        let right = read(path);
        assert_ne!(right, bytes, "{path}");
        std::fs::write(root.join(path), bytes).unwrap();
        let error = copied_for(&world, &Signers::of_file(&allowed), "copy").unwrap_err();
        let text = error.render();
        assert!(text.contains(expected), "{path}: {text}");
        assert!(!world.path("copy/index.asc").exists(), "{path}");
        std::fs::write(root.join(path), right).unwrap();
    }
    copied_for(&world, &Signers::of_file(&allowed), "copy").unwrap();
    assert_equal(&world, "copy/imgforge.gpg", "repo/imgforge.gpg");
}

/// The second keys of a rotation go with it, as the indexes say.
#[test]
fn a_copy_during_a_rotation_has_both_keys() {
    let world = World::new();
    let repository = filled(&world);
    repository.rotate(None, "2027", &Stamp::now()).unwrap();
    copied(&world, "copy").unwrap();
    for part in [
        "imgforge-2027.gpg",
        "index-2027.asc",
        "images/web-node/revisions-2027.sjson",
        ".imgforge/keys.json",
    ] {
        assert_equal(&world, &format!("repo/{part}"), &format!("copy/{part}"));
    }
    let own = world.repository();
    own.finish_rotation(&Stamp::now()).unwrap();
    copied(&world, "copy").unwrap();
    for part in ["imgforge.gpg", "index.asc", "index-2027.asc"] {
        assert_equal(&world, &format!("repo/{part}"), &format!("copy/{part}"));
    }
}

#[test]
fn a_copy_loses_nothing_that_no_list_says_is_gone() {
    let world = World::new();
    let root = filled(&world).path().to_owned();
    copied(&world, "copy").unwrap();
    let file = world.path("copy/images/web-node/3/file");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "of a newer revision").unwrap();
    change(&root.join(".imgforge/names/web-node.json"), |record| {
        let mut bound = record["revisions"]["2"].clone();
        bound["pending"] = true.into();
        bound["removed"] = "2026-01-01T00:00:00Z".into();
        record["revisions"]["3"] = bound;
    });
    copied(&world, "copy").unwrap();
    assert!(file.exists());
}

#[test]
fn words_about_bytes_that_channels_share_change_in_all_of_them() {
    let world = World::new();
    let repository = world.repository();
    let publish = |title: &'static str| {
        let published = publish_with(&repository, &world.disk("one"), |p| {
            p.title = title;
            let file = Companion::bytes("disk.qcow2", "a disk");
            p.companions = vec![file.about([("target", "disk"), ("format", "qcow2")])];
        });
        published.unwrap();
    };
    publish("Before");
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository
        .promote("web-node", ("stable", "nightly"), &now, &ui)
        .unwrap();
    publish("After");
    let stream = "streams/v1/nightly/images.sjson";
    for path in [stream, "channels/nightly/index.asc"] {
        let text = std::fs::read_to_string(world.path("repo").join(path)).unwrap();
        assert!(text.contains("After") && !text.contains("Before"), "{text}");
    }
    copied(&world, "copy").unwrap();
    // Another version has other words; what programs go by is the same.
    sign_again(&world, stream, 0, |text| text.replace("After", "Later"));
    copied(&world, "copy").unwrap();
    sign_again(&world, stream, 0, |text| {
        text.replacen("\"sha512\":\"", "\"sha512\":\"0", 1)
    });
    let text = copied(&world, "copy").unwrap_err().render();
    assert!(text.contains("what the signed lists say"), "{text}");
}

/// Whoever empties the source does not empty the mirrors.
#[test]
fn a_copy_of_what_is_gone_takes_nothing_away() {
    let site = World::publishing();
    std::fs::create_dir(site.path("recipes")).unwrap();
    let repository = filled(&site);
    for to in ["copy", "known"] {
        site.ok(&["repo", "copy", to]);
    }
    let root = repository.path();
    for dir in ["channels", "images", "streams", ".imgforge/names"] {
        drop(std::fs::remove_dir_all(root.join(dir)));
    }
    for file in [
        "index.asc",
        ".imgforge/state.sjson",
        ".imgforge/channels.json",
    ] {
        std::fs::remove_file(root.join(file)).unwrap();
    }
    let text = site.fails(4, &["repo", "copy", "known"]);
    assert!(
        text.contains("is gone, and this host has seen it"),
        "{text}"
    );
    std::fs::remove_dir_all(site.path("state/repositories")).unwrap();
    let text = site.fails(4, &["repo", "copy", "known"]);
    assert!(text.contains("is gone, and its copy has it"), "{text}");
    assert_equal(&site, "copy", "known");
}
