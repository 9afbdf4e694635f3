//! An appliance of imgforge's own, for hosts without hardware acceleration.
//!
//! libguestfs' own unpacks its kernel, looks for volumes of every kind on every disk, and asks systemd
//! for temporary files. Interpreted, that takes longer than all that is then done with the disks. This
//! one is made by the same program, supermin, of the same parts, with another first process
//! (`init.sh`), and with the kernel unpacked once. It lies beside libguestfs' own, is made again when
//! packages of this host change, and is what `libguestfs-make-fixed-appliance` would make otherwise.

mod kernel;

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{Context as _, Error, Result};
use crate::host::durable;
use crate::host::exec::Program;
use crate::host::lock;
use crate::host::ours::{self, Fault, Owners, Seen};
use crate::ui::StageUi;

use super::raw::{Raw, Setting};

const INIT: &str = include_str!("init.sh");

/// What libguestfs takes for the sign of an appliance that is not to be made by supermin.
const FIXED: &str = "README.fixed";

/// Starts imgforge's own appliance in place of libguestfs', where it can be made.
///
/// # Errors
/// With libguestfs' own text, when its settings cannot be read or written.
pub(super) fn start_own(raw: &Raw, ui: Option<&StageUi>) -> Result<(), String> {
    let (path, cache) = (raw.path(), raw.cache_dir()?);
    let mut dirs = path.split(':').map(Path::new);
    let Some(libguestfs) = dirs.find(|dir| dir.join("supermin.d").is_dir()) else {
        return Ok(());
    };
    match made(libguestfs, cache.as_ref()) {
        Ok(dir) => raw.set(Setting::Appliance(&dir)),
        Err(error) => {
            let text = "libguestfs' own appliance is used, which is slower";
            if let Some(ui) = ui {
                let causes = [&[error.message().to_owned()], error.causes()].concat();
                ui.line(format!("{text}: {}", causes.join(": ")));
            }
            Ok(())
        }
    }
}

/// A directory with an appliance, of what `libguestfs` (a directory of its search path) has for
/// supermin. It is kept in `cache`.
///
/// # Errors
/// When there is nothing for supermin, supermin fails, or others may change what is kept.
fn made(libguestfs: &Path, cache: &Path) -> Result<PathBuf> {
    let dir = cache.join(format!(".imgforge-{}", ours::me()));
    let doing = || format!("making an appliance in {}", dir.display());
    // QEMU, which is nobody's, gets its files open; and nobody else can keep root waiting for the lock.
    durable::create_dir(&dir, 0o700).doing(doing)?;
    let dir = dir.canonicalize().doing(doing)?;
    let doing = || format!("making an appliance in {}", dir.display());
    let others = |fault: Fault| Err(Error::host(doing()).cause(fault.why));
    if let Some(fault) = Owners::me_and_root().fault_at_or_above(&dir) {
        return others(fault);
    }
    let lock = File::create(dir.join("lock")).doing(doing)?;
    lock::wait(&lock, FlockOperation::NonBlockingLockExclusive, doing)?;

    let init = dir.join("init.tar.gz");
    let packed = init_archive().doing(doing)?;
    if std::fs::read(&init).ok().as_ref() != Some(&packed) {
        durable::write_atomic(&init, &packed)?;
    }
    let appliance = dir.join("appliance.d");
    // Whoever could write here before may have left something.
    if let Ok(seen) = Seen::at(&appliance)
        && let Some(fault) = Owners::me_and_root().fault(&appliance, &seen, false)
    {
        return others(fault);
    }
    // What was made is left where nothing has changed.
    Program::new("supermin")
        .args(["--build", "--if-newer", "--copy-kernel", "-f", "ext2"])
        .args(["--host-cpu", std::env::consts::ARCH, "-o"])
        .arg(&appliance)
        .args(parts(libguestfs).doing(doing)?)
        .arg(&init)
        .run()
        .and_then(|()| remove_leavings(&dir).doing(doing))?;
    let fixed = appliance.join(FIXED);
    if !fixed.exists() {
        let kernel = appliance.join("kernel");
        if let Some(unpacked) = kernel::unpacked(&std::fs::read(&kernel).doing(doing)?) {
            durable::write_atomic(&kernel, &unpacked)?;
            let readable = Permissions::from_mode(0o644);
            std::fs::set_permissions(&kernel, readable).doing(doing)?;
        }
        durable::write_atomic(&fixed, b"Made by imgforge with supermin.\n")?;
    }
    Ok(appliance)
}

/// Removes what a supermin has left that was killed, or that could not finish to remove what was there
/// before: it does that in the background, and ends with imgforge's group of processes.
fn remove_leavings(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(b"appliance.d.")
        {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// What supermin makes an appliance of, but the first process.
fn parts(libguestfs: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut parts = vec![];
    for entry in std::fs::read_dir(libguestfs.join("supermin.d"))? {
        let entry = entry?;
        if entry.file_name() != "init.tar.gz" {
            parts.push(entry.path());
        }
    }
    parts.sort();
    Ok(parts)
}

/// `init.sh` as a part for supermin.
fn init_archive() -> std::io::Result<Vec<u8>> {
    let gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    let mut archive = tar::Builder::new(gzip);
    let mut header = tar::Header::new_ustar();
    header.set_size(INIT.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, "init", INIT.as_bytes())?;
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests;
