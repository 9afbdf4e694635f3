//! Machines without a disk: a small system with this host's kernel, booted from memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use imgforge::host::accel::Accel;
use imgforge::machine::Machine;
use imgforge::targets::{
    self, About, Ramdisk, RootForm, StateDisk, SystemDisk, TargetContext, Targets,
};
use imgforge::ui::Ui;

use super::diskless::{boot, machine};
use super::{World, debian, run, text};
use crate::server::Server;
use crate::support::{Run as _, external};

/// UEFI's firmware, in one file.
const OVMF: &str = "/usr/share/ovmf/OVMF.fd";

/// What the system's own init says when it runs on all of its root.
const UP: &str = "toy: up on overlay with 7 of 7 in fstab: # The root is in memory.";

/// Loads kernel and initrd as a boot loader does; the root comes from `base`.
fn load(dir: &Path, memory: u64, base: &str) -> String {
    let [kernel, initrd] = ["web.vmlinuz", "web.initrd"].map(|name| dir.join(name));
    let cmdline = format!("console=ttyS0 panic=1 no_timer_check root=ramdisk imgforge.base={base}");
    let scratch = tempfile::tempdir().unwrap();
    let words = [
        "-kernel",
        text(&kernel),
        "-initrd",
        text(&initrd),
        "-append",
        &cmdline,
    ];
    let net = [
        "-netdev",
        "user,id=n",
        "-device",
        "virtio-net-pci,netdev=n,romfile=",
    ];
    boot(scratch.path(), memory, &[&words[..], &net[..]].concat())
}

fn manifest(dir: &Path) -> serde_json::Value {
    let text = std::fs::read(dir.join("web.ramdisk.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The address of a server of this test, as QEMU's user network shows it to guests.
pub(super) fn seen_by_guests(server: &Server, file: &str) -> String {
    server
        .url(file)
        .to_string()
        .replace("127.0.0.1", "10.0.2.2")
}

/// Serves what was made, for a busy host without acceleration, which looks to the kernel like a
/// broken timer.
fn served(out: &Path) -> Server {
    let script = out.join("web.boot.ipxe");
    let words = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, words.replace("panic=60", "panic=1 no_timer_check")).unwrap();
    Server::of(out)
}

/// The address of a script that comes to that of a machine as people's own do: something else is
/// loaded already, which is no part of the initrd.
fn by_another(server: &Server, out: &Path) -> String {
    // As a repository's script for two architectures tells them apart.
    let text = "#!ipxe\ngoto ${buildarch}\n:arm64\nexit\n:i386\n:x86_64\n\
                imgfetch web.SHA256SUMS\nchain web.boot.ipxe\n";
    std::fs::write(out.join("own.ipxe"), text).unwrap();
    seen_by_guests(server, "own.ipxe")
}

/// The gate of the export has booted it with its minimum of memory, over HTTP and without a disk.
#[test]
#[ignore = "vm: src/targets/ramdisk src/host/confine.rs src/host/confine.sh"]
fn a_machine_without_a_disk_boots_and_says_why_it_cannot() {
    let world = World::new();
    let disk = machine(&["virtio_net"]).disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "ramdisk"]);
    let made = [
        "SHA256SUMS",
        "boot.ipxe",
        "grub.cfg",
        "initrd",
        "ramdisk.json",
        "squashfs",
        "vmlinuz",
    ];
    assert_eq!(world.made(), made.map(|end| format!("web.{end}")));
    let out = world.path("out");
    let mut sums = external("sha256sum");
    let sums = sums.args(["-c", "web.SHA256SUMS"]).current_dir(&out);
    let (code, said) = sums.said().both();
    assert_eq!((code, said.lines().count()), (0, 3), "{said}");
    run("grub-script-check", &[text(&out.join("web.grub.cfg"))]);
    let listed = run(
        "unsquashfs",
        &["-ll", "-n", text(&out.join("web.squashfs"))],
    );
    assert!(listed.contains("squashfs-root/srv/part-7"), "{listed}");
    for gone in ["/vmlinuz", "/1.0-other"] {
        assert!(!listed.contains(gone), "{listed}");
    }
    let minimum = manifest(&out)["min-ram"].as_u64().unwrap();
    let server = served(&out);
    // iPXE, from the card's own memory, is told one address.
    let script = by_another(&server, &out);
    let net = format!("user,id=n,bootfile={script}");
    let card = "virtio-net-pci,netdev=n,bootindex=1";
    let said = boot(
        world.dir.path(),
        minimum,
        &["-netdev", &net, "-device", card],
    );
    assert!(said.contains(UP) && said.contains("toy: no disk"), "{said}");
    assert!(said.contains("imgforge: the root is complete"), "{said}");
    // Four fifths are too little, and the machine says so.
    let base = seen_by_guests(&server, "");
    let said = load(&out, minimum * 4 / 5, &base);
    let why =
        format!("imgforge: stopped: not enough memory: web needs a machine with {minimum} MiB");
    assert!(said.contains(&why) && !said.contains("toy: up"), "{said}");
    // A root of other bytes is not mounted.
    let squashfs = out.join("web.squashfs");
    let mut bytes = std::fs::read(&squashfs).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&squashfs, bytes).unwrap();
    let said = load(&out, minimum, &base);
    assert!(
        said.contains("imgforge: stopped: the root is not what was made"),
        "{said}"
    );
    assert!(!said.contains("toy: up"), "{said}");
}

