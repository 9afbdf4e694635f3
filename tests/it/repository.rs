//! A repository as the stock virt-builder sees it, whatever happens to its publishers.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use imgforge::digest::file_sha512;
use imgforge::error::{Error, Kind, Result};
use imgforge::host::exec::Program;
use imgforge::pack::{Options, compress};
use imgforge::recipe::types::Profile;
use imgforge::repository::{
    GateProof, Publication, Published, Repository, Settings, Signer, verify,
};
use imgforge::ui::Ui;
use imgforge::units::Size;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A repository and what surrounds it.
struct World {
    dir: TempDir,
    signer: Signer,
}

/// A packed disk.
#[derive(Clone)]
struct Disk {
    raw: PathBuf,
    xz: PathBuf,
    size: Size,
    virtual_size: Size,
    sha512: String,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let signer = Signer::own(&dir.path().join("state"), &Ui::silent()).unwrap();
        World { dir, signer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self, path: &Path) -> Settings {
        Settings {
            path: path.to_owned(),
            url: None,
            default_channel: "stable".into(),
            signer: self.signer.clone(),
        }
    }

    fn repository(&self) -> Repository {
        Repository::open(self.settings(&self.path("repo"))).unwrap()
    }

    /// A disk that begins with `text`.
    fn disk(&self, text: &str) -> Disk {
        let raw = self.path(&format!("{text}.raw"));
        let file = File::create(&raw).unwrap();
        file.set_len(3 << 20).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        let xz = raw.with_extension("xz");
        let options = Options {
            profile: Profile::Nightly,
            ..Options::default()
        };
        let packed = compress(&raw, &xz, &options, &Ui::silent().stage("i", "pack")).unwrap();
        Disk {
            raw,
            xz,
            size: packed.size,
            virtual_size: packed.virtual_size,
            sha512: packed.sha512,
        }
    }

    /// virt-builder with this repository's channel as its only source.
    fn virt_builder(&self, repository: &Repository, channel: &str) -> Program {
        let config = self.path("config/virt-builder/repos.d");
        std::fs::create_dir_all(&config).unwrap();
        let index = match channel {
            "stable" => "index.asc".to_owned(),
            other => format!("channels/{other}/index.asc"),
        };
        let root = repository.path().display();
        let text =
            format!("[test]\nuri=file://{root}/{index}\ngpgkey=file://{root}/imgforge.gpg\n");
        std::fs::write(config.join("test.conf"), text).unwrap();
        self.client("virt-builder")
    }

    fn client(&self, program: &str) -> Program {
        Program::new(program)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("VIRT_BUILDER_DIRS", "/nonexistent")
            .env("LIBGUESTFS_BACKEND", "direct")
            .env("LIBGUESTFS_HV", "/bin/false")
    }

    fn listed(&self, repository: &Repository, channel: &str) -> Value {
        self.virt_builder(repository, channel)
            .args(["--list", "--list-format", "json"])
            .json::<Value>()
            .unwrap()["templates"]
            .clone()
    }

    /// Downloads, verifies and unpacks as virt-builder does; only its appliance cannot start.
    fn fetched_equals(&self, repository: &Repository, channel: &str, entry: &str, disk: &Disk) {
        let out = self.path("out.img");
        let error = self
            .virt_builder(repository, channel)
            .args([entry, "-o"])
            .arg(&out)
            .args(["--no-delete-on-failure", "--no-sync"])
            .run()
            .unwrap_err();
        assert!(out.exists(), "{}", error.render());
        Program::new("cmp").args([&out, &disk.raw]).run().unwrap();
        std::fs::remove_file(out).unwrap();
    }
}

fn proof(sealed: &str) -> GateProof {
    GateProof::of(sealed, true, json!({"boots": 2})).unwrap()
}

