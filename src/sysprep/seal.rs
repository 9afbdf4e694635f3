//! The seal stage's work on a mounted machine.

use super::ops::{fs_uuids, machine_id};
use super::selinux::{self, Labels};
use super::trim::{self, TrimMethod, TrimReport};
use super::{Declared, GuestRoot, ImageIdentity, Operation, Run, ca_store, os_release};
use crate::error::{Context as _, Result};
use crate::guest::{Guestfs, Key, Os};
use crate::host::interrupt;
use crate::ui::{StageUi, Unit};
use crate::units::Size;

/// What sealing does to a machine.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// The operations, as [`select`](super::select) chose them.
    pub operations: &'a [&'static Operation],
    /// What the image calls itself in os-release, if it gets a name.
    pub identity: Option<&'a ImageIdentity>,
    /// What no operation removes.
    pub declared: &'a Declared,
    /// Files to write last, such as the package sources of the finished image: path, content.
    pub files: &'a [(String, String)],
    /// Keys of encrypted volumes.
    pub luks_keys: &'a [Key],
    /// Whether an SELinux guest may label itself at its first boot, where it cannot be done now.
    pub relabel_at_boot: bool,
    /// Who hears what is being done.
    pub ui: Option<&'a StageUi>,
}

/// What sealing did; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealProgress {
    /// What the files used before, over all file systems.
    pub used_before: u64,
    /// What was given back.
    pub given: TrimReport,
    /// What became of SELinux' labels.
    pub labels: Labels,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
}

impl SealProgress {
    /// What the files use now.
    pub fn used(&self) -> u64 {
        self.given.filesystems.iter().map(|fs| fs.used).sum()
    }

    /// The size of all file systems.
    pub fn total(&self) -> u64 {
        self.given.filesystems.iter().map(|fs| fs.total).sum()
    }

    /// How much less the files use than before.
    pub fn freed(&self) -> u64 {
        self.used_before.saturating_sub(self.used())
    }

    /// A line for people; `given` is how many bytes fewer the disk allocates than before.
    pub fn note(&self, given: u64) -> String {
        let [used, total, given] =
            [self.used(), self.total(), given].map(|n| Size::bytes(n).human());
        format!("{used} used of {total}, {given} given back")
    }

    /// Everything that the user should know.
    pub fn warnings(&self) -> Vec<String> {
        let untouched = self
            .given
            .filesystems
            .iter()
            .filter(|fs| fs.how == TrimMethod::Untouched);
        let mut all: Vec<String> = untouched
            .map(|fs| format!("the free space of {} may hold what was removed", fs.at))
            .collect();
        let uncleared = self.given.uncleared.iter();
        all.extend(uncleared.map(|path| {
            format!("{path} keeps blocks that were reserved and never written: they may hold what was removed")
        }));
        all.extend(self.notes.iter().cloned());
        match self.labels {
            Labels::Unused | Labels::Renewed => {}
            Labels::AtFirstBoot => all.push(
                "SELinux' labels could not be renewed offline: the image labels itself at its first \
                 boot, and restarts"
                    .into(),
            ),
            Labels::Stale => all.push(
                "SELinux' labels could not be renewed offline, and an image whose root is in RAM \
                 must not do it at boot: files that sealing changed may have wrong ones"
                    .into(),
            ),
        }
        all
    }
}

/// Runs the operations, writes the image's identity, looks whether everything stayed done, trims.
/// The machine is mounted before and after; closing the session is the caller's.
///
/// # Errors
/// When an operation fails (its name is in the error), when the machine id has content in the
/// end, or when imgforge is interrupted.
pub fn seal(guest: &Guestfs, os: &Os, seal: &Seal<'_>) -> Result<SealProgress> {
    let mut used_before = 0;
    for (at, _) in trim::mounted(guest, os)? {
        let space = guest.statvfs(&at)?;
        used_before += space.total - space.free;
    }
    let mut root = GuestRoot::new(guest, os, seal.declared, seal.luks_keys)?;
    for (done, operation) in seal.operations.iter().enumerate() {
        if matches!(operation.run, Run::Devices(_)) || !operation.is_for(&os.package_format) {
            continue;
        }
        announce(seal, operation, done)?;
        let run = match operation.run {
            Run::Remove(patterns) => root.remove(patterns),
            Run::RemoveFiles(patterns) => root.remove_files(patterns),
            Run::Files(run) => run(&mut root),
            Run::Devices(_) => Ok(()),
        };
        run.doing(|| format!("the operation {}", operation.name))?;
    }
    ca_store::update(&mut root)?;
    for (path, content) in seal.files {
        root.install(path, content, 0o644)?;
    }
    if let Some(identity) = seal.identity {
        os_release::write(&root, identity)?;
    }
    if let Some(ui) = seal.ui {
        ui.step("looking at SELinux' labels");
    }
    let labels = selinux::relabel(&root, seal.relabel_at_boot)?;
    on_devices(seal, &mut root)?;
    if seal
        .operations
        .iter()
        .any(|operation| operation.name == machine_id::OPERATION.name)
    {
        machine_id::verify(&root)?;
    }
    if let Some(ui) = seal.ui {
        ui.step("Giving free space back");
    }
    Ok(SealProgress {
        used_before,
        given: trim::trim(guest, os)?,
        labels,
        notes: [root.notes, root.locked_notes.into_inner()].concat(),
    })
}

/// The operations on disks: nothing may be mounted meanwhile.
fn on_devices(seal: &Seal<'_>, root: &mut GuestRoot<'_>) -> Result<()> {
    let chosen = seal.operations.iter().enumerate();
    let devices: Vec<_> = chosen
        .filter(|(_, operation)| matches!(operation.run, Run::Devices(_)))
        .collect();
    // Unmounting and mounting again takes a while, so not for what has nothing to do.
    let only_lvm = devices.iter().all(|(_, o)| o.name == "lvm-uuids");
    if devices.is_empty() || (only_lvm && !has_lvm(root.guest)?) {
        return Ok(());
    }
    root.guest.sync()?;
    root.guest.umount_all()?;
    for (done, operation) in devices {
        if let Run::Devices(run) = operation.run {
            announce(seal, operation, done)?;
            run(root).doing(|| format!("the operation {}", operation.name))?;
        }
    }
    root.guest.mount_again(root.os)?;
    fs_uuids::follow(root)
}

fn has_lvm(guest: &Guestfs) -> Result<bool> {
    Ok(guest.feature_available(&["lvm2"])? && !guest.pvs()?.is_empty())
}

fn announce(seal: &Seal<'_>, operation: &Operation, done: usize) -> Result<()> {
    interrupt::check()?;
    if let Some(ui) = seal.ui {
        ui.step(operation.heading);
        ui.progress(done as u64, seal.operations.len() as u64, Unit::Steps);
    }
    Ok(())
}
