//! Disks of every layout, most of it read by an appliance: a clean one gives no alarm, and on one
//! where things were left exactly these are found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use imgforge::guest::Guestfs;
use imgforge::host::exec::Program;

use super::make::{PASSPHRASE, kernel_name};
use super::{blank, open, sh};
use crate::phony::Phony;

/// The root, swap, XFS, btrfs on two partitions, the halves of a mirror, LUKS, LVM, nothing, a
/// physical volume of no group, GRUB's program, and an EFI system partition.
const TABLE: &str = "label: gpt\nstart=2048, size=131072\nsize=16M, type=S\nsize=304M\n\
                     size=128M\nsize=128M\nsize=24M, type=R\nsize=24M, type=R\nsize=32M\n\
                     size=128M, type=V\nsize=16M\nsize=16M, type=V\n\
                     size=2M, type=21686148-6449-6E6F-744E-656564454649\nsize=34M, type=U\n";

/// Makes all of it on disk `$d`, LVM's group and the mirror being called `$v`; `$left` is what each
/// file system gets in a directory of its own, the second argument of `fill`.
const MAKE: &str = r#"
set -e
fill() { mount $1 /m; mkdir /m/$2; echo kept >/m/$2/file; [ -z "$left" ] || echo ls >/m/$2/$left; umount /m; }
mkdir -p /m
mkswap -L swap ${d}2
fill ${d}3 in-xfs
mkfs.btrfs -q -L pool -m raid1 -d raid1 ${d}4 ${d}5; btrfs -q device scan
mount ${d}4 /m; btrfs -q subvolume create /m/data; btrfs -q subvolume create /m/other; umount /m
fill "-o subvol=data ${d}4" in-btrfs; fill "-o subvol=other ${d}4" in-other
mdadm --create /dev/md/$v --run --level=1 --assume-clean --raid-devices=2 ${d}6 ${d}7; udevadm settle
mke2fs -q -t ext4 /dev/md/$v; fill /dev/md/$v in-mirror; mdadm --stop /dev/md/$v
printf "$pass" | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file=- ${d}8
printf "$pass" | cryptsetup open --key-file=- ${d}8 c$v; udevadm settle
mke2fs -q -t ext4 /dev/mapper/c$v; fill /dev/mapper/c$v in-luks; cryptsetup close c$v
pvcreate -qq ${d}9 ${d}11; vgcreate -qq $v ${d}9
lvcreate -qq -y -L 32m -n home $v; mke2fs -q -t ext4 /dev/$v/home; fill /dev/$v/home in-home
lvcreate -qq -y -s -L 16m -n before $v/home; fill /dev/$v/before in-snapshot
lvcreate -qq -y -L 16m -n swap $v; mkswap /dev/$v/swap
modprobe dm_thin_pool; lvcreate -qq -y -L 20m -T $v/pool; lvcreate -qq -y -V 32m -T $v/pool -n thin
mke2fs -q -t ext4 /dev/$v/thin; fill /dev/$v/thin in-thin
vgchange -qq -an $v
head -c 65536 /dev/urandom >${d}12
mkfs.vfat ${d}13; fill ${d}13 in-esp
"#;

/// What is left.
const LEFT: &str = ".zsh_history";

/// A disk with [`TABLE`] and the root on it.
fn disk(dir: &Path, group: &str, mebibytes: u64, left: &str) -> PathBuf {
    let fstab = format!(
        "LABEL=phony / ext4 defaults 0 1\nLABEL=swap none swap sw 0 0\nLABEL=srv /srv xfs defaults 0 0\n\
         LABEL=pool /pool btrfs subvol=data 0 0\n/dev/{group}/home /home ext4 defaults 0 0\n"
    );
    let phony = Phony::debian();
    phony.file("etc/fstab", fstab).file("in-root/file", "kept");
    for place in ["srv", "pool"] {
        std::fs::create_dir(phony.path().join(place)).unwrap();
    }
    if !left.is_empty() {
        phony.file(&format!("in-root/{left}"), "ls\n");
    }
    let disk = blank(dir, group, mebibytes);
    let sfdisk = Program::new("sfdisk").arg("-q").arg(&disk);
    sfdisk.input(TABLE).run().unwrap();
    phony.in_first_partition(&disk);
    // Behind the first MiB, the root, and swap.
    let from = format!("if={}", xfs(dir, "partition", "srv").display());
    let to = format!("of={}", disk.display());
    Program::new("dd")
        .args(["bs=1M", "seek=81", "conv=notrunc,sparse", &from, &to])
        .run()
        .unwrap();
    disk
}