/// What the tests say about every image, changed by `change`.
fn publish_with(
    repository: &Repository,
    disk: &Disk,
    change: impl FnOnce(&mut Publication<'_>),
) -> Result<Published> {
    let gate = proof("sealed");
    let mut publication = Publication {
        name: "web-node",
        channel: "stable",
        arch: "x86_64",
        version: "0123456789ab",
        xz: disk.xz.clone(),
        size: disk.size,
        sha512: &disk.sha512,
        virtual_size: disk.virtual_size,
        sealed: "sealed",
        gate: &gate,
        title: "Debian 13 web node",
        osinfo: Some("debian12"),
        expand: Some("/dev/sda3"),
        notes: Some("A web node.\n\n  With an indented line.\n"),
        manifest: json!({"commit": "abc"})
            .as_object()
            .cloned()
            .unwrap_or_default(),
        extra: vec![],
    };
    change(&mut publication);
    repository.publish(&publication, &Ui::silent())
}

fn publish(repository: &Repository, disk: &Disk) -> Published {
    publish_with(repository, disk, |_| {}).unwrap()
}

#[test]
fn virt_builder_lists_downloads_and_verifies_what_was_published() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    let published = publish(&repository, &disk);
    assert_eq!((published.revision, published.changed), (1, true));

    let index = repository.path().join("index.asc");
    world
        .client("virt-index-validate")
        .arg(&index)
        .run()
        .unwrap();
    let list = world.listed(&repository, "stable");
    let expected = json!([{
        "os-version": "web-node",
        "full-name": "Debian 13 web node",
        "arch": "x86_64",
        "size": 3 << 20,
        "compressed-size": disk.size.as_bytes().to_string(),
        "notes": {"C": "A web node.\n\n  With an indented line."},
        "osinfo": "debian12",
        "hidden": false,
    }]);
    assert_eq!(list, expected);
    let builder = || world.virt_builder(&repository, "stable");
    let short = builder().arg("--list").text().unwrap();
    assert!(
        short.starts_with("web-node ") && short.contains("Debian 13 web node"),
        "{short}"
    );
    let long = builder().args(["--list", "--long"]).text().unwrap();
    assert!(
        long.contains("Full name:               Debian 13 web node"),
        "{long}"
    );
    assert!(
        builder()
            .args(["--notes", "web-node"])
            .text()
            .unwrap()
            .contains("indented line")
    );
    world.fetched_equals(&repository, "stable", "web-node", &disk);

    let manifest = repository.path().join("images/web-node/1/manifest.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["commit"], "abc");
    assert_eq!(manifest["gate"]["boots"], 2);
    assert_eq!(manifest["sha512"], disk.sha512.as_str());
    let usage = repository.usage("stable", "web-node").unwrap();
    assert!(
        usage.contains(&format!("uri=file://{}", index.display())),
        "{usage}"
    );
}

#[test]
fn equal_bytes_are_published_once_and_numbers_never_come_again() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    assert_eq!(publish(&repository, &one).revision, 1);
    let again = publish(&repository, &one);
    assert_eq!((again.revision, again.changed), (1, false));
    assert_eq!(publish(&repository, &two).revision, 2);
    let back = publish(&repository, &one);
    assert_eq!(
        (back.revision, back.changed),
        (3, true),
        "old bytes under a higher revision"
    );
    assert!(back.url.contains("/images/web-node/1/"), "{}", back.url);
    assert!(
        !repository
            .path()
            .join("images/web-node/3/web-node-0123456789ab.xz")
            .exists()
    );
    world.fetched_equals(&repository, "stable", "web-node", &one);

    // Other words about the same bytes change the index, not the revision.
    let renamed = publish_with(&repository, &one, |p| p.title = "Web").unwrap();
    assert_eq!((renamed.revision, renamed.changed), (3, true));

    // A lost blob comes back.
    std::fs::remove_dir_all(repository.path().join("images")).unwrap();
    let restored = publish(&repository, &one);
    assert_eq!(restored.revision, 3);
    world.fetched_equals(&repository, "stable", "web-node", &one);
}

#[test]
fn channels_share_the_counter_and_have_names_of_their_own() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    let nightly = |disk: &Disk| publish_with(&repository, disk, |p| p.channel = "nightly").unwrap();
    let first = nightly(&one);
    assert_eq!(
        (first.revision, first.entry.as_str()),
        (1, "web-node-nightly")
    );
    assert_eq!(publish(&repository, &two).revision, 2);
    assert_eq!(
        nightly(&two).revision,
        2,
        "the same bytes keep their number"
    );
    world.fetched_equals(&repository, "nightly", "web-node-nightly", &two);
    world.fetched_equals(&repository, "stable", "web-node", &two);
    assert_eq!(repository.entries("nightly").unwrap()[0].revision, 2);

    let error = publish_with(&repository, &one, |p| p.name = "web-node-nightly").unwrap_err();
    assert!(
        error.render().contains("belongs to `web-node`"),
        "{}",
        error.render()
    );
    let other = Settings {
        default_channel: "nightly".into(),
        ..world.settings(repository.path())
    };
    assert!(
        Repository::open(other)
            .unwrap_err()
            .message()
            .contains("is `stable`")
    );
}

