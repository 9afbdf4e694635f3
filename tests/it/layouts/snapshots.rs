//! Snapshots of a root, as openSUSE and others make them.

use super::{blank, open, sh};
use crate::phony::Phony;

#[test]
#[ignore = "vm: src/guest src/fstab"]
fn snapshots_of_the_root_are_no_systems_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let phony = Phony::debian();
    phony.file("etc/fstab", "LABEL=phony / btrfs defaults 0 0\n");
    let tree = phony.tar(dir.path(), "tree.tar");
    let disk = blank(dir.path(), "btrfs.raw", 256);
    let guest = open(&[&disk]);
    let make = |lines: &str| {
        guest.mkfs("btrfs", "/dev/sda", "phony", "").unwrap();
        guest.mount("/dev/sda", "/").unwrap();
        sh(&guest, &format!("cd /sysroot && {lines}"));
    };

    // As snapper: the root is a snapshot itself, and mounted where none is named.
    make(
        "btrfs -q subvolume create @ && mkdir -p @/.snapshots/1 && \
          btrfs -q subvolume create @/.snapshots/1/snapshot",
    );
    guest.tar_in(&tree, "/@/.snapshots/1/snapshot").unwrap();
    sh(
        &guest,
        "cd /sysroot/@/.snapshots && mkdir 2 && btrfs -q subvolume snapshot -r 1/snapshot 2/snapshot \
         && btrfs subvolume set-default 1/snapshot",
    );
    guest.umount_all().unwrap();
    let os = guest.mount_root().unwrap();
    assert_eq!(os.mountpoints.len(), 1, "{os:?}");
    let note = "snapshots of the root keep what they hold, and so do clones of the image: \
                @/.snapshots/2/snapshot";
    assert_eq!(os.notes, [note]);
    guest.write("/etc/only-in-the-root", "").unwrap();
    guest.umount_all().unwrap();

    // As Ubuntu with timeshift: the root is named, and the rest lies beside it.
    make("btrfs -q subvolume create @ && btrfs -q subvolume create @home && mkdir -p old");
    guest.tar_in(&tree, "/@").unwrap();
    let uuid = guest.vfs_uuid("/dev/sda").unwrap();
    let fstab = format!(
        "UUID={uuid} / btrfs defaults,subvol=@ 0 0\n/dev/disk/by-uuid/{uuid} /home btrfs subvol=/@home 0 0\n"
    );
    guest.write("/@/etc/fstab", fstab).unwrap();
    sh(&guest, "cd /sysroot && btrfs -q subvolume snapshot @ old/@");
    guest.umount_all().unwrap();
    let os = guest.mount_root().unwrap();
    assert!(
        os.root.ends_with("/@") && !os.root.ends_with("old/@"),
        "{os:?}"
    );
    let places: Vec<&str> = os.mountpoints.iter().map(|(at, _)| at.as_str()).collect();
    assert_eq!(places, ["/", "/home"]);
    assert!(os.notes[0].ends_with(": old/@"), "{os:?}");
    guest.close().unwrap();
}
