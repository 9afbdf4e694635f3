//! The seal stage's work on a mounted machine.

use super::ops::machine_id;
use super::{ImageIdentity, Operation, Site, Trimmed, os_release, trim};
use crate::error::{Context as _, Result};
use crate::guest::{Guestfs, Os};
use crate::host::interrupt;
use crate::ui::{StageUi, Unit};

/// What sealing does to a machine.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// The operations, as [`select`](super::select) chose them.
    pub operations: &'a [&'static Operation],
    /// What the image calls itself in os-release.
    pub identity: &'a ImageIdentity,
    /// Absolute paths that no operation removes.
    pub keep: &'a [String],
    /// Files to write last, such as the package sources of the finished image: path, content.
    pub files: &'a [(String, String)],
    /// Who hears what is being done.
    pub ui: Option<&'a StageUi>,
}

/// What sealing did; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the files used before, over all file systems.
    pub used_before: u64,
    /// The file systems after trimming.
    pub filesystems: Vec<Trimmed>,
}

impl Report {
    /// What the files use now.
    pub fn used(&self) -> u64 {
        self.filesystems
            .iter()
            .map(|filesystem| filesystem.used)
            .sum()
    }

    /// How much less the files use than before.
    pub fn freed(&self) -> u64 {
        self.used_before.saturating_sub(self.used())
    }
}

/// Runs the operations, writes the image's identity, looks whether everything stayed done, trims.
/// The machine is mounted before and after; closing the session is the caller's.
///
/// # Errors
/// When an operation fails (its name is in the error), when the machine id has content in the
/// end, or when imgforge is interrupted.
pub fn seal(guest: &Guestfs, os: &Os, seal: &Seal<'_>) -> Result<Report> {
    let mut used_before = 0;
    for (at, _) in &os.mountpoints {
        let space = guest.statvfs(at)?;
        used_before += space.total - space.free;
    }
    let mut site = Site::new(guest, os, seal.keep);
    for (done, operation) in seal.operations.iter().enumerate() {
        interrupt::check()?;
        if let Some(ui) = seal.ui {
            ui.step(operation.heading);
            ui.progress(done as u64, seal.operations.len() as u64, Unit::Steps);
        }
        (operation.run)(&mut site).doing(|| format!("the operation {}", operation.name))?;
    }
    for (path, content) in seal.files {
        site.install(path, content, 0o644)?;
    }
    os_release::write(&site, seal.identity)?;
    if seal
        .operations
        .iter()
        .any(|operation| operation.name == machine_id::OPERATION.name)
    {
        machine_id::verify(&site)?;
    }
    if let Some(ui) = seal.ui {
        ui.step("Giving free space back");
    }
    let filesystems = trim::trim(guest, os)?;
    Ok(Report {
        used_before,
        filesystems,
    })
}
