use super::*;

fn partition(number: u32, kind: &str, name: &str) -> FileSystem {
    FileSystem {
        name: format!("/dev/sda{number}"),
        place: Some((0, number)),
        kind: kind.into(),
        uuid: format!("aaaa-{number}"),
        label: name.into(),
        partuuid: format!("bbbb-{number}"),
        partlabel: format!("{name}-part"),
        ..FileSystem::default()
    }
}

fn volume(name: &str) -> FileSystem {
    FileSystem {
        name: name.into(),
        kind: "ext4".into(),
        ..FileSystem::default()
    }
}

/// An EFI partition, the root, another one, two volumes.
fn systems() -> Vec<FileSystem> {
    vec![
        partition(1, "vfat", "ESP"),
        partition(2, "ext4", "root"),
        partition(3, "ext4", "my data"),
        volume("/dev/my-vg/home"),
        volume("/dev/mapper/luks-cccc"),
    ]
}

fn lay(fstab: &str) -> Layout {
    let systems = systems();
    let machine = Machine {
        systems: &systems,
        root: 1,
        fstab,
        crypttab: "# x UUID=1\nsafe UUID=CCCC none luks\n",
    };
    machine.layout(|_| Some(true))
}

#[test]
fn every_name_finds_its_file_system() {
    for (spec, found) in [
        ("UUID=AAAA-3", Some(2)),
        ("UUID=\"aaaa-3\"", Some(2)),
        ("/dev/disk/by-uuid/aaaa-3", Some(2)),
        ("LABEL=my\\040data", Some(2)),
        ("LABEL=My\\040Data", None),
        ("/dev/disk/by-label/my\\134x20data", Some(2)),
        ("PARTUUID=BBBB-3", Some(2)),
        ("/dev/disk/by-partuuid/bbbb-3", Some(2)),
        ("PARTLABEL=my\\040data-part", Some(2)),
        ("/dev/disk/by-partlabel/my\\x20data-part", Some(2)),
        ("/dev/sda3", Some(2)),
        ("/dev/vda3", Some(2)),
        ("/dev/xvda3", Some(2)),
        ("/dev/nvme0n1p3", Some(2)),
        ("/dev/mmcblk0p3", Some(2)),
        ("/dev/disk/by-id/ata-x-part3", Some(2)),
        ("/dev/disk/by-path/pci-0:4-part3", Some(2)),
        ("/dev/mapper/my--vg-home", Some(3)),
        ("/dev/my-vg/home", Some(3)),
        ("/dev/disk/by-id/dm-name-my--vg-home", Some(3)),
        ("/dev/mapper/safe", Some(4)),
        // Another disk, another type, the root itself, nothing at all.
        ("/dev/vdb3", None),
        ("/dev/vda", None),
        ("/dev/sda1", None),
        ("/dev/sda2", None),
        ("/dev/disk/cloud/azure_resource-part3", None),
        ("UUID=", None),
        ("LABEL=", None),
    ] {
        let layout = lay(&format!("{spec} /there ext4 defaults 0 2\n"));
        let there = layout.mounts.iter().find(|mount| mount.at == "/there");
        assert_eq!(there.map(|mount| mount.system), found, "{spec}");
        let noted = layout
            .notes
            .iter()
            .any(|note| note.contains("not on the disk"));
        assert_eq!(noted, found.is_none(), "{spec}: {:?}", layout.notes);
    }
}

#[test]
fn the_line_of_the_root_says_which_disk_is_which() {
    let layout = lay("/dev/sdb2 / ext4\n/dev/sdb3 /srv ext4\n/dev/sda3 /mnt ext4\n");
    assert_eq!((layout.at(2), layout.at(1)), (Some("/srv"), Some("/")));
    let missing = "/dev/sda3, which fstab mounts at /mnt, is not on the disk";
    assert_eq!(layout.notes.last().unwrap(), missing);
}

