//! Targets of disks of another architecture than the host's, which the export sees by their programs.

use imgforge::machine::Arch;
use serde_json::Value;

use super::diskless::machine_on;
use super::{World, run, text};
use crate::phony::Phony;

/// A Debian of a few files for this architecture, with a kernel that has these modules.
fn debian_on(arch: Arch, modules: &[&str]) -> Phony {
    super::debian(modules).on(arch)
}

/// The whole ramdisk boots in the export's own gate, by QEMU's translator: kernel, the image's busybox,
/// fetch over HTTP, and the root as an overlay.
#[test]
#[ignore = "vm: src/targets/ramdisk src/machine src/host/confine.sh"]
fn a_machine_without_a_disk_boots_on_another_architecture() {
    let world = World::new();
    let machine = machine_on(Arch::Aarch64, &["virtio_net"]);
    // As Ubuntu has it: a kernel that cannot unpack itself.
    let boot = machine.path().join("boot");
    let kernel = std::fs::read_dir(&boot).unwrap().flatten();
    let kernel = kernel
        .map(|file| file.path())
        .find(|path| text(path).contains("vmlinuz"));
    let kernel = kernel.unwrap();
    let plain = std::fs::read(&kernel).unwrap();
    run("gzip", &["-1", text(&kernel)]);
    std::fs::rename(format!("{}.gz", text(&kernel)), &kernel).unwrap();
    let disk = machine.disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "ramdisk"]);
    let out = world.path("out");
    let made = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let manifest: Value = serde_json::from_str(&made("web.ramdisk.json")).unwrap();
    let usual = "console=tty0 console=ttyAMA0,115200 panic=60 root=ramdisk";
    assert_eq!(manifest["cmdline"], usual);
    for (script, kernel) in [
        ("web.grub.cfg", "web.vmlinuz"),
        ("web.boot.ipxe", "web.vmlinuz initrd=web.initrd"),
    ] {
        let line = format!("{kernel} {usual}");
        assert!(made(script).contains(&line), "{script}: {line}");
    }
    assert!(std::fs::read(out.join("web.vmlinuz")).unwrap() == plain);
    // Without a busybox of the image's own there is none that its machines run.
    let busybox = machine.path().join("usr/bin/busybox");
    std::fs::rename(&busybox, machine.path().join("usr/bin/sh.real")).unwrap();
    let disk = machine.disk(world.dir.path(), "none.raw");
    let said = world.export(&disk, &["-t", "ramdisk"]).exits(2).all();
    assert!(
        said.contains("a ramdisk of aarch64 needs a busybox"),
        "{said}"
    );
    assert!(said.contains("busybox-static"), "{said}");
}

/// Its shell runs in the appliance by QEMU's user mode, and skopeo reads the platform.
#[test]
#[ignore = "vm: src/targets/docker src/targets/wsl.rs src/host/foreign.rs"]
fn a_container_of_another_architecture_says_so_and_runs() {
    let world = World::new();
    let machine = debian_on(Arch::Aarch64, &["virtio_net"]);
    machine.file("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    let disk = machine.disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "docker", "-t", "wsl"]);
    let archive = world.path("out/web.oci.tar");
    let image = format!("oci-archive:{}", text(&archive));
    let config = run("skopeo", &["inspect", "--config", &image]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["variant"], "v8");
    let index = run("tar", &["-xOf", text(&archive), "index.json"]);
    let index: Value = serde_json::from_str(&index).unwrap();
    let platform = &index["manifests"][0]["platform"];
    let expected = serde_json::json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
    assert_eq!(*platform, expected);
    // A container of a shell that cannot run is still refused.
    machine.file(
        "usr/bin/busybox",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0",
    );
    let disk = machine.disk(world.dir.path(), "bad.raw");
    let said = world.export(&disk, &["-t", "docker"]).exits(4).all();
    assert!(said.contains("nothing runs in the container"), "{said}");
}

#[test]
fn what_another_architecture_cannot_have_is_refused_and_its_clouds_drivers_are_asked() {
    let world = World::new();
    let machine = debian_on(Arch::Aarch64, &["nvme", "ena", "virtio_scsi", "virtio_net"]);
    let disk = machine.disk(world.dir.path(), "web.raw");
    let said = world.export(&disk, &["-t", "ova"]).exits(2).all();
    assert!(said.contains("there is no `ova` for aarch64"), "{said}");
    let all = ["-t", "aws", "-t", "proxmox", "-t", "incus"];
    world.exports(&disk, &all);
    let made = world.path("out/web.aws.raw");
    run("cmp", &[text(&made), text(&disk)]);
    let script = std::fs::read_to_string(world.path("out/web.proxmox.sh")).unwrap();
    assert!(script.contains("--bios ovmf --machine virt"), "{script}");
    let metadata = world.path("out/web.incus.tar.xz");
    let metadata = run("tar", &["-xOf", text(&metadata), "metadata.yaml"]);
    assert!(
        metadata.contains("\"architecture\": \"aarch64\""),
        "{metadata}"
    );
    let disk = debian_on(Arch::Aarch64, &["virtio_net"]).disk(world.dir.path(), "bad.raw");
    let said = world.export(&disk, &["-t", "aws"]).exits(2).all();
    assert!(said.contains("6.12 lacks nvme, ena"), "{said}");
    assert!(said.contains("linux-image-arm64"), "{said}");
}
