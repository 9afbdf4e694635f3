//! 64-bit RISC-V, on QEMU's `virt` machine.

use super::{Kernels, Properties};

pub(super) const PROPERTIES: Properties = Properties {
    name: "riscv64",
    debian: "riscv64",
    oci: "riscv64",
    oci_variant: None,
    elf_machine: 0xf3,
    pe_machine: 0x5064,
    qemu: &["qemu-system-riscv64"],
    qemu_package: "qemu-system-riscv",
    qemu_user: "qemu-riscv64",
    qemu_user_cpu: "rv64",
    machine: "virt",
    machine_properties: "virt",
    // Its kernels read QEMU's device tree, also below UEFI.
    features: &[],
    gic: None,
    hpet: false,
    panic_device: None,
    video: "virtio",
    serial_target: "system-serial",
    seed_bus: "scsi",
    pc: false,
    // What libvirt starts that is told none: before 9.2 it has no words for these processors.
    translated_cpu: "rv64",
    names_cpu: false,
    serial: "ttyS0",
    kernel: "vmlinux",
    kernels: &[
        Kernels {
            distro: "debian",
            cloud: "linux-image-riscv64",
            generic: "linux-image-riscv64",
        },
        Kernels {
            distro: "ubuntu",
            cloud: "linux-image-virtual",
            generic: "linux-image-generic",
        },
    ],
    boot_loader: &["grub-efi-riscv64-bin"],
    grub_bios: None,
    grub_efi: "riscv64-efi",
    efi_file: "BOOTRISCV64.EFI",
    root_partition: "72EC70A6-CF74-40E6-BD49-4BDA08E8F224",
    libraries: "riscv64-linux-gnu",
    loader: "ld-linux-riscv64-lp64d.so.1",
    // Debian and Ubuntu, Fedora.
    uefi: &[
        (
            "/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd",
            "/usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd",
        ),
        (
            "/usr/share/edk2/riscv/RISCV_VIRT_CODE.fd",
            "/usr/share/edk2/riscv/RISCV_VIRT_VARS.fd",
        ),
    ],
    uefi_in_one: "/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf",
    u_boot: Some("/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf"),
    // Debian 13 has qemu-efi-riscv64 as well.
    uefi_package: "u-boot-qemu opensbi",
};
