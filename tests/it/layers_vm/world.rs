//! A recipe repository with the smallest Debian, `mini`, and the looks into its images.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::support::names;
pub(super) use crate::support::{Said, World};

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

/// A recipe repository with `mini`.
pub(super) fn world() -> World {
    let world = World::with_guests("layers").with_env("IMGFORGE_TEST_VAULT", "open sesame 1");
    world.write("imgforge.yaml", format!("state: {}\n", state().display()));
    let mini = "install: {bootstrap: {suite: trixie}}\nmachine: {disk: 3GiB, memory: 1GiB}\n";
    world.image("mini", mini);
    world
}

impl World {
    /// Guests reach this port of the host's loopback.
    pub(super) fn opens(&self, port: u16) {
        let state = state().display();
        let text = format!("state: {state}\nhost-ports: [{port}]\n");
        self.write("imgforge.yaml", text);
    }

    #[track_caller]
    pub(super) fn build(&self, name: &str, until: &str) -> Said {
        self.run(&["-v", "build", name, "--until", until])
    }

    #[track_caller]
    pub(super) fn built(&self, name: &str) -> String {
        self.build(name, "seal").ok().err
    }

    /// The stages of a build until `seal`: image, stage, whether the store has it, and why not.
    #[track_caller]
    pub(super) fn stages(&self, name: &str) -> Vec<(String, String, bool, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let stage = |stage: &serde_json::Value| {
            let why = stage["why"].as_array().unwrap().iter().map(text);
            let cached = stage["cached"].as_bool().unwrap();
            let why = why.collect::<Vec<_>>().join("; ");
            (text(&stage["image"]), text(&stage["label"]), cached, why)
        };
        let stages = self.planned(&[name, "--until", "seal"]);
        stages.iter().map(stage).collect()
    }

    /// A build that fails: its error says all of `wanted`, and the next attempt finds what is
    /// below in the store.
    #[track_caller]
    pub(super) fn fails_to_configure(&self, name: &str, wanted: &[&str]) {
        self.build(name, "configure").exits(1).says(wanted);
        let names = names(&state().join("store"));
        assert!(!names.iter().any(|name| name.starts_with(".draft")));
        for (image, stage, cached, why) in self.stages(name) {
            assert_eq!(cached, image != name, "{image} {stage}: {why}");
        }
    }

    /// The sealed disk of an image, the latest.
    pub(super) fn sealed_disk(&self, name: &str) -> PathBuf {
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
