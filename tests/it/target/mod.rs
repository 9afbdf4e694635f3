//! Targets, by `imgforge disk export` on made-up disks, judged by the tools of others.

mod bad;
mod clouds;
pub(crate) mod diskless;
mod disks;
mod docker;
mod files;
mod foreign;
mod glance;
mod incus;
mod kubevirt;
mod openstack;
mod ramdisk;
mod stream;
mod vagrant;
mod whole;

use std::path::Path;
use std::process::Command;

use crate::phony::Phony;
use crate::support::{Run as _, Said, World, external, imgforge_with_guests, names, under};

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

impl World {
    /// `disk export` in this world, run by `before`.
    fn exporting(&self, before: &[&str], disk: &Path, args: &[&str]) -> Command {
        let mut command = imgforge_with_guests();
        command
            .args(["--progress", "plain", "--accel", "tcg", "--state"])
            .arg(self.path("state"))
            .args(["disk", "export"])
            .arg(disk)
            .args(args)
            .arg("-o")
            .arg(self.path("out"));
        match before {
            [] => command,
            before => under(before, &command),
        }
    }

    fn export(&self, disk: &Path, args: &[&str]) -> Said {
        self.exporting(&[], disk, args).said()
    }

    #[track_caller]
    fn exports(&self, disk: &Path, args: &[&str]) -> String {
        self.export(disk, args).ok().all()
    }

    /// The names of what was made.
    fn made(&self) -> Vec<String> {
        names(&self.path("out"))
    }
}

/// Runs a program of others; both its outputs.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    external(program).args(args).said().ok().all()
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