/// UEFI's kernel is told of its initrd by its name, or takes what iPXE gives it.
#[test]
#[ignore = "e2e: src/targets/ramdisk"]
fn a_machine_without_a_disk_boots_under_uefi() {
    let world = World::new();
    let disk = machine(&["virtio_net"]).disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "ramdisk"]);
    let out = world.path("out");
    let server = served(&out);
    let address = by_another(&server, &out);
    // iPXE from a disk, the host's or another one: newer ones run this script, older ones what DHCP names.
    let esp = world.path("esp");
    std::fs::create_dir_all(esp.join("EFI/BOOT")).unwrap();
    let ipxe = std::env::var("IMGFORGE_TEST_IPXE");
    let ipxe = ipxe.unwrap_or_else(|_| "/usr/lib/ipxe/ipxe.efi".into());
    std::fs::copy(ipxe, esp.join("EFI/BOOT/BOOTX64.EFI")).unwrap();
    let own = format!("#!ipxe\ndhcp\nchain {address}\n");
    std::fs::write(esp.join("autoexec.ipxe"), own).unwrap();
    let drive = format!(
        "if=none,id=e,format=raw,readonly=on,file=fat:{}",
        text(&esp)
    );
    let from = ["-bios", OVMF, "-drive", &drive];
    let from = [
        &from[..],
        &["-device", "virtio-blk-pci,drive=e,bootindex=1"],
    ]
    .concat();
    let net = format!("user,id=n,bootfile={address}");
    let net = [
        "-netdev",
        &net,
        "-device",
        "virtio-net-pci,netdev=n,romfile=",
    ];
    // The firmware takes some itself.
    let memory = manifest(&out)["min-ram"].as_u64().unwrap() + 256;
    let said = boot(world.dir.path(), memory, &[from, net.to_vec()].concat());
    assert!(said.contains("EFI stub: ") && said.contains(UP), "{said}");
}

