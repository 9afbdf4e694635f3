//! A recipe repository with the smallest Debian, `mini`, and the looks into its images.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// The state of all worlds of this process: the smallest Debian is installed once.
fn state() -> &'static Path {
    static STATE: LazyLock<PathBuf> = LazyLock::new(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layers");
        drop(std::fs::remove_dir_all(&all));
        all.join("state")
    });
    &STATE
}

/// The directory with the keys of Puppet's agents, and the store.
pub(super) fn puppet_and_store() -> (PathBuf, PathBuf) {
    (state().join("puppet"), state().join("store"))
}

pub(super) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("imgforge-layers-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let world = World { dir };
        world.write("imgforge.yaml", &format!("state: {}\n", state().display()));
        world.image(
            "mini",
            "install: {bootstrap: {suite: trixie}}\nmachine: {disk: 3GiB, memory: 1GiB}\n",
        );
        world
    }

    /// Guests reach this port of the host's loopback.
    pub(super) fn opens(&self, port: u16) {
        let state = state();
        self.write(
            "imgforge.yaml",
            &format!("state: {}\nhost-ports: [{port}]\n", state.display()),
        );
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn image(&self, name: &str, body: &str) {
        self.write(
            &format!("recipes/{name}.yaml"),
            &format!("name: {name}\n{body}"),
        );
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    pub(super) fn build(&self, name: &str, until: &str) -> Output {
        Command::new(crate::slots::imgforge())
            .arg("-C")
            .arg(self.dir.path())
            .args(["build", name, "--until", until, "--progress", "plain", "-v"])
            .env("IMGFORGE_TEST_VAULT", "open sesame 1")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    pub(super) fn built(&self, name: &str) -> String {
        let output = self.build(name, "seal");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {}", tail(&stderr));
        stderr
    }

    /// The stages of a build until `seal`: image, stage, whether the store has it, and why not.
    #[track_caller]
    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    pub(super) fn plan(&self, name: &str) -> Vec<(String, String, bool, String)> {
        let output = Command::new(crate::slots::imgforge())
            .arg("-C")
            .arg(self.dir.path())
            .args(["plan", name, "--until", "seal", "--json"])
            .output()
            .unwrap();
        let plans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let stage = |stage: &serde_json::Value| {
            let why = stage["why"].as_array().unwrap().iter().map(text);
            let cached = stage["cached"].as_bool().unwrap();
            let why = why.collect::<Vec<_>>().join("; ");
            (text(&stage["image"]), text(&stage["label"]), cached, why)
        };
        let stages = plans[0]["stages"].as_array().unwrap();
        stages.iter().map(stage).collect()
    }

    /// A build that fails: its error says all of `wanted`, and the next attempt finds what is
    /// below in the store.
    #[track_caller]
    pub(super) fn fails(&self, name: &str, wanted: &[&str]) {
        let output = self.build(name, "configure");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{}", tail(&stderr));
        for wanted in wanted {
            assert!(stderr.contains(wanted), "{wanted}: {}", tail(&stderr));
        }
        let entries = std::fs::read_dir(state().join("store")).unwrap();
        let drafts = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".draft"));
        assert_eq!(drafts.count(), 0);
        for (image, stage, cached, why) in self.plan(name) {
            assert_eq!(cached, image != name, "{image} {stage}: {why}");
        }
    }

    /// The sealed disk of an image, the latest.
    pub(super) fn disk(&self, name: &str) -> PathBuf {
        let entries = std::fs::read_dir(state().join("store")).unwrap().flatten();
        let of = |dir: &Path| {
            let meta = std::fs::read(dir.join("meta.json")).ok()?;
            let meta: serde_json::Value = serde_json::from_slice(&meta).ok()?;
            let sealed = meta["image"] == name && meta["stage"] == "seal";
            sealed.then(|| (meta["created"].as_u64(), dir.join("disk.qcow2")))
        };
        let disks = entries.filter_map(|entry| of(&entry.path()));
        disks.max().unwrap().1
    }
}

pub(super) fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(80).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// What libguestfs' own programs see of an image.
#[track_caller]
pub(super) fn guest(program: &'static str, args: &[&str]) -> String {
    let program = crate::slots::appliance(program).args(args);
    program
        .text()
        .unwrap_or_else(|error| panic!("{}", error.render()))
}
