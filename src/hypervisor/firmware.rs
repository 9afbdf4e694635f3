//! OVMF: where distributions keep it.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};

/// Code and template of the variables, without secure boot: Debian and Ubuntu (new, old),
/// Fedora and RHEL, Arch, SUSE.
const PLACES: [(&str, &str); 6] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
    ),
    (
        "/usr/share/qemu/ovmf-x86_64-code.bin",
        "/usr/share/qemu/ovmf-x86_64-vars.bin",
    ),
];

/// OVMF's code and its template of variables, if installed.
pub fn find() -> Option<(&'static Path, &'static Path)> {
    PLACES
        .iter()
        .map(|(code, variables)| (Path::new(*code), Path::new(*variables)))
        .find(|(code, variables)| code.is_file() && variables.is_file())
}

/// Copies fresh variables to `to` and returns the code's path with it.
///
/// # Errors
/// When OVMF is not installed or `to` cannot be written.
pub(super) fn prepare(to: &Path) -> Result<(PathBuf, PathBuf)> {
    let (code, variables) = find().ok_or_else(|| {
        Error::host("UEFI firmware for guests is not installed")
            .hint("install it: apt install ovmf")
    })?;
    std::fs::copy(variables, to).doing(|| "copying the UEFI variables".into())?;
    Ok((code.to_owned(), to.to_owned()))
}
