//! A repository as the stock virt-builder sees it, whatever happens to its publishers.

use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
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

    let blob = repository
        .path()
        .join(&repository.entries("stable").unwrap()[0].file);
    let bytes = std::fs::read(&blob).unwrap();
    File::options()
        .write(true)
        .open(&blob)
        .unwrap()
        .write_all_at(b"evil", 40)
        .unwrap();
    let client = world.virt_builder(&repository, "stable");
    let error = client
        .args(["web-node", "-o"])
        .arg(world.path("out"))
        .run()
        .unwrap_err();
    assert!(
        error.render().contains("did not match"),
        "{}",
        error.render()
    );
    std::fs::write(&blob, bytes).unwrap();

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

/// A user's key directory.
struct Home(PathBuf);

impl Home {
    fn new(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Home(path)
    }

    fn gpg(&self, args: &[&str]) -> String {
        self.program().args(args).text().unwrap()
    }

    fn program(&self) -> Program {
        Program::new("gpg").arg("--homedir").arg(&self.0).args([
            "--batch",
            "--yes",
            "--passphrase",
            "",
            "--pinentry-mode",
            "loopback",
        ])
    }

    fn fingerprint(&self) -> String {
        let listing = self.gpg(&["--with-colons", "--list-keys"]);
        let line = listing
            .lines()
            .find(|line| line.starts_with("fpr"))
            .unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn agent_runs(&self) -> bool {
        let agent = Program::new("gpg-connect-agent")
            .arg("--homedir")
            .arg(&self.0);
        let answer = agent
            .args(["--no-autostart", "GETINFO pid", "/bye"])
            .text()
            .unwrap();
        answer.starts_with("D ")
    }

    fn stop_agent(&self) {
        let gpgconf = Program::new("gpgconf").arg("--homedir").arg(&self.0);
        gpgconf.args(["--kill", "all"]).run().unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop_agent();
    }
}

#[test]
fn a_configured_key_with_a_signing_subkey_signs_and_others_entries_stay() {
    let world = World::new();
    let home = Home::new(world.path("gnupg"));
    home.gpg(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "cert",
        "never",
    ]);
    home.gpg(&[
        "--quick-add-key",
        &home.fingerprint(),
        "ed25519",
        "sign",
        "never",
    ]);
    let signer = Signer::configured_in("images@example.org", &home.0).unwrap();
    assert!(home.agent_runs(), "the user's own agent is left alone");
    home.stop_agent();

    let root = world.path("repo");
    let settings = Settings {
        signer,
        ..world.settings(&root)
    };
    let repository = Repository::open(settings).unwrap();
    let foreign = "[other]\nname=Theirs\nfile=other.xz\narch=aarch64\nrevision=4\nsize=512\n\
                   notes[de]=eins\n \n zwei\nunknown[key]=value\n\n";
    let signed = home
        .program()
        .args(["--digest-algo", "SHA512", "--clearsign"])
        .input(foreign);
    std::fs::write(root.join("index.asc"), signed.output().unwrap()).unwrap();
    home.stop_agent();

    let disk = world.disk("one");
    publish(&repository, &disk);
    assert!(!home.agent_runs(), "an agent of ours is gone");
    world.fetched_equals(&repository, "stable", "web-node", &disk);
    assert!(
        std::fs::read_to_string(root.join("index.asc"))
            .unwrap()
            .contains(foreign)
    );

    let error = Signer::configured_in("nobody@example.org", &home.0).unwrap_err();
    let text = error.render();
    assert!(
        text.contains("gpg knows no key `nobody@example.org`"),
        "{text}"
    );
}

#[test]
fn expired_and_revoked_keys_are_refused() {
    let world = World::new();
    let home = Home::new(world.path("gnupg"));
    let long_ago = ["--faked-system-time", "20200101T000000!"];
    let then = |args: &[&str]| home.gpg(&[&long_ago, args].concat());
    then(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "sign",
        "1d",
    ]);
    let text = world.path("text");
    std::fs::write(&text, "[a]\n").unwrap();
    let (signed, keyring) = (world.path("signed"), world.path("keyring"));
    let sign = |when: &[&str]| {
        let out = [
            "--output",
            signed.to_str().unwrap(),
            "--clearsign",
            text.to_str().unwrap(),
        ];
        home.gpg(&[when, &out].concat());
        home.gpg(&["--output", keyring.to_str().unwrap(), "--export"]);
        std::fs::read(&signed).unwrap()
    };
    let error = verify(&sign(&long_ago), &keyring).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Gate, "the key that signed has expired")
    );

    let key = home.fingerprint();
    home.gpg(&["--quick-set-expire", &key, "0"]);
    assert_eq!(verify(&sign(&[]), &keyring).unwrap().text, "[a]\n");

    let signed = sign(&[]);
    let certificate = home.0.join(format!("openpgp-revocs.d/{key}.rev"));
    let certificate = std::fs::read_to_string(certificate)
        .unwrap()
        .replace(":-----", "-----");
    home.program()
        .arg("--import")
        .input(certificate)
        .run()
        .unwrap();
    home.gpg(&["--output", keyring.to_str().unwrap(), "--export"]);
    let error = verify(&signed, &keyring).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Gate, "the key that signed is revoked")
    );
}

#[test]
fn a_full_disk_at_any_write_leaves_a_valid_repository() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    let root = world.path("repo");
    publish(&world.repository(), &one);
    let writes = [
        (
            "copy the blob",
            ".imgforge/incoming/*/files/web-node-0123456789ab.xz",
        ),
        ("bind the revision", ".imgforge/revisions/web-node.json.new"),
        ("write the manifest", "images/web-node/2/manifest.json.new"),
        ("write an entry point aside", ".imgforge/transaction/0"),
        ("write the journal", ".imgforge/journal.json.new"),
    ];
    for (when, file) in writes {
        let full = root.clone();
        let repository = world.repository().on_step(move |step| {
            if step == when {
                fill_up(&full, file);
            }
        });
        let error = publish_with(&repository, &two, |_| {}).unwrap_err();
        let text = error.render();
        assert!(text.contains("the disk is full"), "{when}: {text}");
        drop(std::fs::remove_file(root.join(file)));
        let entry = world.repository().entries("stable").unwrap().remove(0);
        assert_eq!(
            (entry.revision, entry.sha512.as_ref()),
            (1, Some(&one.sha512)),
            "{when}"
        );
    }
    assert_eq!(publish(&world.repository(), &two).revision, 2);
    world.fetched_equals(&world.repository(), "stable", "web-node", &two);
}

/// Makes the next write to `file` fail; `*` is the only directory there.
fn fill_up(root: &Path, file: &str) {
    let path = match file.split_once("/*/") {
        Some((parent, rest)) => {
            let mut dirs = std::fs::read_dir(root.join(parent)).unwrap();
            dirs.next().unwrap().unwrap().path().join(rest)
        }
        None => root.join(file),
    };
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::fs::remove_file(&path));
    std::os::unix::fs::symlink("/dev/full", path).unwrap();
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