#[test]
fn architectures_live_beside_each_other() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    publish(&repository, &one);
    let arm = publish_with(&repository, &two, |p| p.arch = "aarch64").unwrap();
    assert_eq!(arm.revision, 2);
    assert_eq!(
        world.listed(&repository, "stable").as_array().map(Vec::len),
        Some(2)
    );
    world.fetched_equals(&repository, "stable", "web-node", &one);
}

#[test]
fn only_a_tested_disk_of_the_right_bytes_is_published() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    assert_eq!(
        GateProof::of("sealed", false, json!({}))
            .unwrap_err()
            .kind(),
        Kind::Gate
    );

    let refused = |change: fn(&mut Publication<'_>)| -> Error {
        publish_with(&repository, &disk, change).unwrap_err()
    };
    assert_eq!(refused(|p| p.sealed = "another").kind(), Kind::Gate);
    let error = refused(|p| p.size = Size::bytes(1));
    assert!(
        error.render().contains("is not what was packed"),
        "{}",
        error.render()
    );
    for name in ["a b", "../x", ".hidden", "", "a/b"] {
        let refused = publish_with(&repository, &disk, |p| p.name = name).unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage, "{name}");
    }
    assert_eq!(refused(|p| p.arch = "arm64").kind(), Kind::Gate);
    assert!(!repository.path().join("index.asc").exists());
    assert_eq!(
        std::fs::read_dir(repository.path().join(".imgforge/incoming"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_tampered_index_a_tampered_blob_and_a_wrong_key_are_refused() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    publish(&repository, &disk);
    let index = repository.path().join("index.asc");
    let good = std::fs::read_to_string(&index).unwrap();

    std::fs::write(&index, good.replace("Debian 13", "Debian 14")).unwrap();
    let list = || {
        world
            .virt_builder(&repository, "stable")
            .arg("--list")
            .run()
    };
    assert!(list().unwrap_err().render().contains("signature"));
    let error = repository.entries("stable").unwrap_err();
    assert!(
        error.render().contains("the text was changed"),
        "{}",
        error.render()
    );
    let two = world.disk("two");
    let error = publish_with(&repository, &two, |_| {}).unwrap_err();
    assert_eq!(
        error.kind(),
        Kind::Gate,
        "a changed index is never signed again"
    );

    // What stands before or behind the signed text is not read.
    std::fs::write(
        &index,
        format!("{good}[evil]\narch=x86_64\nfile=evil\nsize=1\n"),
    )
    .unwrap();
    assert_eq!(repository.entries("stable").unwrap().len(), 1);
    std::fs::write(&index, good).unwrap();
    list().unwrap();

    let other = Signer::own(&world.path("other"), &Ui::silent()).unwrap();
    let stranger = Settings {
        signer: other.clone(),
        ..world.settings(repository.path())
    };
    let error = Repository::open(stranger).unwrap_err();
    assert!(error.message().contains("is signed by the key"), "{error}");
    let elsewhere = Repository::open(Settings {
        signer: other,
        ..world.settings(&world.path("elsewhere"))
    });
    let key = elsewhere.unwrap().keyring();
    assert!(verify(&std::fs::read(&index).unwrap(), &key).is_err());
    std::fs::copy(key, repository.keyring()).unwrap();
    assert!(list().is_err(), "a wrong key");
}

#[test]
fn a_configured_key_with_a_signing_subkey_signs_and_is_left_as_it_was() {
    let world = World::new();
    let home = world.path("gnupg");
    std::fs::create_dir(&home).unwrap();
    Program::new("chmod").arg("700").arg(&home).run().unwrap();
    let gpg = |args: &[&str]| {
        Program::new("gpg")
            .arg("--homedir")
            .arg(&home)
            .args(["--batch", "--passphrase", "", "--pinentry-mode", "loopback"])
            .args(args)
            .text()
            .unwrap()
    };
    gpg(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "cert",
        "never",
    ]);
    let listing = gpg(&["--with-colons", "--list-keys"]);
    let fingerprint = listing
        .lines()
        .find(|line| line.starts_with("fpr"))
        .unwrap()
        .split(':')
        .nth(9)
        .unwrap();
    gpg(&["--quick-add-key", fingerprint, "ed25519", "sign", "never"]);

    let signer = Signer::configured_in("images@example.org", &home).unwrap();
    let settings = Settings {
        signer,
        ..world.settings(&world.path("repo"))
    };
    let repository = Repository::open(settings).unwrap();
    let disk = world.disk("one");
    publish(&repository, &disk);
    world.fetched_equals(&repository, "stable", "web-node", &disk);
    let error = Signer::configured_in("nobody@example.org", &home).unwrap_err();
    assert!(
        error
            .render()
            .contains("gpg knows no key `nobody@example.org`"),
        "{}",
        error.render()
    );
    Program::new("gpgconf")
        .arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"])
        .run()
        .unwrap();
}

#[test]
fn many_publishers_at_once_get_revisions_of_their_own() {
    let world = World::new();
    let disks: Vec<Disk> = (0..6)
        .map(|number| world.disk(&format!("disk{number}")))
        .collect();
    let path = world.path("repo");
    let revisions = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for disk in &disks {
            scope.spawn(|| {
                let repository = Repository::open(world.settings(&path)).unwrap();
                revisions
                    .lock()
                    .unwrap()
                    .push(publish(&repository, disk).revision);
            });
        }
    });
    let mut revisions = revisions.into_inner().unwrap();
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    let repository = world.repository();
    let entry = repository.entries("stable").unwrap().remove(0);
    let newest = disks
        .iter()
        .find(|disk| Some(&disk.sha512) == entry.sha512.as_ref())
        .unwrap();
    assert_eq!(entry.revision, 6);
    world.fetched_equals(&repository, "stable", "web-node", newest);
}

