//! Machines that boot from a disk onto which an image was deployed.

use imgforge::machine::Arch;

use super::world::*;
use crate::phony::Phony;
use crate::{grub, toy};

/// What the system says of itself on the console, before it turns the machine off.
const INIT: &str = r#"#!/bin/sh
busybox=/usr/bin/busybox
size=$($busybox df -m / | $busybox awk 'END { print $2 }')
[ -d /sys/firmware/efi ] && by=UEFI || by=BIOS
disk=$($busybox sed -n 's|^/dev/\([a-z0-9]*\) / .*|\1|p' /proc/mounts)
echo "<2>toy: $($busybox cat /etc/hostname) by $by from $disk, $size MiB" >/dev/kmsg
echo o >/proc/sysrq-trigger
$busybox sleep 60
"#;

/// A disk that BIOS and UEFI boot.
fn bootable(world: &World) -> Disk {
    let arch = Arch::X86_64;
    let tree = Phony::debian();
    let (kernel, initrd) = toy::for_a_disk(arch);
    tree.file("boot/vmlinuz", std::fs::read(kernel).unwrap())
        .file("boot/initrd.img", initrd)
        .file("usr/sbin/init", INIT)
        .mode("usr/sbin/init", 0o755);
    let raw = raw(world, "one", &tree);
    let file = File::options().write(true).open(&raw).unwrap();
    let modules = ["part_gpt", "ext2", "linux"];
    let dir = world.dir.path();
    // BIOS loads the first sector, that one the core's first, and this one the rest of it.
    let with_disks = [&["biosdisk"], &modules[..]].concat();
    let core = grub::core(dir, arch, "i386-pc", "(hd0,gpt3)", &with_disks);
    let mut core = std::fs::read(core).unwrap();
    let mut first = std::fs::read("/usr/lib/grub/i386-pc/boot.img").unwrap();
    let at = (1 << 20) / 512_u64;
    first[0x5c..0x64].copy_from_slice(&at.to_le_bytes());
    core[0x1f4..0x1fc].copy_from_slice(&(at + 1).to_le_bytes());
    assert!(core.len() < 1 << 20);
    file.write_all_at(&first[..440], 0).unwrap();
    file.write_all_at(&core, 1 << 20).unwrap();
    let core = grub::core(dir, arch, arch.grub_efi, "(hd0,gpt3)", &modules);
    let esp = grub::esp(dir, arch, &core, 2 << 20);
    file.write_all_at(&esp, 2 << 20).unwrap();
    packed(raw)
}

/// Starts a machine with one disk; what its console says.
fn boot(machine: &Machine, disk: &Path, words: &[&str]) -> String {
    let console = machine.path("console.log");
    std::fs::write(&console, "").unwrap();
    let drive = format!(
        "if=none,id=d,format=raw,snapshot=on,file={}",
        disk.display()
    );
    let qemu = Program::new(crate::slots::qemu(crate::slots::take(1)))
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-machine", "q35,hpet=off", "-accel", "tcg,thread=multi"])
        .args(["-cpu", "max", "-smp", "1", "-m", "512M", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .args(["-drive", &drive])
        .args(words);
    qemu.timeout(crate::patience::HANG).run().unwrap();
    let bytes = std::fs::read(&console).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kernel is loaded by what is in the boot sector, or by the file that UEFI looks for; the root is the
/// grown one, with what the machine file says.
#[test]
#[ignore = "vm: src/deploy src/gpt.rs src/blockdev"]
fn a_machine_boots_what_was_deployed_by_bios_and_uefi_from_disks_of_every_kind() {
    let world = World::new();
    let image = bootable(&world);
    publish(&world, &image, "web", "stable");
    let machine = Machine::new(&world);
    let own = machine.path("machine.yaml");
    std::fs::write(&own, "hostname: web-7\n").unwrap();
    let disk = machine.disk_with(300 << 20, b"");
    let base = world.path("repo").display().to_string();
    let own = ["--machine", own.to_str().unwrap()];
    machine.deploy(&base, &disk, &own).unwrap();
    let uefi = imgforge::host::tools::uefi(Arch::X86_64).unwrap();
    let firmware = format!(
        "if=pflash,readonly=on,format=raw,file={}",
        uefi.code.display()
    );
    let uefi = ["-drive", &firmware];
    for (words, said) in [
        (
            [&[], &["-device", "virtio-blk-pci,drive=d"][..]].concat(),
            "web-7 by BIOS from vda3, ",
        ),
        (
            [&[], &["-device", "ide-hd,drive=d"][..]].concat(),
            "web-7 by BIOS from sda3, ",
        ),
        (
            [&uefi[..], &["-device", "nvme,drive=d,serial=7"]].concat(),
            "web-7 by UEFI from nvme0n1p3, ",
        ),
    ] {
        let console = boot(&machine, &disk, &words);
        let size = console.split(&format!("toy: {said}")).nth(1);
        let size = size.and_then(|rest| rest.split(" MiB").next());
        let size: u32 = size.and_then(|size| size.parse().ok()).expect(&console);
        // The image's own has 64 MiB.
        assert!((250..296).contains(&size), "{console}");
    }
}
