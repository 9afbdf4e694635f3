//! What starts a machine before its operating system, and where this host keeps it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Arch;

/// Firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// SeaBIOS; of 64-bit x86 only.
    Bios,
    /// OVMF, on 64-bit x86; AAVMF on 64-bit ARM.
    Uefi,
    /// The image boots with either; the gate tries both. UEFI alone where machines have no BIOS.
    Both,
}

impl Firmware {
    /// Whether a machine is started with UEFI; one that boots with either is started with the BIOS.
    pub fn is_uefi(self) -> bool {
        self == Firmware::Uefi
    }

    /// What a machine is started with: `bios` or `uefi`.
    pub fn as_str(self) -> &'static str {
        if self.is_uefi() { "uefi" } else { "bios" }
    }

    /// What two machines of an image are started with, so that all that it boots with is tried.
    pub fn of_two(self) -> [Firmware; 2] {
        match self {
            Firmware::Both => [Firmware::Bios, Firmware::Uefi],
            only => [only, only],
        }
    }
}

/// What a guest with UEFI starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uefi {
    /// The firmware's code.
    pub code: PathBuf,
    /// Its variables; U-Boot keeps none, and is started as a kernel is.
    pub variables: Option<PathBuf>,
}

/// UEFI's code and the template of its variables for an architecture, if installed.
pub fn find(arch: Arch) -> Option<Uefi> {
    let mut all = arch.uefi.iter();
    let found = all.find(|(code, variables)| {
        let files = [code, variables].map(Path::new);
        files.iter().all(|file| file.is_file())
    });
    let found = found.map(|(code, variables)| (*code, Some(variables.into())));
    let u_boot = || arch.u_boot.filter(|code| Path::new(code).is_file());
    let (code, variables) = found.or_else(|| Some((u_boot()?, None)))?;
    Some(Uefi {
        code: code.into(),
        variables,
    })
}
