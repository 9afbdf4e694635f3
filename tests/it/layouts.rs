//! Sealing on every layout: partitions with swap and LVM, subvolumes of btrfs, LUKS; free blocks
//! read as zero afterwards, also where nothing takes discards, and swap keeps its header.

mod clean;
mod make;
mod snapshots;
mod uuids;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use imgforge::guest::{Drive, Guestfs, Launch, Os};
use imgforge::host::accel::Accel;
use imgforge::host::exec::Program;
use imgforge::host::qemu_img::allocated;
use imgforge::sysprep::{Declared, Labels, Seal, SealProgress, TrimMethod, Trimmed, seal, select};

use crate::gate::world;
use crate::phony::Phony;
use crate::support::Run as _;
use make::{
    PASSPHRASE, REFUSING, SWAP_UUID, encrypted, kernel_name, partitioned, refusing, subvolumes,
    with_a_removed_file, with_selinux,
};
use uuids::{grub_keeps_its_group, lvm_uuids, new_uuids};

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
    crate::slots::launch_with(&launch, MEMORY).unwrap()
}

fn sh(guest: &Guestfs, line: &str) -> String {
    guest.debug("sh", &[line]).unwrap().trim().to_owned()
}

fn run(guest: &Guestfs, root: &str) -> SealProgress {
    guest.inspect_os().unwrap();
    let os = guest.mount_os(root).unwrap();
    let report = seal_with(guest, &os, &["default"]);
    guest.umount_all().unwrap();
    report
}

pub(crate) fn seal_with(guest: &Guestfs, os: &Os, words: &[&str]) -> SealProgress {
    let options = Seal {
        operations: &select(words).unwrap(),
        identity: None,
        declared: &Declared::default(),
        files: &[],
        luks_keys: &[],
        relabel_at_boot: true,
        ui: None,
    };
    seal(guest, os, &options).unwrap()
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
#[ignore = "e2e: src/sysprep src/guest src/scan"]
fn partitions_lvm_and_swap_are_sealed_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let debian = Phony::debian().tar(dir.path(), "debian.tar");
    let lvm = blank(dir.path(), "lvm.raw", 288);
    let second = blank(dir.path(), "second.raw", 48);
    let plain = dir.path().join("plain.raw");
    let guest = open(&[&lvm, &second]);
    partitioned(&guest, "/dev/sda", &debian);
    refusing(&guest, "/dev/sdb");
    with_a_removed_file(&guest);
    guest.download(REFUSING, &plain).unwrap();
    guest.close().unwrap();
    assert!(contains(&lvm, MARKER) && contains(&plain, MARKER));

    let guest = open(&[&lvm, &second]);
    refusing(&guest, "/dev/sdb");
    let before = lvm_uuids(&guest);
    let report = run(&guest, "/dev/vg/root");
    assert_eq!(report.given.groups, ["vg"]);
    assert_eq!(
        report.given.swaps,
        ["/swapfile", "/dev/sda3", "/dev/vg/swap"]
    );
    let how = |fs: &Trimmed| (fs.at.clone(), fs.how);
    let [discarded, zeroed] = [TrimMethod::Discarded, TrimMethod::Zeroed];
    assert_eq!(
        report.given.filesystems.iter().map(how).collect::<Vec<_>>(),
        [
            ("/".into(), discarded),
            ("/boot".into(), discarded),
            ("/boot/efi".into(), discarded),
            (REFUSING.into(), zeroed),
        ]
    );
    let stray = format!("no line of fstab names {REFUSING} (ext4): its files are not reached");
    assert_eq!(report.warnings(), [stray]);
    let after = lvm_uuids(&guest);
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
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
    guest.umount_all().unwrap();
    guest.download(REFUSING, &plain).unwrap();
    new_uuids(&guest);
    grub_keeps_its_group(&guest);
    guest.close().unwrap();
    assert!(
        !contains(&lvm, MARKER),
        "a secret is left on the partitions or in LVM"
    );
    assert_free_blocks_are_zero(&lvm, 69_632 * 512);
    assert!(
        !contains(&plain, MARKER),
        "a secret is left where nothing takes discards"
    );
    assert_free_blocks_are_zero(&plain, 0);
}

