//! systemd's own time limits in a guest. It gives a device and a service 90 s, which is too little
//! where the host is slow and busy: in the guests of a build they grow as imgforge's own limits do.

use std::time::Duration;

use crate::host::accel::Accel;

/// What systemd gives devices, starts and stops that have no limit of their own.
const USUAL: Duration = Duration::from_secs(90);

/// The limit in a guest that this runs.
pub fn limit(accel: Accel) -> Duration {
    USUAL * accel.time_factor()
}

/// The text of a drop-in for `system.conf`; `None` where systemd's own limits do. Releases before
/// 254 have one limit for devices and starts, and only a warning for the word they do not know.
pub fn manager(accel: Accel) -> Option<String> {
    let seconds = (accel.time_factor() > 1).then(|| limit(accel).as_secs())?;
    Some(format!(
        "[Manager]\nDefaultTimeoutStartSec={seconds}\nDefaultTimeoutStopSec={seconds}\n\
         DefaultDeviceTimeoutSec={seconds}\n"
    ))
}

/// The same limits for a kernel's command line; empty where systemd's own do.
pub fn kernel_args(accel: Accel) -> Vec<String> {
    let seconds = limit(accel).as_secs();
    let limits = ["timeout_start", "device_timeout"];
    let args = limits.map(|name| format!("systemd.default_{name}_sec={seconds}"));
    args.into_iter()
        .filter(|_| accel.time_factor() > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_what_was_measured() {
        let text = manager(Accel::Tcg).unwrap();
        for name in ["TimeoutStart", "TimeoutStop", "DeviceTimeout"] {
            assert!(
                text.contains(&format!("\nDefault{name}Sec=540\n")),
                "{text}"
            );
        }
        assert_eq!(manager(Accel::Kvm), None);
        assert_eq!(
            kernel_args(Accel::Tcg),
            [
                "systemd.default_timeout_start_sec=540",
                "systemd.default_device_timeout_sec=540"
            ]
        );
        assert!(kernel_args(Accel::Kvm).is_empty());
    }
}
