//! Disks of every layout, as installers make them, with secrets where files are no more.

use std::path::Path;

use imgforge::guest::{Guestfs, Key};
use imgforge::host::exec::Program;

use super::{MARKER, sh};
use crate::phony::Phony;

/// The passphrase of the encrypted disk.
pub(super) const PASSPHRASE: &str = "open sesame";

pub(super) const SWAP_UUID: &str = "6f8f39bb-2b5b-4b39-9f3d-4d9d6a7f1a01";

/// What the appliance's own programs call a disk: its kernel numbers disks as it meets them. No
/// two disks of a session are of one size here.
pub(super) fn kernel_name(guest: &Guestfs, disk: &str) -> String {
    let sectors = guest.device_size(disk).unwrap() / 512;
    let line = format!("cd /sys/block; grep -lx {sectors} sd*/size | cut -d/ -f1");
    format!("/dev/{}", sh(guest, &line))
}

fn secret(size: usize) -> Vec<u8> {
    MARKER.bytes().cycle().take(size).collect()
}

/// Partitions for the boot loader, `/boot`, swap, and LVM with a root, a swap volume and space.
pub(super) fn partitioned(guest: &Guestfs, device: &str, tree: &Path) {
    guest.part_init(device, "gpt").unwrap();
    for (start, end) in [
        (2048, 69_631),
        (69_632, 135_167),
        (135_168, 200_703),
        (200_704, -2048),
    ] {
        guest.part_add(device, "p", start, end).unwrap();
    }
    let part = |number: u32| format!("{device}{number}");
    let kernel = kernel_name(guest, device);
    guest.mkfs("vfat", &part(1), "", "").unwrap();
    sh(guest, &format!("mkfs.ext4 -q -b 1024 {kernel}2"));
    sh(
        guest,
        &format!("mkswap -L swap-label -U {SWAP_UUID} {kernel}3"),
    );
    guest.pvcreate(&part(4)).unwrap();
    guest.vgcreate("vg", &[&part(4)]).unwrap();
    sh(guest, "lvcreate -qq -L 96m -n root vg");
    sh(guest, "lvcreate -qq -L 16m -n gone vg");
    sh(guest, "lvcreate -qq -L 16m -n swap vg");
    sh(guest, "mkswap /dev/vg/swap");
    guest.mkfs("ext4", "/dev/vg/root", "", "").unwrap();
    // What was swapped out, and what a removed volume held.
    guest.write_device(&part(3), &secret(65536), 8192).unwrap();
    guest
        .write_device("/dev/vg/swap", &secret(65536), 8192)
        .unwrap();
    guest
        .write_device("/dev/vg/gone", &secret(65536), 0)
        .unwrap();
    guest.settle().unwrap();
    guest.lvremove("/dev/vg/gone").unwrap();
    guest.mount("/dev/vg/root", "/").unwrap();
    guest.tar_in(tree, "/").unwrap();
    guest.mkdir_p("/boot").unwrap();
    guest.mount(&part(2), "/boot").unwrap();
    guest.mkdir_p("/boot/efi").unwrap();
    guest.mount(&part(1), "/boot/efi").unwrap();
    let uuid = |number: u32| guest.vfs_uuid(&part(number)).unwrap();
    let fstab = format!(
        "/dev/vg/root / ext4 defaults 0 1\nUUID={} /boot ext4 defaults 0 2\n\
         UUID={} /boot/efi vfat defaults 0 2\nUUID={SWAP_UUID} none swap sw 0 0\n\
         /swapfile none swap sw 0 0\n",
        uuid(2),
        uuid(1)
    );
    guest.write("/etc/fstab", fstab).unwrap();
    guest.fallocate("/swapfile", 4 << 20).unwrap();
    sh(guest, "mkswap /sysroot/swapfile");
    guest.chmod(0o600, "/swapfile").unwrap();
    guest.write_part("/swapfile", &secret(65536), 8192).unwrap();
    for dir in ["/tmp", "/boot", "/boot/efi"] {
        guest.write(&format!("{dir}/gone"), secret(70_000)).unwrap();
    }
    guest.sync().unwrap();
    guest.rm_f("/boot/gone").unwrap();
    guest.rm_f("/boot/efi/gone").unwrap();
    guest.umount_all().unwrap();
}

/// The file system of [`refusing`].
pub(super) const REFUSING: &str = "/dev/mapper/refusing";

/// Opens a disk as a mapping that lets no discards through, as encrypted ones are by default.
pub(super) fn refusing(guest: &Guestfs, device: &str) {
    let kernel = kernel_name(guest, device);
    sh(
        guest,
        &format!(
            "printf 0123456789abcdef0123456789ABCDEF | cryptsetup open --type plain \
             --cipher aes-xts-plain64 --key-size 256 --key-file=- {kernel} refusing \
             && udevadm settle"
        ),
    );
}

/// A file system there that held a secret. Its free space lies in pieces: a file that fills it
/// needs blocks for the list of its pieces.
pub(super) fn with_a_removed_file(guest: &Guestfs) {
    sh(guest, &format!("mkfs.ext4 -q -b 4096 {REFUSING}"));
    guest.mount(REFUSING, "/").unwrap();
    guest.write("/gone", secret(3 << 20)).unwrap();
    sh(
        guest,
        "cd /sysroot && for i in $(seq 400); do echo $i >piece$i; sync piece$i; done",
    );
    guest.sync().unwrap();
    sh(guest, "rm /sysroot/piece*[02468]");
    guest.rm_f("/gone").unwrap();
    reserve_freed(guest, "/");
    guest.umount_all().unwrap();
}

