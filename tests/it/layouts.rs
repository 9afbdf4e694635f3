//! Sealing on every layout: partitions with swap and LVM, subvolumes of btrfs, LUKS; free blocks
//! read as zero afterwards, and swap keeps its header.

use std::path::{Path, PathBuf};

use imgforge::guest::{Drive, Guestfs, Key, Launch, Os};
use imgforge::host::accel::Accel;
use imgforge::host::exec::Program;
use imgforge::sysprep::{Declared, How, Labels, Report, Seal, allocated, seal, select};

use crate::phony::Phony;

/// In no block after sealing.
const MARKER: &str = "a secret that must leave every layer";

/// Memory that LUKS needs.
const MEMORY: i32 = 1536;

fn blank(dir: &Path, name: &str, mebibytes: u64) -> PathBuf {
    let disk = dir.join(name);
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(mebibytes << 20).unwrap();
    disk
}

fn open(disks: &[&Path]) -> Guestfs {
    let drives: Vec<_> = disks
        .iter()
        .map(|path| Drive {
            path,
            format: "raw",
            readonly: false,
        })
        .collect();
    let launch = Launch {
        drives: &drives,
        accel: Accel::Tcg,
        ui: None,
    };
    Guestfs::launch_with(&launch, MEMORY).unwrap()
}

fn sh(guest: &Guestfs, line: &str) -> String {
    guest.debug("sh", &[line]).unwrap().trim().to_owned()
}

/// What the appliance's own programs call a disk: its kernel numbers disks as it meets them. No
/// two disks of a session are of one size here.
fn kernel_name(guest: &Guestfs, disk: &str) -> String {
    let sectors = guest.device_size(disk).unwrap() / 512;
    let line = format!("cd /sys/block; grep -lx {sectors} sd*/size | cut -d/ -f1");
    format!("/dev/{}", sh(guest, &line))
}

fn secret(size: usize) -> Vec<u8> {
    MARKER.bytes().cycle().take(size).collect()
}

