//! The configure stage: boots the disk, and the runner in the guest executes the recipe's steps.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::host::accel::Accel;
use crate::recipe::types::Secret;
use crate::runner::drive::{Finished, Machine, drive};
use crate::runner::{Job, Limits, inject};
use crate::ui::StageUi;

/// Puts the runner into the qcow2 overlay `disk` of a machine.
///
/// # Errors
/// When the disk holds no operating system that the runner knows.
pub fn prepare(disk: &Path, accel: Accel, ui: &StageUi) -> Result<()> {
    ui.step("putting the runner into the disk");
    let drives = [Drive {
        path: disk,
        format: "qcow2",
        readonly: false,
    }];
    let guest = Guestfs::launch(&Launch {
        drives: &drives,
        accel,
        ui: Some(ui),
    })?;
    guest.mount_root()?;
    inject::inject(&guest)?;
    guest.close()
}

/// Runs `job` on `machine`, whose disk was prepared.
///
/// # Errors
/// When a step fails, or the guest ends in any way but after the runner's final report; with the
/// last lines, the log's path and the command that resumes.
pub fn run_job(
    machine: &Machine<'_>,
    job: &Job,
    secrets: &BTreeMap<String, Vec<u8>>,
    ui: &StageUi,
) -> Result<Finished> {
    ui.step("starting the guest");
    let finished = drive(machine, job, ui, "", secrets, Limits::usual(machine.accel))?;
    match finished.complaint(job) {
        Some(complaint) => Err(finished.error(complaint, ui.image())),
        None => Ok(finished),
    }
}

/// Reads the values of a recipe's secrets. A file's last line end is not part of the value.
///
/// # Errors
/// When a variable is not set or a file cannot be read.
pub fn secret_values(
    secrets: &BTreeMap<String, Secret>,
    root: &Path,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let value = |name: &str, secret: &Secret| match secret {
        Secret::Env(variable) => std::env::var_os(variable)
            .map(std::os::unix::ffi::OsStringExt::into_vec)
            .ok_or_else(|| {
                Error::usage(format!("the secret `{name}` is not there"))
                    .cause(format!("the environment variable {variable} is not set"))
            }),
        Secret::File(file) => {
            let path = root.join(file);
            let mut bytes =
                std::fs::read(&path).doing(|| format!("reading the secret `{name}`"))?;
            bytes.truncate(bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len));
            Ok(bytes)
        }
    };
    let named = secrets
        .iter()
        .map(|(name, secret)| Ok((name.clone(), value(name, secret)?)));
    named.collect()
}
