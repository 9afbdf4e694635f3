//! How long a guest may take.

use std::time::Duration;

use crate::host::accel::Accel;
use crate::hypervisor::patience;

/// How long things may take. The values are effective: already multiplied without acceleration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the start to the runner's first word.
    pub boot: Duration,
    /// What the guest's systemd gives a device: one that it waited so long for does not come, nor does
    /// a timer's interrupt of which its kernel says so.
    pub device: Duration,
    /// Without any sign of life.
    pub stall: Duration,
    /// Added to each step's own limit: the guest's clock ends a step first.
    pub slack: Duration,
    /// From the last step to the end.
    pub finish: Duration,
}

impl Limits {
    /// The usual limits.
    pub fn usual(accel: Accel) -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60) * accel.time_factor();
        Limits {
            boot: minutes(5),
            device: patience::limit(accel),
            stall: minutes(3),
            slack: minutes(1),
            finish: minutes(15),
        }
    }
}