/// Removes a secret and reserves half of the free space for a file, its blocks among them.
fn reserve_freed(guest: &Guestfs, dir: &str) {
    let file = format!("{dir}/secret");
    guest.write(&file, secret(3 << 20)).unwrap();
    guest.sync().unwrap();
    guest.rm_f(&file).unwrap();
    guest.sync().unwrap();
    let free = guest.statvfs(dir).unwrap().free;
    guest
        .fallocate(&format!("{dir}/reserved"), (free / 2) as i64)
        .unwrap();
}

/// A policy of three lines, and the host's own program that sets labels, with its libraries.
pub(super) fn with_selinux(phony: &Phony) {
    let contexts = "/.*\tsystem_u:object_r:default_t:s0\n\
                    /etc/machine-id\t--\tsystem_u:object_r:machineid_t:s0\n\
                    /home(/.*)?\tsystem_u:object_r:home_t:s0\n";
    phony
        .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .file(
            "etc/selinux/config",
            "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
        )
        .file(
            "etc/selinux/targeted/contexts/files/file_contexts",
            contexts,
        )
        .file(".autorelabel", "");
    phony.link("lib64", "usr/lib64");
    let setfiles = "/usr/sbin/setfiles";
    let needed = Program::new("ldd").arg(setfiles).text().unwrap();
    let libraries = needed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for file in libraries.chain([setfiles]) {
        let to = match file.strip_prefix("/usr") {
            Some(_) => file.trim_start_matches('/').to_owned(),
            None => format!("usr{file}"),
        };
        phony
            .file(&to, std::fs::read(file).unwrap())
            .mode(&to, 0o755);
    }
}

/// Subvolumes `root` and `home`, as Fedora's installer makes them.
pub(super) fn subvolumes(guest: &Guestfs, device: &str, tree: &Path) {
    guest.mkfs("btrfs", device, "", "").unwrap();
    guest.mount(device, "/").unwrap();
    sh(
        guest,
        "btrfs -q subvolume create /sysroot/root && btrfs -q subvolume create /sysroot/home",
    );
    guest.umount_all().unwrap();
    guest
        .mount(&format!("btrfsvol:{device}/root"), "/")
        .unwrap();
    guest.tar_in(tree, "/").unwrap();
    let uuid = guest.vfs_uuid(device).unwrap();
    let fstab =
        format!("UUID={uuid} / btrfs subvol=root 0 0\nUUID={uuid} /home btrfs subvol=home 0 0\n");
    guest.write("/etc/fstab", fstab).unwrap();
    guest
        .mount(&format!("btrfsvol:{device}/home"), "/home")
        .unwrap();
    guest.mkdir_p("/home/ann").unwrap();
    for path in ["/tmp/gone", "/home/ann/.bash_history"] {
        guest.write(path, secret(3 << 20)).unwrap();
    }
    reserve_freed(guest, "/home");
    guest.umount_all().unwrap();
    // What no fstab names: an older root, in which another subvolume is.
    guest.mount(device, "/").unwrap();
    sh(
        guest,
        "btrfs -q subvolume create /sysroot/old && btrfs -q subvolume create /sysroot/old/srv",
    );
    for file in ["/outside/.netrc", "/old/etc/machine-id", "/old/srv/.netrc"] {
        let dir = Path::new(file).parent().unwrap();
        guest.mkdir_p(dir.to_str().unwrap()).unwrap();
        guest
            .write(file, "machine 0123456789abcdef login a password b\n")
            .unwrap();
    }
    guest.umount_all().unwrap();
}

/// A root on LVM on LUKS.
pub(super) fn encrypted(guest: &Guestfs, device: &str, tree: &Path) {
    sh(
        guest,
        &format!(
            "printf '{PASSPHRASE}' | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 \
             --pbkdf-force-iterations 1000 --key-file=- {}",
            kernel_name(guest, device)
        ),
    );
    // What no key opens stays closed, and what is open is not tried again.
    let closed = |keys: &[Key]| guest.unlock(keys).unwrap();
    assert_eq!(closed(&[Key::new("wrong")]), [device]);
    assert!(closed(&[Key::new("wrong"), Key::new(PASSPHRASE)]).is_empty());
    assert!(closed(&[]).is_empty());
    let uuid = guest.vfs_uuid(device).unwrap();
    let mapped = format!("/dev/mapper/luks-{uuid}");
    guest.pvcreate(&mapped).unwrap();
    guest.vgcreate("crypt", &[&mapped]).unwrap();
    guest.lvcreate_free("root", "crypt", 100).unwrap();
    // Nothing is left for the kernel to write in the background, however long the test takes.
    sh(
        guest,
        "mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/crypt/root",
    );
    guest.mount("/dev/crypt/root", "/").unwrap();
    guest.tar_in(tree, "/").unwrap();
    guest
        .write("/etc/fstab", "/dev/mapper/crypt-root / ext4 defaults 0 1\n")
        .unwrap();
    guest.write("/tmp/gone", secret(30 << 20)).unwrap();
    guest.umount_all().unwrap();
}
