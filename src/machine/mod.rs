//! The virtual machine that an image is made for: architecture, firmware, sizes.

mod arch;
mod firmware;
mod network;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Size;

pub use arch::{Arch, canonical, debian_name, is_default, misspelled};
pub use firmware::{Firmware, find as find_ovmf};
pub use network::Network;

/// The virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Machine {
    /// CPU architecture.
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
    /// Firmware that the image boots with.
    pub firmware: Firmware,
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
            firmware: Firmware::Bios,
            network: Network::User,
        }
    }
}