/// The root in the initrd: nothing is fetched, there is no network card.
#[test]
#[ignore = "vm: src/targets/ramdisk src/host/confine.rs src/host/confine.sh"]
fn one_initrd_holds_everything() {
    let world = World::new();
    let disk = machine(&["virtio_net"]).disk(world.dir.path(), "web.raw");
    let targets = Targets {
        ramdisk: Some(Ramdisk {
            root: RootForm::Initrd,
            state: Some(StateDisk {
                label: "keep".into(),
                to: "/srv/keep".into(),
            }),
            ..Ramdisk::default()
        }),
        ..Targets::default()
    };
    let dir = |name: &str| -> PathBuf {
        std::fs::create_dir(world.path(name)).unwrap();
        world.path(name)
    };
    let (files, scratch) = (dir("files"), dir("scratch"));
    let source = SystemDisk::new(disk, "raw", dir("shared"), Accel::Tcg);
    let about = About {
        name: "web".into(),
        version: String::new(),
        title: "Web".into(),
        os: "debian".into(),
        os_version: "13".into(),
        created: 1_767_225_600,
    };
    let ui = Ui::silent().stage("web", "finish");
    let site = TargetContext {
        source: &source,
        about: &about,
        gate: None,
        proving: true,
        machine: &Machine::default(),
        dir: &files,
        scratch: &scratch,
        ui: &ui,
    };
    let over = AtomicBool::new(false);
    let (made, seen) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Some(pid) = crate::nobody::emulators("guestfwd").pop() {
                    if rustix::process::geteuid().is_root() {
                        crate::nobody::is_nobody(pid);
                    }
                    return true;
                }
                crate::patience::pause();
            }
            false
        });
        let made = targets::make(&targets.wanted()[0], &site, Some("sealed"));
        over.store(true, Ordering::Relaxed);
        (made, watch.join().unwrap())
    });
    let made = made.unwrap_or_else(|e| panic!("{}", e.render()));
    assert!(seen, "nothing was tried");
    assert_eq!(made.len(), 6);
    assert!(!files.join("web.squashfs").exists());
    let minimum = manifest(&files)["min-ram"].as_u64().unwrap();
    let [kernel, initrd] = ["web.vmlinuz", "web.initrd"].map(|name| files.join(name));
    let words = [
        "-kernel",
        text(&kernel),
        "-initrd",
        text(&initrd),
        "-append",
    ];
    let load = |memory: u64, cmdline: &str| {
        boot(world.dir.path(), memory, &[&words[..], &[cmdline]].concat())
    };
    let said = load(minimum, "console=ttyS0 panic=1 no_timer_check root=ramdisk");
    assert!(said.contains(UP) && said.contains("toy: no disk"), "{said}");
    let said = load(
        minimum * 4 / 5,
        "console=ttyS0 panic=1 no_timer_check root=ramdisk",
    );
    assert!(
        said.contains("imgforge: stopped:") || said.contains("Kernel panic"),
        "{said}"
    );
    assert!(!said.contains("toy: up"), "{said}");
}

#[test]
fn a_disk_without_a_kernel_for_it_is_refused() {
    let world = World::new();
    let modules = ["loop", "squashfs", "overlay", "virtio_net"];
    let without = debian(&modules).disk(world.dir.path(), "without.raw");
    world
        .export(&without, &["-t", "ramdisk"])
        .exits(2)
        .says(&["needs a kernel in the image"]);
    let lacks = debian(&modules[..2]);
    lacks.file("boot/vmlinuz-6.12", "kernel");
    world
        .export(
            &lacks.disk(world.dir.path(), "lacks.raw"),
            &["-t", "ramdisk"],
        )
        .exits(2)
        .says(&["6.12 lacks overlay, virtio_net or e1000"]);
    let broken = debian(&modules);
    broken.file("boot/vmlinuz-6.12", "kernel");
    world
        .export(
            &broken.disk(world.dir.path(), "broken.raw"),
            &["-t", "ramdisk"],
        )
        .exits(2)
        .says(&["the kernel 6.12 is not complete"]);
    assert!(world.made().is_empty());
}

/// A file system that takes no more bytes: nothing is left.
#[test]
fn a_full_disk_leaves_nothing_of_a_ramdisk() {
    let world = World::new();
    let disk = machine(&["virtio_net"]).disk(world.dir.path(), "web.raw");
    let limit = ["prlimit", "--fsize=500000"];
    world
        .exporting(&limit, &disk, &["-t", "ramdisk"])
        .said()
        .exits(1);
    assert!(world.made().is_empty(), "{:?}", world.made());
    let drafts = run("find", &[text(&world.path("state")), "-size", "+100k"]);
    assert_eq!(drafts, "");
}
