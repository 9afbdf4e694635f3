//! Seals a disk in any file. The file is replaced by one rename when everything is done: until
//! then, and after any failure, it is as it was.

use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::{Declared, OVERLAY_CLUSTER, Operation, Seal, SealProgress, empty_journals, seal};
use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Key, Launch};
use crate::host::accel::Accel;
use crate::host::diskfile::DiskFile;
use crate::host::exec::Program;
use crate::host::outlet::{Outlet, Overwrite};
use crate::host::qemu_img::{self, DiskFormat, allocated};
use crate::store::ledger::Ledger;
use crate::ui::StageUi;

/// What is sealed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub(crate) disk: &'a DiskFile,
    /// Where the result goes; `None` means the disk's own place.
    pub output: Option<&'a Path>,
    /// What is done.
    pub operations: &'a [&'static Operation],
    /// What stays.
    pub declared: &'a Declared,
    /// Keys of encrypted volumes.
    pub luks_keys: &'a [Key],
    /// What runs the appliance.
    pub accel: Accel,
    /// Where scratch files are written down.
    pub ledger: &'a Ledger,
    /// Where progress goes.
    pub ui: &'a StageUi,
}

/// A sealed disk.
#[derive(Debug)]
pub struct SealedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What was done, a line for people.
    pub note: String,
    /// What was done.
    pub report: SealProgress,
}

/// Seals a copy or a copy-on-write view of the disk beside its place, or where nobody else can touch
/// it, then moves the result there. The result has the disk's format and needs no backing file, as that would hold what was
/// removed.
///
/// # Errors
/// When the disk has internal snapshots and would be replaced, when the output exists, or when
/// sealing or writing fails.
pub fn seal_file(job: &Job<'_>) -> Result<SealedFile> {
    let (target, outlet) = target(job)?;
    let scratch = job.ledger.scratch(&outlet.real())?;
    let (made, report, note) = in_scratch(job, scratch.path())?;
    outlet.take(&made, Some(job.disk.taken.data()))?;
    Ok(SealedFile {
        path: target,
        note,
        report,
    })
}

fn target(job: &Job<'_>) -> Result<(PathBuf, Outlet)> {
    let disk = job.disk;
    let Some(output) = job.output else {
        if disk.snapshots > 0 {
            return Err(Error::usage(format!(
                "{} has internal snapshots, which hold what sealing removes",
                disk.path.display()
            ))
            .hint(
                "`-o FILE` writes the sealed disk without them; `qemu-img snapshot -d` deletes one",
            ));
        }
        return Ok((disk.path.clone(), disk.outlet()?));
    };
    let output = std::path::absolute(output).doing(|| format!("finding {}", output.display()))?;
    match output.symlink_metadata() {
        Ok(_) => Err(Error::usage(format!("{} exists already", output.display()))
            .hint("remove it, or leave out -o to replace the disk itself")),
        Err(_) => {
            let outlet = Outlet::over(&output, Overwrite::Nothing)?;
            Ok((output, outlet))
        }
    }
}

/// The sealed disk, what was done, and a line for people.
fn in_scratch(job: &Job<'_>, scratch: &Path) -> Result<(PathBuf, SealProgress, String)> {
    let disk = job.disk;
    let format = disk.format.as_str();
    let made = scratch.join("sealed");
    let report = match disk.format == DiskFormat::Raw && takes_holes(scratch)? {
        true => on_copy(job, &made)?,
        false => on_overlay(job, scratch, &made)?,
    };
    for warning in report.warnings() {
        job.ui.ui().warning(warning);
    }
    let before = allocated(disk.taken.path(), format)?;
    let after = allocated(&made, format)?;
    let note = report.note(before.saturating_sub(after));
    Ok((made, report, note))
}

/// Whether the file system there gives any block of a file back that a guest discards.
fn takes_holes(scratch: &Path) -> Result<bool> {
    let block = OVERLAY_CLUSTER as usize;
    let path = scratch.join("holes");
    let doing = || format!("writing {}", path.display());
    std::fs::write(&path, vec![1; 2 * block]).doing(doing)?;
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .doing(doing)?;
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let punched = fallocate(&file, how, OVERLAY_CLUSTER, OVERLAY_CLUSTER);
    let bytes = std::fs::read(&path).doing(doing)?;
    std::fs::remove_file(&path).doing(doing)?;
    Ok(punched.is_ok() && bytes[block..].iter().all(|byte| *byte == 0))
}

/// Seals a copy of a raw disk, which its file system gives the discarded blocks of at once. It
/// takes what the data takes, however large the disk is.
fn on_copy(job: &Job<'_>, made: &Path) -> Result<SealProgress> {
    job.ui.step("copying the disk");
    Program::new("cp")
        .args(["--sparse=always", "--reflink=auto", "--"])
        .args([job.disk.taken.path(), made])
        .leaving_room(made.parent().unwrap_or(made))
        .run()?;
    in_session(job, made, "raw")
}

/// Seals an overlay, and writes what it shows as a disk of its own.
fn on_overlay(job: &Job<'_>, scratch: &Path, made: &Path) -> Result<SealProgress> {
    let disk = job.disk;
    let format = disk.format.as_str();
    let overlay = scratch.join("overlay.qcow2");
    let below = disk.taken.path();
    qemu_img::create(&overlay, Some((below, format)), Some(OVERLAY_CLUSTER), None)?;
    let report = in_session(job, &overlay, "qcow2")?;
    job.ui.step("writing the sealed disk");
    qemu_img::convert((&overlay, "qcow2"), (made, format), &[])?.run()?;
    Ok(report)
}

fn in_session(job: &Job<'_>, path: &Path, format: &str) -> Result<SealProgress> {
    job.ui.step("opening the disk");
    let launch = Launch {
        drives: &[Drive::writable(path, format)],
        accel: job.accel,
        ui: Some(job.ui),
    };
    let guest = Guestfs::launch_unlocked(&launch, job.luks_keys)?;
    let os = guest.mount_root()?;
    let report = seal(
        &guest,
        &os,
        &Seal {
            operations: job.operations,
            identity: None,
            declared: job.declared,
            files: &[],
            luks_keys: job.luks_keys,
            relabel_at_boot: true,
            ui: Some(job.ui),
        },
    )?;
    empty_journals(&guest, &os)?;
    guest.close()?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Ui;

    /// Somebody makes it while the disk is sealed, which takes minutes.
    #[test]
    fn what_has_the_name_of_the_result_by_then_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("disk"), vec![7; 1 << 20]).unwrap();
        std::fs::write(at("made"), "sealed").unwrap();
        let disk = DiskFile::open(&at("disk"), Some(DiskFormat::Raw), &[]).unwrap();
        let job = Job {
            disk: &disk,
            output: Some(&at("out")),
            operations: &[],
            declared: &Declared::default(),
            luks_keys: &[],
            accel: Accel::Tcg,
            ledger: &Ledger::open(&at("state")).unwrap(),
            ui: &Ui::silent().stage("disk", "seal"),
        };
        let (_, outlet) = target(&job).unwrap();
        std::fs::write(at("out"), "theirs").unwrap();
        let error = outlet.take(&at("made"), None).unwrap_err();
        assert!(error.message().contains("by somebody else"), "{error}");
        assert_eq!(std::fs::read(at("out")).unwrap(), b"theirs");
        assert!(target(&job).is_err(), "nor is it begun");
    }
}
