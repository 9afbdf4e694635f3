//! A registry of another make, `container-registry`: it wants a login without saying so, takes the bytes of a blob
//! by PATCH only, gives no parts, lists no tags, removes nothing. `cargo install --locked container-registry
//! --features bin` has it on PATH.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::again;
use super::consume::Shared;
use super::site::damage;
use crate::patience::wait_for;
use crate::pull::world::Machine;
use crate::slots;
use crate::support::{IMGFORGE, Run as _, World, external};

const SMALL: [&str; 4] = ["build", "small", "--until", "install"];

/// The registry; it ends with the test.
struct Other {
    child: Child,
    address: String,
}

impl Other {
    fn start(dir: &Path) -> Other {
        let log = dir.join("other.log");
        let mut command = external("container-registry");
        command.args([
            "--bind",
            "127.0.0.1:0",
            "--password",
            "hunter2",
            "--storage",
        ]);
        command.arg(dir.join("other"));
        command.stdout(std::fs::File::create(&log).unwrap());
        command.stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut other = Other {
            child,
            address: String::new(),
        };
        wait_for("container-registry to listen", || {
            let text = std::fs::read_to_string(&log).unwrap();
            let at = text.find("127.0.0.1:").map(|at| &text[at..]);
            let is_part = |c: char| c.is_ascii_digit() || ".:".contains(c);
            let at = at.and_then(|at| Some(&at[..at.find(|c| !is_part(c))?]));
            other.address = at.unwrap_or_default().to_owned();
            !other.address.is_empty()
        });
        other
    }

    /// A file with the login, as `docker login` writes it.
    fn login(&self, dir: &Path) -> PathBuf {
        // Of any user.
        let auth = "YnVpbGRlcjpodW50ZXIy";
        let at = &self.address;
        let text = format!(r#"{{"auths":{{"{at}":{{"auth":"{auth}"}}}}}}"#);
        let file = dir.join("auth.json");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// What imgforge.yaml says of the store that builders share.
    fn store(&self) -> String {
        let at = &self.address;
        format!(
            "store: {{remote: 'oci://{at}/site/imgforge', allowed-signers: signers.gpg, push: true}}\n"
        )
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Files of more than 100 KB below a directory.
fn large(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(large(&path)),
            false if path.metadata().unwrap().len() > 100_000 => found.push(path),
            false => {}
        }
    }
    found
}

#[test]
#[ignore = "e2e: src/registry src/store/remote"]
fn e2e_a_registry_of_another_make_has_the_shared_store_too() {
    let world = World::importing();
    let mut disk = vec![0; 4 << 20];
    blake3::Hasher::new()
        .finalize_xof()
        .fill(&mut disk[..1 << 20]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(world.path("files/disk.raw"), disk).unwrap();
    let other = Other::start(world.dir.path());
    world.write("signers.gpg", world.signer().public_key().unwrap());
    world.configure(&other.store());
    let file = other.login(world.dir.path());
    let build = |state: &str| {
        let state = world.path(state).display().to_string();
        let mut command = world.command(&[&["--state", &state], &SMALL[..]].concat());
        command.env("REGISTRY_AUTH_FILE", &file).said().ok().all()
    };
    let state = world.path("state").display().to_string();
    let said = build(&state);
    assert!(
        said.contains("put the install stage of small into"),
        "{said}"
    );
    let said = build("second");
    assert!(
        said.contains("fetched the install stage of small from"),
        "{said}"
    );
    // A poisoned blob is a miss, with a warning.
    let blobs = large(&world.path("other"));
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    damage(&blobs[0]);
    let said = build("third");
    assert!(said.contains("is not used"), "{said}");
    assert!(!said.contains("fetched the install stage"), "{said}");
}

/// A child is built on a parent that another builder has made.
#[test]
#[ignore = "e2e: src/registry src/store/remote src/pipeline"]
fn e2e_a_child_is_made_of_a_parent_that_a_registry_of_another_make_has() {
    slots::take(1);
    let world = again::world();
    let other = Other::start(world.dir.path());
    world.write("signers.gpg", world.signer().public_key().unwrap());
    world.configure(&other.store());
    let file = other.login(world.dir.path());
    let build = |state: &str, image: &str| {
        let state = world.path(state).display().to_string();
        let mut command = world.command(&["--state", &state, "build", image, "--until", "seal"]);
        command.env("REGISTRY_AUTH_FILE", &file).said().ok().all()
    };
    let said = build(&world.path("state").display().to_string(), "a");
    assert!(said.contains("put the seal stage of a into"), "{said}");
    let said = build("second", "a1");
    assert!(
        said.contains("fetched the configure stage of a from"),
        "{said}"
    );
    assert!(
        !said.contains("fetched the configure stage of a1"),
        "{said}"
    );
}

/// Published images with what refers to them; the registry lists nobody's tags and has no index of what refers.
#[test]
#[ignore = "e2e: src/registry src/repository src/pull"]
fn e2e_a_registry_of_another_make_has_published_images() {
    let shared = Shared::new();
    let world = &shared.world;
    let other = Other::start(&world.path(""));
    let file = other.login(&world.path(""));
    let (machine, to) = (
        Machine::new(world),
        format!("oci://{}/images", other.address),
    );
    std::fs::write(
        machine.path("imgforge.yaml"),
        format!(
            "repositories: {{main: {{path: '{}'}}}}\n",
            world.path("repo").display()
        ),
    )
    .unwrap();
    let imgforge = |args: &[&str]| {
        let mut command = external(IMGFORGE);
        command.env("REGISTRY_AUTH_FILE", &file);
        for (word, path) in [("-C", ""), ("--state", "state")] {
            command.arg(word).arg(machine.path(path));
        }
        command.args(args).said().ok().all()
    };
    let warning = "only imgforge finds its SBOM and provenance there";
    for (times, kept) in [(1, ""), (0, "copied 0 files")] {
        let said = imgforge(&["repo", "copy", &to]);
        assert_eq!(said.matches(warning).count(), times, "{said}");
        assert!(said.contains(kept), "{said}");
    }
    for (more, disk) in [("", 0), (":nightly", 1), ("@1", 0)] {
        let (image, key) = (format!("{to}/web{more}"), machine.key().to_str().unwrap());
        let path = machine.path("disk.raw");
        let to = path.to_str().unwrap();
        imgforge(&["pull", &image, "--arch", "x86_64", "--key", key, "-o", to]);
        machine.has(&shared.disks[disk]);
    }
}
