//! Partitions beside the root, by every name that fstab may have for them.

use crate::phony::{HOME, Phony, with_home};
use crate::scan::found_in;

/// The types of a GPT's partitions for Linux' data and, by the Discoverable Partitions
/// Specification, for homes.
const TYPES: [&str; 2] = [
    "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
];

#[test]
#[ignore = "vm: src/fstab src/guest"]
fn a_partition_is_found_by_every_name_that_fstab_may_have_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = Phony::debian();
    let home = Phony::bare();
    home.file("ann/.bash_history", "ls\n");
    let history = |line: &str, kind: &str| {
        root.file("etc/fstab", format!("LABEL=phony / ext4\n{line}\n"));
        let disk = with_home(dir.path(), "disk.raw", [&root, &home], kind);
        let found = found_in(&disk, &[]).into_iter();
        let histories = found.filter(|(rule, _)| rule == "shell-history");
        histories.map(|(_, path)| path).collect::<Vec<_>>()
    };
    let [uuid, label, partuuid, partlabel] = HOME;
    let [quoted, udev] = [" ", "\\x20"].map(|blank| label.replace(' ', blank));
    for spec in [
        format!("UUID={uuid}"),
        format!("UUID=\"{}\"", uuid.to_uppercase()),
        format!("/dev/disk/by-uuid/{uuid}"),
        format!("LABEL={}", quoted.replace(' ', "\\040")),
        format!("/dev/disk/by-label/{}", udev.replace('\\', "\\134")),
        format!("PARTUUID={}", partuuid.to_uppercase()),
        format!("/dev/disk/by-partuuid/{partuuid}"),
        format!("PARTLABEL={}", partlabel.replace(' ', "\\040")),
        "/dev/nvme0n1p2".into(),
        "/dev/disk/by-id/virtio-root-part2".into(),
    ] {
        let line = format!("{spec} /home/ ext4 defaults,nofail,x-systemd.automount 0 2");
        assert_eq!(
            history(&line, TYPES[0]),
            ["/home/ann/.bash_history"],
            "{spec}"
        );
    }
    assert_eq!(history("", TYPES[1]), ["/home/ann/.bash_history"]);
    // Of another disk, and of nothing.
    for line in ["/dev/vdb2 /home ext4", ""] {
        assert_eq!(
            history(line, TYPES[0]),
            ["/(partition 2)/ann/.bash_history"],
            "{line}"
        );
    }
}
