//! What starts a machine before its operating system, and where this host keeps it.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Arch;

/// Firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// The image boots with either; the gate tries both.
    Both,
}

impl Firmware {
    /// Whether a machine is started with UEFI; one that boots with either is started with the BIOS.
    pub fn is_uefi(self) -> bool {
        self == Firmware::Uefi
    }

    /// What a machine is started with: `bios` or `uefi`.
    pub fn as_str(self) -> &'static str {
        match self.is_uefi() {
            true => "uefi",
            false => "bios",
        }
    }

    /// What two machines of an image are started with, so that all that it boots with is tried.
    pub fn of_two(self) -> [Firmware; 2] {
        match self {
            Firmware::Both => [Firmware::Bios, Firmware::Uefi],
            only => [only, only],
        }
    }
}

/// UEFI's code and the template of its variables for an architecture, if installed.
pub fn find(arch: Arch) -> Option<(&'static Path, &'static Path)> {
    arch.uefi_files()
        .iter()
        .map(|(code, variables)| (Path::new(*code), Path::new(*variables)))
        .find(|(code, variables)| code.is_file() && variables.is_file())
}
