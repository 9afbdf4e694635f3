//! 64-bit ARM, on QEMU's `virt` machine.

use super::{Kernels, Properties};

/// ARMv8.0, which distributions are made for, in QEMU's words and libvirt's. `max` signs pointers (PAC),
/// which before QEMU 10.0 takes several times as long as all else.
const CPU: &str = "cortex-a57";

pub(super) const PROPERTIES: Properties = Properties {
    name: "aarch64",
    debian: "arm64",
    oci: "arm64",
    // What every 64-bit ARM processor has, and what registries list.
    oci_variant: Some("v8"),
    elf_machine: 0xb7,
    pe_machine: 0xaa64,
    qemu: &["qemu-system-aarch64"],
    qemu_package: "qemu-system-arm",
    qemu_user: "qemu-aarch64",
    qemu_user_cpu: CPU,
    machine: "virt",
    machine_properties: "virt,gic-version=3",
    features: &["acpi"],
    // The older one has 8 processors at most.
    gic: Some("3"),
    hpet: false,
    // libvirt before 9.1 has none for this machine; a panic is read on the console.
    panic_device: None,
    video: "virtio",
    serial_target: "system-serial",
    seed_bus: "scsi",
    pc: false,
    translated_cpu: CPU,
    names_cpu: true,
    serial: "ttyAMA0",
    kernel: "vmlinuz",
    kernels: &[
        Kernels {
            distro: "debian",
            cloud: "linux-image-cloud-arm64",
            generic: "linux-image-arm64",
        },
        Kernels {
            distro: "ubuntu",
            cloud: "linux-image-virtual",
            generic: "linux-image-generic",
        },
    ],
    boot_loader: &["grub-efi-arm64-bin"],
    grub_bios: None,
    grub_efi: "arm64-efi",
    efi_file: "BOOTAA64.EFI",
    root_partition: "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    libraries: "aarch64-linux-gnu",
    loader: "ld-linux-aarch64.so.1",
    // Debian and Ubuntu, Fedora and RHEL, Arch, SUSE.
    uefi: &[
        (
            "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
            "/usr/share/AAVMF/AAVMF_VARS.fd",
        ),
        (
            "/usr/share/AAVMF/AAVMF_CODE.fd",
            "/usr/share/AAVMF/AAVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/aarch64/QEMU_EFI-silent-pflash.raw",
            "/usr/share/edk2/aarch64/vars-template-pflash.raw",
        ),
        (
            "/usr/share/edk2/aarch64/QEMU_CODE.fd",
            "/usr/share/edk2/aarch64/QEMU_VARS.fd",
        ),
        (
            "/usr/share/qemu/aavmf-aarch64-code.bin",
            "/usr/share/qemu/aavmf-aarch64-vars.bin",
        ),
    ],
    uefi_in_one: "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    u_boot: None,
    uefi_package: "qemu-efi-aarch64",
};
