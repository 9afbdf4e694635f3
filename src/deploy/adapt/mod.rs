//! What a root gets on its disk: all of the room, and what is this machine's own.
//!
//! The programs of e2fsprogs do that inside the disk, at the place of the partition. Nothing is mounted: they
//! work on a file as on a disk, need no partition that the kernel knows, and follow no link out of the image.

mod fetched;
mod files;
mod moved;
mod network;
mod own;

use crate::blockdev::{Device as _, Disk};
use crate::error::{Context as _, Error, Result};
use crate::ext4::Fs;
use crate::gpt::{Partition, SECTOR};
use crate::host::exec::{self, Program};
use crate::host::tools;
use crate::ui::StageUi;

use super::view::View;
pub use fetched::MachineUrl;
use files::Put;
pub use own::{Own, schema};

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

/// The files that the root gets, all of which the image has room and names for.
///
/// # Errors
/// When the image lacks what they need.
pub(super) fn puts(image: &View<'_>, part: &Partition, own: &Own) -> Result<Vec<Put>> {
    if own.is_empty() {
        return Ok(vec![]);
    }
    let open = || {
        image
            .files(part)
            .doing(|| "reading the root of the image".into())
    };
    let puts = own.puts(&open()?)?;
    files::check(&open()?, &puts)?;
    Ok(puts)
}

/// The root on its disk.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) disk: &'a Disk,
    pub(super) part: &'a Partition,
}

impl Root<'_> {
    /// How programs of e2fsprogs address a file system inside a disk.
    fn address(&self) -> String {
        format!(
            "{}?offset={}",
            self.disk.path().display(),
            self.part.start()
        )
    }

    fn files(&self) -> Result<Fs<'_>> {
        let (start, size) = (self.part.start(), self.part.size());
        let opened = Fs::open_within(self.disk, start, size, size);
        opened.doing(|| "reading the root".into())
    }

    /// Lets it have all of its partition, and gives it the files.
    pub(super) fn adapt(&self, puts: &[Put], ui: &StageUi) -> Result<()> {
        self.disk.flush()?;
        ui.step("growing the root");
        let device = self.address();
        // 1 says that something was put right. resize2fs wants a file system that was checked.
        let check = Program::new("e2fsck").args(["-f", "-p"]).arg(&device);
        let hint = "where the image was made by a newer mke2fs than this host has, use a newer rescue system";
        check.done_with(1).hint(hint).run()?;
        let sectors = format!("{}s", self.part.size() / SECTOR);
        Program::new("resize2fs").arg(&device).arg(sectors).run()?;
        ui.step("writing what is this machine's own");
        files::write(self, puts)?;
        let proof = Program::new("e2fsck").args(["-f", "-n"]).arg(&device);
        proof.run().map_err(|error| {
            error.within("the root was damaged while it was adapted, and the disk does not boot")
        })
    }
}
