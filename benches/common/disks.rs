//! Two disks of a real Debian server: one, and the same after an update.

use std::path::{Path, PathBuf};

use imgforge::store::Store;

use crate::common::{imgforge, run, shell};

/// A Debian server with about 0.7 GiB used, booted once.
const BASE: &str = r#"
name: base
summary: A Debian server
install:
  bootstrap:
    suite: trixie
    kernel: linux-image-amd64
    packages: [openssh-server, libpam-systemd, python3, perl, git, vim, curl, locales, man-db, rsync, sudo, bash-completion]
machine: {disk: 10GiB, memory: 1GiB}
configure:
  - packages: [less]
seal: {operations: [default, apt-lists]}
"#;

const CHANGED: &str = r#"
name: changed
summary: The same with two packages more
from: base
configure:
  - packages: [nginx-light, tmux]
seal: {operations: [default, apt-lists]}
"#;

/// The base and the changed disk as raw files: built here, unless they are there from before.
pub(crate) fn disks(dir: &Path) -> [PathBuf; 2] {
    let state = dir.join("state");
    std::fs::create_dir_all(dir.join("recipes")).unwrap();
    std::fs::write(dir.join("imgforge.yaml"), "state: state\n").unwrap();
    [("base", BASE), ("changed", CHANGED)].map(|(name, recipe)| {
        let raw = dir.join(format!("{name}.raw"));
        if !raw.exists() {
            std::fs::write(dir.join(format!("recipes/{name}.yaml")), recipe).unwrap();
            run(imgforge()
                .arg("-C")
                .arg(dir)
                .args(["build", name, "--until", "seal"]));
            let entries = Store::new(&state).all();
            let sealed = entries
                .iter()
                .find(|entry| entry.meta().image == name && entry.meta().stage == "seal")
                .unwrap();
            let disk = sealed.disk();
            run(&mut shell(&format!(
                "qemu-img convert -f qcow2 -O raw -S 4k {} {}.new && mv {1}.new {1}",
                disk.display(),
                raw.display()
            )));
        }
        raw
    })
}
