//! Targets of a recipe: made, proven, published, and refused when they are not what was proven.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{run, text, told};

const RECIPE: &str = "\
name: web
install: {bootstrap: {suite: trixie}}
machine: {disk: 3GiB, memory: 1GiB}
targets:
  qcow2: {compression: zstd}
  docker: {reference: acme/web, env: {LANG: C.UTF-8}, rootfs: true}
  wsl: {}
";

pub(super) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new(recipe: &str) -> Self {
        let mut builder = tempfile::Builder::new();
        let dir = builder
            .prefix("imgforge-targets-")
            .tempdir_in("/var/tmp")
            .unwrap();
        std::fs::create_dir(dir.path().join("recipes")).unwrap();
        let repo = dir.path().join("repo");
        let config = format!(
            "state: state\nrepositories: {{main: {{path: repo, url: \"file://{}\"}}}}\n",
            text(&repo)
        );
        std::fs::write(dir.path().join("imgforge.yaml"), config).unwrap();
        std::fs::write(dir.path().join("recipes/web.yaml"), recipe).unwrap();
        World { dir }
    }

    pub(super) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn imgforge(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(crate::slots::imgforge());
        command
            .arg("-C")
            .arg(self.dir.path())
            .args(args)
            .args(["--progress", "plain"])
            .stdin(Stdio::null());
        told(&command.output().unwrap())
    }

    /// The one file below a directory whose name ends so.
    pub(super) fn file(&self, dir: &str, end: &str) -> PathBuf {
        let found = run(
            "find",
            &[
                text(&self.path(dir)),
                "-name",
                &format!("web-????????????{end}"),
            ],
        );
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 1, "{dir} {end}: {lines:?}");
        PathBuf::from(lines[0])
    }
}

#[test]
#[ignore = "clouds: src/targets src/stage/finish src/repository"]
fn e2e_targets_are_made_proven_and_published() {
    let world = World::new(RECIPE);
    let out = world.path("out");
    let args = ["build", "web", "--publish", "stable", "-o", text(&out)];
    let (code, said) = world.imgforge(&args);
    assert_eq!(code, 0, "{said}");
    for end in [".xz", ".qcow2", ".oci.tar", ".rootfs.tar.zst", ".wsl"] {
        let (mine, published) = (world.file("out", end), world.file("repo/images/web/1", end));
        run("cmp", &[text(&mine), text(&published)]);
    }
    let info = run("qemu-img", &["info", text(&world.file("out", ".qcow2"))]);
    assert!(info.contains("compression type: zstd"), "{info}");
    let archive = format!(
        "oci-archive:{}",
        text(&world.file("repo/images/web/1", ".oci.tar"))
    );
    let seen = run("skopeo", &["inspect", "--config", &archive]);
    assert!(seen.contains("LANG=C.UTF-8"), "{seen}");
    let root = world.path("root");
    std::fs::create_dir(&root).unwrap();
    run(
        "tar",
        &[
            "--zstd",
            "--xattrs",
            "--xattrs-include=*",
            "-C",
            text(&root),
            "-xf",
            text(&world.file("out", ".rootfs.tar.zst")),
        ],
    );
    let said = run(
        "chroot",
        &[
            text(&root),
            "dpkg-query",
            "-W",
            "-f",
            "${Version}\\n",
            "systemd",
        ],
    );
    assert!(said.starts_with("25"), "{said}");
    let (code, said) = world.imgforge(&["build", "web"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("started"), "{said}");
    for target in ["qcow2", "docker", "wsl"] {
        let stage = format!("finish-{target}");
        let mut lines = said.lines().filter(|line| line.contains(&stage));
        assert!(lines.any(|line| line.contains("cached")), "{said}");
    }
    // Bytes of which nothing was proven are not published.
    let stored = run(
        "find",
        &[text(&world.path("state/store")), "-name", "web-*.oci.tar"],
    );
    run(
        "sh",
        &[
            "-c",
            &format!("chmod u+w {0} && printf x >> {0}", stored.trim()),
        ],
    );
    let (code, said) = world.imgforge(&["publish", "web", "--to", "stable"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("has not passed its gate"), "{said}");
}