#[test]
fn a_publisher_killed_at_any_moment_leaves_a_valid_repository() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&world.repository(), &one);

    // A copy of the directory at each step is what a kill at that step would leave.
    let moments = Arc::new(Mutex::new(vec![]));
    let (taken, root, copies) = (
        Arc::clone(&moments),
        world.path("repo"),
        world.dir.path().to_owned(),
    );
    let repository = world.repository().on_step(move |step| {
        let mut taken = taken.lock().unwrap();
        let copy = copies.join(format!("killed-{}", taken.len()));
        Program::new("cp")
            .arg("-a")
            .arg(&root)
            .arg(&copy)
            .run()
            .unwrap();
        taken.push((step.to_owned(), copy));
    });
    assert_eq!(publish(&repository, &two).revision, 2);

    let moments = moments.lock().unwrap().clone();
    assert!(moments.len() >= 8, "{moments:?}");
    for (step, copy) in moments {
        let signed = std::fs::read(copy.join("index.asc")).unwrap();
        verify(&signed, &copy.join("imgforge.gpg")).unwrap();
        let repository = Repository::open(world.settings(&copy)).unwrap();
        let entry = repository.entries("stable").unwrap().remove(0);
        let blob = copy.join(&entry.file);
        assert_eq!(Some(file_sha512(&blob).unwrap()), entry.sha512, "{step}");
        assert_eq!(publish(&repository, &two).revision, 2, "{step}");
        let three = publish_with(&repository, &one, |_| {}).unwrap();
        assert_eq!(three.revision, 3, "{step}");
        let left = std::fs::read_dir(copy.join(".imgforge/incoming"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "{step}");
    }
}

#[test]
fn a_long_state_path_works_and_no_agent_stays() {
    let world = World::new();
    let state = world.path(&"a-long-name/".repeat(9));
    let notices = Arc::new(Mutex::new(vec![]));
    let ui = Ui::new(Notices(Arc::clone(&notices)));
    let signer = Signer::own(&state, &ui).unwrap();
    Signer::own(&state, &ui).unwrap();
    assert_eq!(notices.lock().unwrap().len(), 1, "said once");
    let settings = Settings {
        signer,
        ..world.settings(&world.path("repo"))
    };
    publish(&Repository::open(settings).unwrap(), &world.disk("one"));

    let mine = world.dir.path().to_string_lossy().into_owned();
    let agents = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|dir| std::fs::read(dir.path().join("cmdline")).ok())
            .filter(|line| line.starts_with(b"gpg-agent"))
            .any(|line| String::from_utf8_lossy(&line).contains(&mine))
    };
    assert!(!agents());
}

struct Notices(Arc<Mutex<Vec<String>>>);

impl imgforge::ui::Reporter for Notices {
    fn event(&self, event: &imgforge::ui::Event) {
        if let imgforge::ui::Event::Notice { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}
