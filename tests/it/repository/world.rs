//! Repositories for tests, and the programs that read them.

pub(crate) use std::fs::{File, Permissions};
pub(crate) use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::sync::{Arc, Mutex};

pub(crate) use imgforge::digest::file_sha512;
pub(crate) use imgforge::error::{Error, Kind, Result};
pub(crate) use imgforge::host::exec::Program;
pub(crate) use imgforge::pack::{Options, compress};
pub(crate) use imgforge::recipe::types::Profile;
pub(crate) use imgforge::repository::{
    GateProof, Publication, Published, Repository, Settings, Signer, Stamp, verify,
};
pub(crate) use imgforge::ui::Ui;
pub(crate) use imgforge::units::Size;
pub(crate) use serde_json::{Value, json};
pub(crate) use tempfile::TempDir;

/// A repository and what surrounds it.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) signer: Signer,
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

impl World {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let signer = Signer::own(&dir.path().join("state"), &Ui::silent()).unwrap();
        World { dir, signer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn settings(&self, path: &Path) -> Settings {
        Settings::new(path, self.signer.clone())
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(self.settings(&self.path("repo"))).unwrap()
    }

    /// A disk that begins with `text`.
    pub(crate) fn disk(&self, text: &str) -> Disk {
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
    pub(crate) fn virt_builder(&self, repository: &Repository, channel: &str) -> Program {
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

    pub(crate) fn client(&self, program: &str) -> Program {
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

pub(crate) fn proof(sealed: &str) -> GateProof {
    GateProof::of(sealed, true, json!({"boots": 2})).unwrap()
}

/// What the tests say about every image, changed by `change`.
pub(crate) fn publish_with(
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
        companions: vec![],
        keep: None,
        stamp: Stamp::now(),
    };
    change(&mut publication);
    repository.publish(&publication, &Ui::silent())
}

pub(crate) fn publish(repository: &Repository, disk: &Disk) -> Published {
    publish_with(repository, disk, |_| {}).unwrap()
}

/// A user's key directory.
pub(crate) struct Home(pub(crate) PathBuf);

impl Home {
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Home(path)
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