#[test]
fn what_only_this_machine_calls_so_is_told() {
    let layout = lay(
        "/dev/sda2 / ext4\n/dev/sda3 /srv ext4\n/dev/sda5 none swap sw\n\
         /dev/disk/by-id/ata-x-part3 /home ext4\nUUID=aaaa-3 /var ext4\n/dev/my-vg/home /opt ext4\n\
         /dev/sda1 /boot/efi vfat noauto\nUUID=9 none swap sw\n",
    );
    insta::assert_snapshot!(layout.notes.join("\n"), @r"
    /dev/sda3, which fstab names, is called otherwise on a machine with other disks, which then waits for it at each boot: name it by UUID=
    partition 3 of a disk, which fstab names, is called otherwise on a machine with other disks, which then waits for it at each boot: name it by UUID=
    /dev/sda5, which fstab names, is called otherwise on a machine with other disks, which then waits for it at each boot: name it by UUID=
    ");
}

#[test]
fn parents_come_first_and_the_first_line_of_a_place_counts() {
    let layout =
        lay("UUID=aaaa-3 /var/log ext4\n/dev/my-vg/home /var ext4\nUUID=aaaa-1 /var ext4\n");
    let places: Vec<_> = layout
        .mounts
        .iter()
        .map(|m| (m.at.as_str(), m.system))
        .collect();
    assert_eq!(places, [("/", 1), ("/var", 3), ("/var/log", 2)]);
}

#[test]
fn what_is_on_no_disk_is_told_unless_it_never_is() {
    let layout = lay(
        "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto\n/dev/fd0 /media/floppy0 auto noauto\n\
         proc /proc proc\nnas:/x /x nfs\nUUID=9 none swap sw\n/dev/vdb /mnt auto defaults,nofail\n\
         /srv/data /data none bind\n/srv/disk.img /disk ext4 loop\n",
    );
    insta::assert_snapshot!(layout.notes.join("\n"), @r"
    /dev/vdb, which fstab mounts at /mnt, is not on the disk
    fstab shows /srv/data at /data as well: its files are seen as /srv/data only
    /srv/disk.img, which fstab mounts at /disk, is a file: nothing looks into it
    ");
    assert_eq!(layout.mounts.len(), 1);
}

#[test]
fn subvolumes_are_parts_of_one_file_system() {
    let mut systems = systems();
    systems[1].kind = "btrfs".into();
    let machine = Machine {
        systems: &systems,
        root: 1,
        fstab: "UUID=aaaa-2 / btrfs\n/dev/vda2 /home btrfs subvol=/@/home\nUUID=aaaa-2 /srv btrfs ro,subvolid=258\n",
        crypttab: "",
    };
    let mounts = machine.layout(|_| None).mounts;
    let parts: Vec<_> = mounts
        .into_iter()
        .map(|m| (m.at, m.system, m.subvolume))
        .collect();
    assert_eq!(
        parts,
        [
            ("/".into(), 1, None),
            ("/home".into(), 1, Some(Subvolume::Path("@/home".into()))),
            ("/srv".into(), 1, Some(Subvolume::Id(258))),
        ]
    );
}

#[test]
fn partitions_are_discovered_by_their_types_where_no_line_is() {
    let mut systems = systems();
    systems[0].part_type = ESP.to_uppercase();
    systems[2].part_type = DISCOVERABLE[0].0.into();
    let lay = |systems: &[FileSystem], fstab: &str, efi: Option<bool>| {
        let machine = Machine {
            systems,
            root: 1,
            fstab,
            crypttab: "",
        };
        let mounts = machine.layout(|at| {
            if at == "/efi" {
                efi
            } else {
                Some(at == "/home")
            }
        });
        mounts
            .mounts
            .into_iter()
            .map(|m| (m.at, m.system))
            .collect::<Vec<_>>()
    };
    let [root, efi, home] = [("/".into(), 1), ("/efi".into(), 0), ("/home".into(), 2)];
    assert_eq!(
        lay(&systems, "", Some(true)),
        [root.clone(), efi, home.clone()]
    );
    // /boot has files.
    assert_eq!(lay(&systems, "", None), [root.clone(), home]);
    let elsewhere = lay(&systems, "UUID=aaaa-3 /data ext4\n", None);
    assert_eq!(elsewhere, [root.clone(), ("/data".into(), 2)]);
    systems[2].no_auto = true;
    assert_eq!(lay(&systems, "", None), [root]);
}

#[test]
fn a_name_with_letters_beyond_counting_is_no_disk() {
    assert_eq!(kernel_name("/dev/sdaa3"), Some((26, 3)));
    let name = format!("/dev/vd{}1", "d".repeat(60));
    assert_eq!(kernel_name(&name), None);
}
