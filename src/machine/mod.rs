//! The virtual machine that an image is made for: architecture, firmware, sizes.

mod arch;
mod firmware;
mod network;
mod stuck;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Size;

pub use arch::{Arch, KERNEL_HEAD, canonical, debian_name, is_default, misspelled};
pub use firmware::{Firmware, Uefi, find as find_uefi};
pub use network::Network;
pub(crate) use stuck::Stuck;

/// The virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Machine {
    /// CPU architecture; a list makes an image for each, published together under one name.
    pub arch: Arch,
    /// Virtual size of the disk; a root on its last partition grows with it above another image.
    pub disk: Size,
    /// Whether the root takes the whole of a larger disk at each boot of a machine: its partition, if
    /// that is the last one, or its logical volume, and its file system.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub grow: bool,
    /// Memory.
    pub memory: Size,
    /// Number of CPUs.
    pub cpus: u32,
    /// Firmware that the image boots with; `bios` where the architecture has one, else `uefi`.
    pub firmware: Option<Firmware>,
    /// `user`, the name of a libvirt network, or `bridge:NAME`.
    pub network: Network,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            arch: Arch::default(),
            disk: Size::gib(10),
            grow: false,
            memory: Size::gib(2),
            cpus: 2,
            firmware: None,
            network: Network::User,
        }
    }
}

impl Machine {
    /// The firmware that the recipe names, or the architecture's usual one; of both, what there is.
    pub fn firmware(&self) -> Firmware {
        match (self.firmware, self.arch.has_bios()) {
            (None, true) => Firmware::Bios,
            (None | Some(Firmware::Both), false) => Firmware::Uefi,
            (Some(named), _) => named,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Firmware::{Bios, Both, Uefi};
    use super::*;

    #[test]
    fn the_firmware_is_one_that_the_architecture_has() {
        let firmware = |arch, firmware| {
            let machine = Machine {
                arch,
                firmware,
                ..Machine::default()
            };
            machine.firmware()
        };
        for (named, x86, arm) in [
            (None, Bios, Uefi),
            (Some(Both), Both, Uefi),
            (Some(Uefi), Uefi, Uefi),
            // Which a check of the recipe refuses.
            (Some(Bios), Bios, Bios),
        ] {
            assert_eq!(firmware(Arch::X86_64, named), x86);
            assert_eq!(firmware(Arch::Aarch64, named), arm);
        }
    }
}
