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

/// What the line means, if it is such an end.
pub(super) fn dead_end(line: &str) -> Option<&'static str> {
    let found = SAID.iter().find(|(said, _)| line.contains(said));
    found.map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
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
