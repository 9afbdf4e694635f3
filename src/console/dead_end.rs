//! Ends of a boot that nobody comes back from, as a console shows them: a guest that waits there
//! for a person would be waited for until its time is over.

/// What programs of a boot say, and what it means.
const SAID: &[(&str, &str)] = &[
    (
        "You are in emergency mode",
        "systemd gave up and asks for a person (emergency mode)",
    ),
    (
        "You are in rescue mode",
        "systemd asks for a person (rescue mode)",
    ),
    (
        "Give root password for maintenance",
        "the system asks for root's password, for maintenance",
    ),
    (
        "Cannot open access to console, the root account is locked",
        "systemd gave up (emergency mode)",
    ),
    (
        "Entering emergency mode. Exit the shell to continue",
        "dracut gave up (emergency shell)",
    ),
    ("ALERT!  ", "the initrd did not find the root file system"),
    ("(initramfs)", "the initrd gave up and offers a shell"),
    ("grub rescue>", "GRUB did not find its files"),
    ("No bootable device", "the firmware found nothing to boot"),
    (
        "BdsDxe: No bootable option or device was found",
        "the firmware found nothing to boot",
    ),
    (
        "Attempted to kill init",
        "the first process of the system ended",
    ),
];

/// What a guest says whose host is too busy for it: the timer's interrupts come late for the kernel,
/// or devices for systemd.
const LATE: &[&str] = &[
    "IO-APIC + timer doesn't work",
    "Timed out waiting for device",
];

/// Whether the line comes from a host that is too busy, if the guest has no hardware acceleration.
pub(crate) fn is_late(line: &str) -> bool {
    LATE.iter().any(|said| line.contains(said))
}

/// Whether the line is a kernel's last one.
pub(crate) fn is_panic(line: &str) -> bool {
    line.contains("Kernel panic - not syncing")
}

/// What the line means, if it is such an end.
pub(crate) fn dead_end(line: &str) -> Option<&'static str> {
    let found = SAID.iter().find(|(said, _)| line.contains(said));
    found.map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_busy_host_is_recognized() {
        for line in [
            "[    0.02] Kernel panic - not syncing: IO-APIC + timer doesn't work!",
            "[[0;1;31m TIME [0m] Timed out waiting for device [0;1;39mdev-d…[0m10acd8.",
        ] {
            assert!(super::is_late(line), "{line}");
        }
        assert!(!super::is_late(
            "[ TIME ] Timed out waiting for a name server."
        ));
    }

    #[test]
    fn a_boot_that_waits_for_a_person_is_known() {
        for line in [
            "You are in emergency mode. After logging in, type \"journalctl -xb\"",
            "ALERT!  UUID=1-2 does not exist.  Dropping to a shell!",
            "(initramfs) ",
        ] {
            assert!(super::dead_end(line).is_some(), "{line}");
        }
        assert_eq!(super::dead_end("Reached target multi-user.target"), None);
    }
}