#[test]
#[ignore = "e2e: src/sysprep src/guest src/scan"]
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
    assert!(contains(&btrfs, MARKER));

    let guest = open(&[&btrfs]);
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
        TrimMethod::Discarded,
        "{report:?}"
    );
    guest.close().unwrap();
    assert!(!contains(&btrfs, MARKER), "a secret is left on btrfs");
    sealed_by_its_key(dir.path(), &luks);
    shown_by_its_secret(&luks);
}

/// The program opens an encrypted disk with what is in a file, seals, scans and trims it.
fn sealed_by_its_key(dir: &Path, luks: &Path) {
    let disk = luks.to_str().unwrap();
    let (code, printed) = crate::disk_seal::seal(dir, &[disk]);
    assert_eq!(code, 2, "{printed}");
    for told in ["a part of the disk is encrypted", "disk seal --luks-key"] {
        assert!(printed.contains(told), "{printed}");
    }
    let key = |name: &str, content: &str| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let [wrong, right] = [
        key("wrong", "open barley\n"),
        key("right", &format!("{PASSPHRASE}\n")),
    ];
    let keys = ["--luks-key", &wrong, "--luks-key", &right];
    let found = crate::scan::found_in(luks, &keys);
    let history = ("temporary-file".to_owned(), "/tmp/gone".to_owned());
    assert!(found.contains(&history), "{found:?}");

    let full = allocated(luks, "raw").unwrap();
    let traced = [("LIBGUESTFS_TRACE", "1"), ("LIBGUESTFS_DEBUG", "1")];
    let arguments = [&[disk, "-v"][..], &keys].concat();
    let (code, printed) = crate::disk_seal::seal_with(dir, &arguments, &traced);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("cryptsetup open"), "{printed}");
    for hidden in [PASSPHRASE, "barley", r"\157\160\145\156", "open\\ sesame"] {
        assert!(!printed.contains(hidden), "{printed}");
    }
    assert!(
        !printed.contains("may hold what was removed") && printed.contains("given back"),
        "{printed}"
    );
    let left = allocated(luks, "raw").unwrap();
    assert!(left + (25 << 20) < full, "{full} bytes became {left}");
    assert_eq!(crate::scan::found_in(luks, &keys), BTreeSet::new());
}

/// Where the passphrase comes from.
const VARIABLE: &str = "IMGFORGE_TEST_PASSPHRASE";

/// `imgforge shell` opens an encrypted disk with the recipe's secret, and says what it lacks.
fn shown_by_its_secret(luks: &Path) {
    let world = world("bios");
    let image = world.path("locked.qcow2");
    let convert = Program::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]);
    convert.args([luks, &image]).run().unwrap();
    world.image(
        "locked",
        &format!(
            "install: {{import: {{image: {}}}}}\nsecrets: {{passphrase: {{env: {VARIABLE}}}}}\n",
            image.display()
        ),
    );
    let run = |args: &[&str], passphrase: Option<&str>| {
        let mut command = world.command(args);
        // Ctrl-] ends the guest that is connected.
        world.write("typed", [0x1d]);
        command.stdin(File::open(world.path("typed")).unwrap());
        command
            .envs(passphrase.map(|value| (VARIABLE, value)))
            .said()
    };
    run(&["build", "locked", "--until", "install"], Some(PASSPHRASE)).ok();
    let lacks = run(&["shell", "locked"], None).exits(2);
    lacks.says(&[
        "a part of the disk is encrypted",
        "the secret `passphrase` is not there",
        &format!("the environment variable {VARIABLE} is not set"),
    ]);
    let opens = run(&["shell", "locked"], Some(PASSPHRASE)).ok();
    opens.says(&["connected to the serial console"]);
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
    let found = crate::scan::found_in(btrfs, &[]);
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