/// Partitions for the boot loader, `/boot`, swap, and LVM with a root, a swap volume and space.
fn partitioned(guest: &Guestfs, device: &str, tree: &Path) {
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

/// A policy of three lines, and the host's own program that sets labels, with its libraries.
fn with_selinux(phony: &Phony) {
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

const SWAP_UUID: &str = "6f8f39bb-2b5b-4b39-9f3d-4d9d6a7f1a01";

/// Subvolumes `root` and `home`, as Fedora's installer makes them.
fn subvolumes(guest: &Guestfs, device: &str, tree: &Path) {
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
fn encrypted(guest: &Guestfs, device: &str, tree: &Path) {
    sh(
        guest,
        &format!(
            "printf 'open sesame' | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 \
             --pbkdf-force-iterations 1000 --key-file=- {}",
            kernel_name(guest, device)
        ),
    );
    guest.unlock(&[Key::new("wrong")]).unwrap_err();
    guest
        .unlock(&[Key::new("wrong"), Key::new("open sesame")])
        .unwrap();
    let uuid = guest.vfs_uuid(device).unwrap();
    let mapped = format!("/dev/mapper/luks-{uuid}");
    guest.pvcreate(&mapped).unwrap();
    guest.vgcreate("crypt", &[&mapped]).unwrap();
    guest.lvcreate_free("root", "crypt", 100).unwrap();
    guest.mkfs("ext4", "/dev/crypt/root", "", "").unwrap();
    guest.mount("/dev/crypt/root", "/").unwrap();
    guest.tar_in(tree, "/").unwrap();
    guest
        .write("/etc/fstab", "/dev/mapper/crypt-root / ext4 defaults 0 1\n")
        .unwrap();
    guest.write("/tmp/gone", secret(30 << 20)).unwrap();
    guest.umount_all().unwrap();
}

fn run(guest: &Guestfs, root: &str) -> Report {
    guest.inspect_os().unwrap();
    let os = guest.mount_os(root).unwrap();
    let key = [Key::new("open sesame")];
    let report = seal(
        guest,
        &os,
        &Seal {
            operations: &select(&["default"]).unwrap(),
            identity: None,
            declared: &Declared::default(),
            files: &[],
            luks_keys: &key,
            relabel_at_boot: true,
            ui: None,
        },
    )
    .unwrap();
    guest.umount_all().unwrap();
    report
}

fn root_of(guest: &Guestfs, distro: &str, part: &str) -> String {
    let roots = guest.inspect_os().unwrap();
    let found = roots
        .iter()
        .find(|root| root.contains(part) && guest.inspect_get_distro(root).unwrap() == distro);
    found
        .unwrap_or_else(|| panic!("no {distro} in {roots:?}"))
        .clone()
}

#[test]
#[ignore = "vm"]
fn partitions_lvm_and_swap_are_sealed_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let debian = Phony::debian().tar(dir.path(), "debian.tar");
    let lvm = blank(dir.path(), "lvm.raw", 288);
    let guest = open(&[&lvm]);
    partitioned(&guest, "/dev/sda", &debian);
    guest.close().unwrap();
    assert!(contains(&lvm, MARKER));

    let guest = open(&[&lvm]);
    let (pv, vg) = ("pvs --noheadings -o pv_uuid", "vgs --noheadings -o vg_uuid");
    let before = [sh(&guest, pv), sh(&guest, vg)];
    let report = run(&guest, "/dev/vg/root");
    assert_eq!(report.given.groups, ["vg"]);
    assert_eq!(
        report.given.swaps,
        ["/swapfile", "/dev/sda3", "/dev/vg/swap"]
    );
    assert_eq!(report.given.filesystems.len(), 3, "{report:?}");
    assert!(report.warnings().is_empty(), "{report:?}");
    assert_ne!(sh(&guest, pv), before[0]);
    assert_ne!(sh(&guest, vg), before[1]);
    let kernel = kernel_name(&guest, "/dev/sda");
    let swap = sh(&guest, &format!("blkid -o export {kernel}3"));
    assert!(swap.contains(&format!("UUID={SWAP_UUID}")), "{swap}");
    assert!(swap.contains("LABEL=swap-label"), "{swap}");
    // The kernel takes them, too.
    guest.mount("/dev/vg/root", "/").unwrap();
    let file = guest.lstat("/swapfile").unwrap();
    assert_eq!((file.mode, file.size), (0o100_600, 4 << 20));
    sh(
        &guest,
        &format!(
            "for i in {kernel}3 /dev/vg/swap /sysroot/swapfile; do swapon $i && swapoff $i || exit 1; done"
        ),
    );
    guest.close().unwrap();
    assert!(
        !contains(&lvm, MARKER),
        "a secret is left on the partitions or in LVM"
    );
    assert_free_blocks_are_zero(&lvm, 69_632 * 512);
}

#[test]
#[ignore = "vm"]
fn subvolumes_and_luks_are_scanned_sealed_labelled_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let debian = Phony::debian().tar(dir.path(), "debian.tar");
    let fedora = Phony::fedora();
    with_selinux(&fedora);
    let fedora = fedora.tar(dir.path(), "fedora.tar");
    let (btrfs, luks) = (
        blank(dir.path(), "btrfs.raw", 256),
        blank(dir.path(), "luks.raw", 128),
    );
    let guest = open(&[&btrfs, &luks]);
    subvolumes(&guest, "/dev/sda", &fedora);
    encrypted(&guest, "/dev/sdb", &debian);
    guest.close().unwrap();
    scanned(&btrfs);
    let full = allocated(&luks, "raw").unwrap();
    assert!(contains(&btrfs, MARKER));

    let guest = open(&[&btrfs, &luks]);
    let root = root_of(&guest, "fedora", "");
    let report = run(&guest, &root);
    assert_eq!(report.labels, Labels::Renewed);
    let os = guest.mount_os(&root).unwrap();
    for (path, label) in [("/etc/machine-id", "machineid_t"), ("/home/ann", "home_t")] {
        let value = guest.attribute(path, "security.selinux").unwrap();
        let expected = format!("system_u:object_r:{label}:s0\0");
        assert_eq!(String::from_utf8_lossy(&value), expected, "{path}");
    }
    assert!(!guest.exists("/.autorelabel").unwrap());
    assert_eq!(os.mountpoints.len(), 2);
    without_setfiles(&guest, &os);
    guest.umount_all().unwrap();
    assert_eq!(
        report.given.filesystems[0].how,
        How::Discarded,
        "{report:?}"
    );
    guest.unlock(&[Key::new("open sesame")]).unwrap();
    let report = run(&guest, "/dev/crypt/root");
    let root = &report.given.filesystems[0];
    assert_eq!(root.how, How::Discarded, "{report:?}");
    guest.close().unwrap();
    assert!(!contains(&btrfs, MARKER), "a secret is left on btrfs");
    let left = allocated(&luks, "raw").unwrap();
    assert!(left + (25 << 20) < full, "{full} bytes became {left}");
}

/// Where nobody can set labels, the guest does it at its first boot, but for one whose root is in
/// RAM, which would do it at each boot.
fn without_setfiles(guest: &Guestfs, os: &Os) {
    guest.rm_f("/usr/sbin/setfiles").unwrap();
    for (at_boot, labels) in [(true, Labels::AtFirstBoot), (false, Labels::Stale)] {
        let options = Seal {
            operations: &[],
            identity: None,
            declared: &Declared::default(),
            files: &[],
            luks_keys: &[],
            relabel_at_boot: at_boot,
            ui: None,
        };
        assert_eq!(seal(guest, os, &options).unwrap().labels, labels);
        assert_eq!(guest.exists("/.autorelabel").unwrap(), at_boot);
    }
}

/// Every subvolume is scanned once, by rules that know its paths, whether it is mounted or not.
fn scanned(btrfs: &Path) {
    let found = crate::scan::found_in(btrfs);
    let outside = "/(/dev/sda)/outside/.netrc";
    let old = "/(/dev/sda/old)/etc/machine-id";
    let inner = "/(/dev/sda/old/srv)/.netrc";
    for (rule, path) in [
        ("machine-id", "/etc/machine-id"),
        ("temporary-file", "/tmp/gone"),
        ("shell-history", "/home/ann/.bash_history"),
        ("netrc", outside),
        ("machine-id", old),
        ("netrc", inner),
    ] {
        assert!(
            found.contains(&(rule.to_owned(), path.to_owned())),
            "{path}: {found:?}"
        );
    }
    // Once: by its own place, and not as a part of the whole as well.
    let netrc = found.iter().filter(|(rule, _)| rule == "netrc");
    assert_eq!(netrc.count(), 2, "{found:?}");
    let histories = found.iter().filter(|(rule, _)| rule == "shell-history");
    assert_eq!(histories.count(), 1, "{found:?}");
}

fn contains(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// Every block that the ext file system at `offset` of a raw disk calls free reads as zero.
pub(crate) fn assert_free_blocks_are_zero(disk: &Path, offset: u64) {
    let listed = Program::new("dumpe2fs")
        .arg(format!("{}?offset={offset}", disk.display()))
        .text()
        .unwrap();
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    let value = |name: &str| listed.lines().find_map(|line| line.strip_prefix(name));
    let size = number(value("Block size:").unwrap());
    let bytes = std::fs::read(disk).unwrap();
    let mut free = 0;
    for line in listed
        .lines()
        .filter_map(|line| line.strip_prefix("  Free blocks: "))
    {
        for range in line.split(", ").filter(|range| !range.trim().is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            for block in number(first)..=number(last) {
                let at = (offset + block * size) as usize;
                let content = &bytes[at..at + size as usize];
                assert!(
                    content.iter().all(|b| *b == 0),
                    "block {block} of {}",
                    disk.display()
                );
                free += 1;
            }
        }
    }
    let told = number(value("Free blocks:").unwrap());
    assert!(
        free > 1000 && free <= told,
        "{free} of {told} free blocks were found"
    );
}
