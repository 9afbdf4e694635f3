//! Repositories for tests, and the programs that read them.

pub(crate) use std::fs::{File, Permissions};
pub(crate) use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::sync::{Arc, Mutex};

pub(crate) use imgforge::channels::ChannelRules;
pub(crate) use imgforge::digest::file_sha512;
pub(crate) use imgforge::error::{Error, Kind, Result};
pub(crate) use imgforge::gpg::{Keyring, Signer, Signers, Verified, verify_detached};
pub(crate) use imgforge::host::exec::Program;
pub(crate) use imgforge::pack::Profile;
pub(crate) use imgforge::pack::{Options, compress};
pub(crate) use imgforge::repository::gate::{CloneReport, CommandReport, GateReport};
pub(crate) use imgforge::repository::manifest::Origin;
pub(crate) use imgforge::repository::{
    Companion, GateProof, Publication, Published, Repository, Settings, Stamp,
};
pub(crate) use imgforge::ui::Ui;
pub(crate) use imgforge::units::Size;
pub(crate) use serde_json::{Value, json};
pub(crate) use tempfile::TempDir;

pub(crate) use crate::support::World;
use crate::support::{Run as _, external};

/// Bytes of a disk. Every test packs some, and this is most of what a test does by itself.
pub(crate) const SIZE: u64 = 256 << 10;

/// Verifies with the public keys in a file.
pub(crate) fn verify(signed: &[u8], keys: &Path) -> Result<Verified> {
    imgforge::gpg::verify(signed, &Keyring::of_file(keys, None)?)
}

/// A packed disk.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) raw: PathBuf,
    pub(crate) xz: PathBuf,
    pub(crate) size: Size,
    pub(crate) virtual_size: Size,
    pub(crate) sha512: String,
}

/// Steps, and the copy of the repository at each.
pub(crate) type Moments = Arc<Mutex<Vec<(String, PathBuf)>>>;

impl World {
    pub(crate) fn settings(&self, path: &Path) -> Settings {
        Settings::new(path, self.signer().clone())
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(self.settings(&self.path("repo"))).unwrap()
    }

    /// The repository, copied at each step that it takes: what a kill at that step would leave.
    pub(crate) fn copied_at_each_step(&self) -> (Repository, Moments) {
        let moments = Moments::default();
        let taken = Arc::clone(&moments);
        let (root, copies) = (self.path("repo"), self.dir.path().to_owned());
        let repository = self.repository().on_step(move |step| {
            let mut taken = taken.lock().unwrap();
            let copy = copies.join(format!("killed-{}", taken.len()));
            let cp = Program::new("cp").arg("-a").arg(&root).arg(&copy);
            cp.run().unwrap();
            taken.push((step.to_owned(), copy));
        });
        (repository, moments)
    }

    /// A disk that begins with `text`.
    pub(crate) fn disk(&self, text: &str) -> Disk {
        let raw = self.path(&format!("{text}.raw"));
        let file = File::create(&raw).unwrap();
        file.set_len(SIZE).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        self.packed(raw)
    }

