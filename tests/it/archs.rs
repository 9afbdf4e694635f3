//! One name for several architectures: recipes, publications, clients.

mod mistakes;

use std::collections::BTreeSet;

use imgforge::machine::Arch;
use imgforge::recipe::Repo;
use imgforge::recipe::types::Base;
use sha2::Digest as _;

use crate::repository::together::{listed, publish_both};
use crate::repository::world::*;

const BASE: &str = "name: base\ninstall: {bootstrap: {suite: trixie}}\n\
    machine: {arch: [x86_64, aarch64], disk: 3GiB}\n";

#[test]
fn each_architecture_of_a_name_is_an_image_of_its_own() {
    let world = World::new();
    world.write("recipes/base.yaml", BASE);
    let web = "name: web\nfrom: base\nmachine: {arch: [aarch64, x86_64]}\n\
        vars: {size: {x86_64: large, aarch64: small}}\n\
        summary: for {{ arch }}, {{ debian_arch }}, {{ size }}\n";
    world.write("recipes/web.yaml", web);
    let arm = "name: arm\nfrom: base\nmachine: {arch: aarch64}\n";
    world.write("recipes/arm.yaml", arm);
    let repo = Repo::open(world.dir.path()).unwrap();
    assert!(repo.validate_all(&[]).unwrap().is_empty());
    let all = [
        "arm",
        "base:aarch64",
        "base:x86_64",
        "web:aarch64",
        "web:x86_64",
    ];
    assert_eq!(repo.names().unwrap(), all);
    let web = repo.load("web:aarch64", &[]).unwrap();
    assert_eq!((&*web.recipe.name, &*web.id), ("web", "web:aarch64"));
    assert_eq!(web.recipe.machine.arch, Arch::Aarch64);
    assert_eq!(web.recipe.summary, "for aarch64, arm64, small");
    assert_eq!(web.base, Base::Layer("base:aarch64".into()));
    assert_eq!(web.recipe.machine.disk, Size::gib(3));
    let arm = repo.load("arm", &[]).unwrap();
    assert_eq!(arm.base, Base::Layer("base:aarch64".into()));
    let error = repo.load("web", &[]).unwrap_err().render();
    insta::assert_snapshot!(error, @r"
    error: `web` is built for several architectures
    hint: name one of `web:aarch64`, `web:x86_64`
    ");
    assert_eq!(repo.named("web"), ["web:aarch64", "web:x86_64"]);
}

#[test]
fn a_publisher_killed_at_any_moment_has_published_all_architectures_or_none() {
    let world = World::new();
    let first = publish_both(&world, &world.repository(), ["intel one", "arm one"]);
    let numbers = |all: &[Published]| all.iter().map(|one| one.revision).collect::<Vec<_>>();
    assert_eq!(numbers(&first), [1, 2]);
    let old = listed(&world.repository());
    let (repository, moments) = world.copied_at_each_step();
    let second = publish_both(&world, &repository, ["intel two", "arm two"]);
    assert_eq!(numbers(&second), [3, 4]);
    let new = listed(&world.repository());
    assert_eq!((old.len(), new.len(), old.is_disjoint(&new)), (2, 2, true));
    let moments = moments.lock().unwrap().clone();
    let mut seen = BTreeSet::new();
    for (step, copy) in moments {
        let repository = Repository::open(world.settings(&copy)).unwrap();
        let has = listed(&repository);
        assert!(has == old || has == new, "{step}");
        seen.insert(has == new);
        let again = publish_both(&world, &repository, ["intel two", "arm two"]);
        assert_eq!(numbers(&again), [3, 4], "{step}");
        assert_eq!(listed(&repository), new, "{step}");
    }
    assert_eq!(seen.len(), 2, "a kill leaves the old, or the new");
}

#[test]
fn one_bad_architecture_keeps_all_others_out() {
    let world = World::new();
    let repository = world.repository();
    publish_both(&world, &repository, ["intel one", "arm one"]);
    let old = listed(&repository);
    let (intel, arm) = (world.disk("intel two"), world.disk("arm two"));
    std::fs::write(&arm.xz, "cut").unwrap();
    let (gate, other) = (proof("sealed"), proof("other"));
    let [mut intel, mut arm] = [&intel, &arm].map(|disk| publication(disk, &gate));
    arm.arch = "aarch64";
    let (copied, published) = (arm.clone(), intel.clone());
    let error = repository.publish(&[published, copied], &Ui::silent());
    assert!(
        error
            .unwrap_err()
            .render()
            .contains("is not what was packed")
    );
    intel.gate = &other;
    let error = repository.publish(&[arm, intel], &Ui::silent());
    assert_eq!(error.unwrap_err().kind().exit_code(), 4);
    assert_eq!(listed(&world.repository()), old);
}

#[test]
fn a_rollback_takes_back_what_came_last_together() {
    let world = World::new();
    let repository = world.repository();
    let both = |texts| publish_both(&world, &repository, texts);
    both(["intel one", "arm one"]);
    both(["intel two", "arm two"]);
    // Of the third only one architecture is new.
    let third = both(["intel three", "arm two"]);
    assert_eq!([third[0].revision, third[1].revision], [5, 4]);
    assert_eq!([third[0].changed, third[1].changed], [true, false]);
    let back = || {
        let stamp = Stamp::now().why(Some("it does not boot"));
        let ui = Ui::silent();
        let moved = repository.rollback("web-node", "stable", None, &stamp, &ui);
        let moved = moved.unwrap().into_iter();
        let mut moved: Vec<String> = moved.map(|one| one.arch).collect();
        moved.sort();
        moved
    };
    let holds = |texts: [&str; 2]| {
        let digests = texts.map(|text| world.disk(text).sha512);
        assert_eq!(listed(&repository), BTreeSet::from(digests));
    };
    assert_eq!(back(), ["x86_64"]);
    holds(["intel two", "arm two"]);
    assert_eq!(back(), ["aarch64", "x86_64"]);
    holds(["intel one", "arm one"]);
}

/// Gives a finished build a container for an architecture, with nothing in it.
fn contained(site: &World, image: &str, arch: &str) {
    let key = site.key(image, "pack");
    let dir = site.path(&format!("state/store/{key}"));
    let layout = site.path(&format!("layout-{arch}"));
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let blob = |kind: &str, value: Value| {
        let text = value.to_string();
        let digest = hex::encode(sha2::Sha256::digest(&text));
        std::fs::write(layout.join("blobs/sha256").join(&digest), &text).unwrap();
        let kind = format!("application/vnd.oci.image.{kind}.v1+json");
        json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": text.len()})
    };
    let platform = json!({"architecture": arch, "os": "linux"});
    let mut config = platform.clone();
    config["rootfs"] = json!({"type": "layers", "diff_ids": []});
    let config = blob("config", config);
    let mut manifest = blob(
        "manifest",
        json!({"schemaVersion": 2, "config": config, "layers": []}),
    );
    manifest["platform"] = platform;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "small:1"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(
        layout.join("oci-layout"),
        "{\"imageLayoutVersion\": \"1.0.0\"}",
    )
    .unwrap();
    let file = format!("small-{arch}.oci.tar");
    let archive = dir.join(&file);
    let tar = Program::new("tar")
        .arg("-C")
        .arg(&layout)
        .arg("-cf")
        .arg(&archive);
    tar.args(["oci-layout", "index.json", "blobs"])
        .run()
        .unwrap();

    let path = dir.join("meta.json");
    let mut meta: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let sha512 = file_sha512(&archive).unwrap();
    let proven =
        ["validated", "scanned", "booted"].map(|part| json!({"part": part, "by": "a test"}));
    meta["facts"]["artifacts"] = json!([{
        "file": file, "sha512": sha512, "about": {"target": "docker", "format": "oci-archive"},
        "proof": {"sha512": sha512, "sealed": "sealed", "proven": proven},
    }]);
    std::fs::write(&path, meta.to_string()).unwrap();
}

#[test]
fn a_name_is_published_in_all_its_architectures_by_one_command() {
    let site = World::publishing();
    let recipe = "install: {import: {image: disk.raw}}\n\
        machine: {disk: 1GiB, arch: [x86_64, aarch64]}\n";
    site.image("small", recipe);
    site.disk_file("disk.raw");
    site.ok(&["build", "small", "--until", "install"]);
    let plan = site.ok(&["plan", "small", "--json"]).json();
    let images: Vec<&Value> = plan
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["image"])
        .collect();
    assert_eq!(images, ["small:x86_64", "small:aarch64"]);
    site.ok(&["list"])
        .prints(&["small:aarch64", "small:x86_64"]);
    let error = site.fails(2, &["show", "small", "--json"]);
    assert!(
        error.contains("name one of `small:x86_64`, `small:aarch64`"),
        "{error}"
    );
    site.ok(&["show", "small:aarch64", "--json"])
        .prints(&["\"arch\": \"aarch64\""]);

    let (intel, arm) = (site.disk("intel"), site.disk("arm"));
    site.finish("small:x86_64", &intel);
    // One of them is not built yet.
    let error = site.fails(2, &["publish", "small"]);
    assert!(
        error.contains("no finished build of `small:aarch64`"),
        "{error}"
    );
    let args = ["build", "small", "-o", "out"];
    let error = site.run(&args).exits(1).err;
    assert!(error.contains("`small` was not handed over"), "{error}");
    assert!(error.contains("small:aarch64"), "{error}");
    let out = || {
        let files = std::fs::read_dir(site.path("out")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<String>>()
    };
    assert_eq!(out(), BTreeSet::new());
    site.finish("small:aarch64", &arm);
    for (image, arch) in [("small:x86_64", "amd64"), ("small:aarch64", "arm64")] {
        contained(&site, image, arch);
    }
    site.ok(&args);
    let made = out();
    let count = |end: &str| made.iter().filter(|name| name.ends_with(end)).count();
    assert_eq!(
        (count(".xz"), count("64.oci.tar"), made.len()),
        (2, 2, 5),
        "{made:?}"
    );
    // The containers are one image, and its index the same each time.
    let joined = site.path("out/small.oci.tar");
    let oci = format!("oci-archive:{}", joined.display());
    let skopeo = Program::new("skopeo").args(["inspect", "--raw", &oci]);
    let index = skopeo.json::<Value>().unwrap();
    let platforms = index["manifests"].as_array().unwrap().iter();
    let archs: Vec<_> = platforms
        .map(|one| one["platform"]["architecture"].clone())
        .collect();
    assert_eq!(archs, ["amd64", "arm64"]);
    let first = file_sha512(&joined).unwrap();
    site.ok(&args);
    assert_eq!(file_sha512(&joined).unwrap(), first);
    // One that is not of this build is no result of it; a file of somebody else's is.
    let alone = ["build", "small:aarch64", "-o", "out"];
    let gone = site.ok(&alone);
    assert!(gone.err.contains("was an earlier build's"), "{}", gone.err);
    assert!(!joined.exists());
    std::fs::write(&joined, "another's").unwrap();
    site.ok(&alone);
    assert_eq!(std::fs::read(&joined).unwrap(), b"another's");

    let error = site.fails(2, &["publish", "small:aarch64"]);
    assert!(
        error.contains("published as a whole, and small:x86_64"),
        "{error}"
    );
    let error = site.fails(2, &["build", "small:aarch64", "--publish"]);
    assert!(error.contains("published as a whole"), "{error}");
    for verb in [
        &["publish", "small:riscv64"][..],
        &["build", "small:riscv64", "--publish"],
    ] {
        site.run(verb).exits(2).says(&[
            "`small` is not listed for riscv64",
            "name one of `small:x86_64`, `small:aarch64`",
        ]);
    }
    assert!(!site.path("repo/index.asc").exists());

    site.ok(&["publish", "small:aarch64", "small:x86_64"])
        .prints(&["revision 1", "revision 2"]);
    let repository = site.repository();
    for (arch, disk) in [("x86_64", &intel), ("aarch64", &arm)] {
        let client = site.virt_builder(&repository, "stable");
        site.unpacked_equals(client.args(["--arch", arch]), "small", disk);
        let (from, key) = (site.path("repo").display().to_string(), "repo/imgforge.gpg");
        let from = format!("{from}#small");
        let to = format!("{arch}.pulled");
        site.ok(&["pull", &from, "--arch", arch, "--key", key, "-o", &to]);
        let pulled = std::fs::read(site.path(&to)).unwrap();
        assert!(pulled == std::fs::read(&disk.raw).unwrap(), "{arch}");
    }
    // What is published is about one architecture: the index of all is made for `-o` alone.
    for (revision, arch) in [("1", "x86_64"), ("2", "aarch64")] {
        let files = std::fs::read_dir(site.path(&format!("repo/images/small/{revision}"))).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let containers: Vec<String> = names.filter(|name| name.contains(".oci.")).collect();
        let own = match arch {
            "x86_64" => "small-amd64.oci.tar",
            _ => "small-arm64.oci.tar",
        };
        assert_eq!(containers, [own], "{arch}");
    }
    let verified = site.ok(&["repo", "verify"]).out;
    assert!(
        verified.contains("1 channels, 2 entries, 2 revisions"),
        "{verified}"
    );
    let status = site.ok(&["status", "--json"]).json();
    let images = status["images"].as_array().unwrap();
    let places = |image: &Value| (image["image"].clone(), image["places"][0]["arch"].clone());
    let told: Vec<_> = images.iter().map(places).collect();
    let expected = |arch: &str| (json!(format!("small:{arch}")), json!(arch));
    assert_eq!(told, [expected("aarch64"), expected("x86_64")]);
    assert!(
        images
            .iter()
            .all(|one| one["places"].as_array().unwrap().len() == 1)
    );

    // The recipe goes on with one architecture: nothing makes the other any more.
    for one in ["[x86_64]", "x86_64"] {
        site.image("small", &recipe.replace("[x86_64, aarch64]", one));
        let status = site.run(&["status"]).exits(4);
        status.says(&[
            "1 of 2 images drifted",
            "small:aarch64: it is published, and no recipe makes it",
            "remove it: `imgforge repo yank small@2 --why TEXT`",
        ]);
    }
    site.ok(&["repo", "yank", "small@2", "--why", "dropped"]);
    site.ok(&["status"]);
}
