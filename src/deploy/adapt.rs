//! What a root gets on its disk: all of the room, and what is this machine's own.
//!
//! The programs of e2fsprogs do that inside the disk, at the place of the partition: nothing is mounted, so that
//! they work on a file as on a disk, need no partition that the kernel knows, and follow no link out of the image.

use std::path::Path;

use crate::blockdev::{Device as _, Disk};
use crate::error::{Error, Result};
use crate::gpt::Partition;
use crate::host::exec::{self, Program};
use crate::host::tools;
use crate::ui::StageUi;

/// What is called, of the package e2fsprogs.
const PROGRAMS: [&str; 3] = ["e2fsck", "resize2fs", "debugfs"];

/// Asks for the programs before anything is written.
pub(super) fn check_tools() -> Result<()> {
    match PROGRAMS
        .iter()
        .find(|program| exec::find(program).is_none())
    {
        None => Ok(()),
        Some(missing) => Err(Error::host(format!(
            "`{missing}` is needed to grow a file system, and is not installed"
        ))
        .hint(format!(
            "install it: {}",
            tools::install_line(&["e2fsprogs"])
        ))),
    }
}

/// Lets the root have all of its partition.
pub(super) fn run(disk: &Disk, root: &Partition, ui: &StageUi) -> Result<()> {
    let device = address(disk.path(), root);
    disk.flush()?;
    ui.step("growing the root");
    check(&device)?;
    let sectors = format!("{}s", root.size() / crate::gpt::SECTOR);
    let grow = Program::new("resize2fs").arg(&device).arg(sectors);
    grow.run()?;
    let proof = Program::new("e2fsck").args(["-f", "-n"]).arg(&device);
    proof.run().map_err(|error| {
        error.within("the file system that was grown is damaged, and the disk does not boot")
    })
}

/// How programs of e2fsprogs address a file system inside a disk.
fn address(disk: &Path, root: &Partition) -> String {
    format!("{}?offset={}", disk.display(), root.start())
}

/// resize2fs wants a file system that was checked. 1 says that something was put right.
fn check(device: &str) -> Result<()> {
    let check = Program::new("e2fsck").args(["-f", "-p"]).arg(device);
    let hint =
        "an image may be made by a newer mke2fs than this host has: use a newer rescue system";
    check.done_with(1).hint(hint).run()
}