    /// Packs a disk.
    pub(crate) fn packed(&self, raw: PathBuf) -> Disk {
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
    pub(crate) fn virt_builder(&self, repository: &Repository, channel: &str) -> Program {
        let index = match channel {
            "stable" => "index.asc".to_owned(),
            other => format!("channels/{other}/index.asc"),
        };
        let root = address(repository.path());
        self.sources(&format!(
            "[test]\nuri={root}/{index}\ngpgkey={root}/imgforge.gpg\n"
        ));
        self.client("virt-builder")
    }

    /// Tells virt-builder where images come from.
    pub(crate) fn sources(&self, text: &str) {
        self.write("config/virt-builder/repos.d/test.conf", text);
    }

    pub(crate) fn client(&self, program: &'static str) -> Program {
        Program::new(program)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("VIRT_BUILDER_DIRS", "/nonexistent")
            .env("LIBGUESTFS_BACKEND", "direct")
            .env("LIBGUESTFS_HV", "/bin/false")
    }

    pub(crate) fn listed(&self, repository: &Repository, channel: &str) -> Value {
        self.virt_builder(repository, channel)
            .args(["--list", "--list-format", "json"])
            .json::<Value>()
            .unwrap()["templates"]
            .clone()
    }

    /// Downloads, verifies and unpacks as virt-builder does; only its appliance cannot start.
    pub(crate) fn fetched_equals(
        &self,
        repository: &Repository,
        channel: &str,
        entry: &str,
        disk: &Disk,
    ) {
        self.unpacked_equals(self.virt_builder(repository, channel), entry, disk);
    }

    pub(crate) fn unpacked_equals(&self, client: Program, entry: &str, disk: &Disk) {
        let out = self.path("out.img");
        let error = client
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

/// The `file:` address of a path.
pub(crate) fn address(path: &Path) -> String {
    imgforge::http::Url::of_path(path).unwrap().to_string()
}

/// A channel in which this share of the machines gets new revisions first.
pub(crate) fn canary(share: &str) -> ChannelRules {
    rules("canary", share)
}

/// A channel with this rule only.
pub(crate) fn rules(name: &str, value: &str) -> ChannelRules {
    serde_json::from_value(serde_json::json!({name: value})).unwrap()
}

pub(crate) fn proof(sealed: &str) -> GateProof {
    let clone = CloneReport {
        boots: 2,
        ..CloneReport::default()
    };
    let report = GateReport {
        passed: true,
        clones: vec![clone],
        ..GateReport::default()
    };
    GateProof::new(sealed, report).unwrap()
}

/// What the tests say about every image.
pub(crate) fn publication<'a>(disk: &'a Disk, gate: &'a GateProof) -> Publication<'a> {
    Publication {
        name: "web-node",
        channel: "stable",
        arch: "x86_64",
        version: "0123456789ab",
        xz: disk.xz.clone(),
        size: disk.size,
        sha512: &disk.sha512,
        virtual_size: disk.virtual_size,
        sealed: "sealed",
        gate,
        title: "Debian 13 web node",
        osinfo: Some("debian12"),
        expand: Some("/dev/sda3"),
        notes: Some("A web node.\n\n  With an indented line.\n"),
        origin: Origin {
            imgforge: Some("0.0.1".into()),
            ..Origin::default()
        },
        companions: vec![],
        built_on: vec![],
        keep: None,
        stamp: Stamp::now(),
    }
}

/// Publishes it, changed by `change`.
pub(crate) fn publish_with(
    repository: &Repository,
    disk: &Disk,
    change: impl FnOnce(&mut Publication<'_>),
) -> Result<Published> {
    let gate = proof("sealed");
    let mut publication = publication(disk, &gate);
    change(&mut publication);
    let published = repository.publish(&[publication], &Ui::silent());
    published.map(|mut all| all.remove(0))
}

pub(crate) fn publish(repository: &Repository, disk: &Disk) -> Published {
    publish_with(repository, disk, |_| {}).unwrap()
}

/// A user's key directory.
pub(crate) struct Home(pub(crate) PathBuf);

const LONG_AGO: [&str; 2] = ["--faked-system-time", "20200101T000000!"];

impl Home {
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Home(path)
    }

    /// Its key was made in 2020, for a day.
    pub(crate) fn with_an_expired_key(path: PathBuf) -> Self {
        let home = Home::new(path);
        let new = ["--quick-gen-key", "images@example.org", "ed25519", "sign"];
        home.gpg(&[&LONG_AGO[..], &new, &["1d"]].concat());
        home
    }

    /// Its certificate has the first key of `victim`, which was made in 2020, too, as a subkey that
    /// signs nothing. Whoever has the public key can make that; gpg wants the secret one.
    pub(crate) fn of_an_adopter(path: PathBuf, victim: &Home) -> Self {
        let home = Home::with_an_expired_key(path);
        let listing = victim.gpg(&["--with-colons", "--with-keygrip", "--list-keys"]);
        let line = listing.lines().find(|line| line.starts_with("grp"));
        let grip = line.unwrap().split(':').nth(9).unwrap();
        let file = format!("private-keys-v1.d/{grip}.key");
        std::fs::copy(victim.0.join(&file), home.0.join(&file)).unwrap();
        let own = home.fingerprint();
        let edit = home.program().args(LONG_AGO);
        edit.args(["--expert", "--command-fd", "0", "--edit-key", &own])
            .input(format!("addkey\n13\n{grip}\n=A\nQ\n0\nsave\n"))
            .run()
            .unwrap();
        home.gpg(&["--quick-set-expire", &own, "0"]);
        let all = home.gpg(&["--with-colons", "--list-keys"]);
        assert!(all.contains(&victim.fingerprint()), "{all}");
        home
    }

    pub(crate) fn gpg(&self, args: &[&str]) -> String {
        self.program().args(args).text().unwrap()
    }

    pub(crate) fn program(&self) -> Program {
        Program::new("gpg").arg("--homedir").arg(&self.0).args([
            "--batch",
            "--yes",
            "--passphrase",
            "",
            "--pinentry-mode",
            "loopback",
        ])
    }

    pub(crate) fn fingerprint(&self) -> String {
        let listing = self.gpg(&["--with-colons", "--list-keys"]);
        let line = listing
            .lines()
            .find(|line| line.starts_with("fpr"))
            .unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub(crate) fn agent_runs(&self) -> bool {
        let agent = Program::new("gpg-connect-agent")
            .arg("--homedir")
            .arg(&self.0);
        let answer = agent
            .args(["--no-autostart", "GETINFO pid", "/bye"])
            .text()
            .unwrap();
        answer.starts_with("D ")
    }

    pub(crate) fn stop_agent(&self) {
        let gpgconf = Program::new("gpgconf").arg("--homedir").arg(&self.0);
        gpgconf.args(["--kill", "all"]).run().unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop_agent();
    }
}

/// Keeps what is said.
pub(crate) struct Notices(pub(crate) Arc<Mutex<Vec<String>>>);

impl imgforge::ui::Reporter for Notices {
    fn event(&self, event: &imgforge::ui::Event) {
        use imgforge::ui::Event::{Notice, Warning};
        if let Notice { text } | Warning { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

/// Tells a test that its temporary files are on a small disk of its own.
const SMALL: &str = "IMGFORGE_TEST_SMALL_DISK";

/// Runs a test of the tier `child` with its temporary files on a small disk of its own.
pub(crate) fn on_a_small_disk(test: &str) {
    let dir = TempDir::new().unwrap();
    let apart: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["--mount"],
        false => &["--user", "--map-root-user", "--mount"],
    };
    let script = r#"mount -t tmpfs -o size=32m none "$0" && TMPDIR=$0 exec "$@""#;
    let mut child = external("unshare");
    child.args(apart).args(["sh", "-c", script]).arg(dir.path());
    child.arg(std::env::current_exe().unwrap()).env(SMALL, "1");
    let said = child.args(["--ignored", "--exact", test]).said().ok();
    said.prints(&["1 passed"]);
}

/// Leaves no room on the small disk of [`on_a_small_disk`], until what is returned is dropped.
pub(crate) fn fill_up() -> tempfile::NamedTempFile {
    std::env::var_os(SMALL).expect("run by another test");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    file
}
