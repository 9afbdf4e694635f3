//! Targets, by `imgforge disk export` on made-up disks, judged by the tools of others.

#![allow(
    clippy::disallowed_methods,
    reason = "the program is started as users start it"
)]

mod bad;
mod clouds;
mod disks;
mod docker;
mod files;
mod glance;
mod incus;
mod openstack;
mod ramdisk;
mod stream;
mod vagrant;
mod whole;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::phony::Phony;

/// Modules of a kernel that runs everywhere.
const GENERIC: &[&str] = &[
    "mptspi",
    "vmw_pvscsi",
    "ahci",
    "e1000",
    "vmxnet3",
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "virtio_scsi",
    "virtio_net",
];

/// A Debian of a few files with a kernel that has these modules.
fn debian(modules: &[&str]) -> Phony {
    let phony = Phony::debian();
    let lines = modules
        .iter()
        .map(|name| format!("kernel/x/{name}.ko.xz:\n"));
    phony.file(
        "usr/lib/modules/6.12/modules.dep",
        lines.collect::<String>(),
    );
    phony
}

/// A directory for a disk and what is made of it.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        World {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, before: &[&str], disk: &Path, args: &[&str]) -> Command {
        let program = crate::slots::imgforge();
        let mut words = before.iter().copied().chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(["--progress", "plain", "--accel", "tcg", "--state"])
            .arg(self.path("state"))
            .args(["disk", "export"])
            .arg(disk)
            .args(args)
            .arg("-o")
            .arg(self.path("out"))
            .stdin(Stdio::null());
        command
    }

    /// The exit code and both outputs.
    fn export(&self, disk: &Path, args: &[&str]) -> (i32, String) {
        told(&self.command(&[], disk, args).output().unwrap())
    }

    #[track_caller]
    fn ok(&self, disk: &Path, args: &[&str]) -> String {
        let (code, text) = self.export(disk, args);
        assert_eq!(code, 0, "{text}");
        text
    }

    /// The names of what was made.
    fn made(&self) -> Vec<String> {
        let Ok(list) = std::fs::read_dir(self.path("out")) else {
            return vec![];
        };
        let mut names: Vec<String> = list
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn told(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text.into_owned())
}

/// Runs a program of others; its output.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let (code, text) = told(&output);
    assert_eq!(code, 0, "{program} {args:?}: {text}");
    text
}

/// Runs commands of guestfish, kept as `file`.
#[track_caller]
fn guestfish(file: &Path, commands: &str) {
    std::fs::write(file, commands).unwrap();
    crate::slots::appliance("guestfish")
        .arg("-f")
        .arg(file)
        .run()
        .unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
