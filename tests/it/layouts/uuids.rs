//! UUIDs of file systems, swap space and LVM, before and after.

use std::collections::BTreeSet;

use imgforge::guest::Guestfs;

use super::{seal_with, sh};

/// What was noted, without the file systems that no line of fstab names.
fn own(notes: &[String]) -> Vec<&str> {
    let notes = notes.iter().map(String::as_str);
    notes
        .filter(|note| !note.starts_with("no line of fstab names"))
        .collect()
}

/// File systems and swap space get new UUIDs, and what names them follows.
pub(super) fn new_uuids(guest: &Guestfs) {
    let parts = ["/dev/sda2", "/dev/sda3"];
    let uuids = || parts.map(|part| guest.vfs_uuid(part).unwrap());
    let before = uuids();
    let os = guest.mount_os("/dev/vg/root").unwrap();
    let report = seal_with(guest, &os, &["fs-uuids"]);
    let fat = own(&report.notes);
    assert!(
        fat.len() == 1 && fat[0].contains("(vfat) keeps its UUID"),
        "{report:?}"
    );
    let fstab = guest.read_file("/etc/fstab").unwrap();
    let fstab = String::from_utf8(fstab).unwrap();
    for (old, new) in before.iter().zip(uuids()) {
        assert!(*old != new && fstab.contains(&new), "{new}: {fstab}");
        assert!(!fstab.contains(old), "{old}: {fstab}");
    }
    guest.umount_all().unwrap();
}

/// The UUIDs of the physical volumes and of the groups.
pub(super) fn lvm_uuids(guest: &Guestfs) -> BTreeSet<String> {
    let listed = sh(
        guest,
        "pvs --noheadings -o pv_uuid; vgs --noheadings -o vg_uuid",
    );
    listed.split_whitespace().map(String::from).collect()
}

/// With GRUB's files on a logical volume only the physical volume gets a new UUID.
pub(super) fn grub_keeps_its_group(guest: &Guestfs) {
    guest.mount("/dev/vg/root", "/").unwrap();
    guest.mkdir_p("/boot/grub").unwrap();
    guest
        .write("/etc/fstab", "/dev/vg/root / ext4 defaults 0 1\n")
        .unwrap();
    guest.umount_all().unwrap();
    guest.inspect_os().unwrap();
    let os = guest.mount_os("/dev/vg/root").unwrap();
    let before = lvm_uuids(guest);
    let report = seal_with(guest, &os, &["lvm-uuids"]);
    assert_eq!(
        own(&report.notes),
        ["the volume group vg keeps its UUID, as GRUB is started from it"]
    );
    guest.umount_all().unwrap();
    let after = lvm_uuids(guest);
    assert_eq!(
        before.intersection(&after).count(),
        1,
        "{before:?} {after:?}"
    );
}
