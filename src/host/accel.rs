//! Hardware acceleration: measured, not assumed.

use serde::{Deserialize, Serialize};

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// QEMU's translator; every time limit is multiplied by 6.
    Tcg,
}

impl Accel {
    /// By how much limits written for hardware acceleration grow.
    pub fn time_factor(self) -> u32 {
        match self {
            Accel::Kvm => 1,
            Accel::Tcg => 6,
        }
    }
}