/// An empty XFS in a file: the appliance of libguestfs may lack the program that makes one.
fn xfs(dir: &Path, name: &str, label: &str) -> PathBuf {
    let file = blank(dir, name, 304);
    let mkfs = Program::new("mkfs.xfs").args(["-q", "-L", label]);
    mkfs.arg(&file).run().unwrap();
    file
}

/// A root on a disk without a table of partitions.
fn whole(guest: &Guestfs, device: &str, kind: &str, tree: &Path) {
    guest.mount(device, "/").unwrap();
    guest.tar_in(tree, "/").unwrap();
    let fstab = format!("LABEL=phony / {kind} defaults 0 0\n");
    guest.write("/etc/fstab", fstab).unwrap();
    guest.umount_all().unwrap();
}

/// The directories in which something was found, which are the same wherever they are mounted.
fn places(found: &BTreeSet<(String, String)>) -> BTreeSet<&str> {
    assert!(
        found.iter().all(|(rule, _)| rule == "shell-history"),
        "{found:?}"
    );
    let names = found.iter().map(|(_, place)| place.rsplit('/').nth(1));
    names.map(Option::unwrap).collect()
}

#[test]
#[ignore = "e2e: src/scan src/guest"]
fn clean_volumes_of_every_kind_give_no_alarm_and_others_exactly_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (clean, dirty) = (
        disk(dir.path(), "good", 920, ""),
        disk(dir.path(), "bad", 928, LEFT),
    );
    let (xfs, btrfs) = (
        xfs(dir.path(), "xfs", "phony"),
        blank(dir.path(), "btrfs", 256),
    );
    let guest = open(&[&clean, &dirty, &xfs, &btrfs]);
    for (device, group, left) in [("/dev/sda", "good", ""), ("/dev/sdb", "bad", LEFT)] {
        let kernel = kernel_name(&guest, device);
        sh(
            &guest,
            &format!("d={kernel} v={group} left={left} pass='{PASSPHRASE}'\n{MAKE}"),
        );
    }
    whole(
        &guest,
        "/dev/sdc",
        "xfs",
        &Phony::fedora().tar(dir.path(), "fedora.tar"),
    );
    let debian = Phony::debian();
    debian.file(&format!("in-root/{LEFT}"), "ls\n");
    guest.mkfs("btrfs", "/dev/sdd", "phony", "").unwrap();
    whole(
        &guest,
        "/dev/sdd",
        "btrfs",
        &debian.tar(dir.path(), "debian.tar"),
    );
    guest.close().unwrap();

    let key = dir.path().join("key");
    std::fs::write(&key, format!("{PASSPHRASE}\n")).unwrap();
    let keys = ["--luks-key", key.to_str().unwrap()];
    let scan = |disk: &Path| crate::scan::found_in(disk, &keys);
    assert_eq!(scan(&clean), BTreeSet::new());
    assert_eq!(scan(&xfs), BTreeSet::new());
    assert_eq!(places(&scan(&btrfs)), BTreeSet::from(["in-root"]));
    let all = [
        "in-root",
        "in-xfs",
        "in-btrfs",
        "in-other",
        "in-mirror",
        "in-luks",
        "in-home",
        "in-snapshot",
        "in-thin",
        "in-esp",
    ];
    let found = scan(&dirty);
    assert_eq!(places(&found), BTreeSet::from(all), "{found:?}");
    // Each once, but for what the snapshot has of the volume that it was made of.
    assert_eq!(found.len(), all.len() + 1, "{found:?}");
    // What fstab names is told by its place on the machine.
    for place in ["/srv/in-xfs", "/pool/in-btrfs", "/home/in-home"] {
        let place = ("shell-history".to_owned(), format!("{place}/{LEFT}"));
        assert!(found.contains(&place), "{found:?}");
    }
}
