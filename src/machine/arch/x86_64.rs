//! 64-bit x86.

use super::{Kernels, Properties};

pub(super) const PROPERTIES: Properties = Properties {
    name: "x86_64",
    debian: "amd64",
    oci: "amd64",
    oci_variant: None,
    elf_machine: 0x3e,
    pe_machine: 0x8664,
    qemu: &["qemu-system-x86_64"],
    qemu_package: "qemu-system-x86",
    qemu_user: "qemu-x86_64",
    qemu_user_cpu: "qemu64",
    machine: "q35",
    machine_properties: "q35,hpet=off",
    features: &["acpi", "apic"],
    gic: None,
    hpet: true,
    panic_device: Some("isa"),
    video: "vga",
    serial_target: "isa-serial",
    seed_bus: "sata",
    pc: true,
    translated_cpu: "max",
    names_cpu: true,
    serial: "ttyS0",
    kernel: "vmlinuz",
    kernels: &[
        Kernels {
            distro: "debian",
            cloud: "linux-image-cloud-amd64",
            generic: "linux-image-amd64",
        },
        Kernels {
            distro: "ubuntu",
            cloud: "linux-image-virtual",
            generic: "linux-image-generic",
        },
    ],
    boot_loader: &["grub-pc-bin", "grub-efi-amd64-bin"],
    grub_bios: Some("i386-pc"),
    grub_efi: "x86_64-efi",
    efi_file: "BOOTX64.EFI",
    root_partition: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    libraries: "x86_64-linux-gnu",
    loader: "ld-linux-x86-64.so.2",
    // Debian and Ubuntu (new, old), Fedora and RHEL, Arch, SUSE.
    uefi: &[
        (
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
        ),
        (
            "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/OVMF/OVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        ),
        (
            "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
            "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
        ),
        (
            "/usr/share/qemu/ovmf-x86_64-code.bin",
            "/usr/share/qemu/ovmf-x86_64-vars.bin",
        ),
    ],
    uefi_in_one: "/usr/share/ovmf/OVMF.fd",
    u_boot: None,
    uefi_package: "ovmf",
};
