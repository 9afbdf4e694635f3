//! Processor architectures: everything that differs between them, in every vocabulary.
//!
//! One more is a variant of [`Arch`], its [`Facts`], and an arm of [`Arch::facts`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// CPU architectures that imgforge builds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit x86, `amd64` in Debian's words.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
}

/// What is so for one architecture.
#[derive(Debug)]
struct Facts {
    /// The kernel's name, which libvirt, QEMU, libosinfo, Red Hat, OpenStack, Incus and the clients
    /// of virt-builder use as well.
    name: &'static str,
    /// OCI's name, which is Go's.
    oci: &'static str,
    /// QEMU's program, and Debian's package with it.
    qemu: [&'static str; 2],
    /// QEMU's machine.
    machine: &'static str,
    /// Its properties where no libvirt starts it.
    machine_properties: &'static str,
    /// Names of libvirt's `<features>`.
    features: &'static [&'static str],
    /// Whether the machine has an HPET, which is left out.
    hpet: bool,
    /// The processor that QEMU's translator plays, in QEMU's words.
    translated_cpu: &'static str,
    /// The kernel's name of the first serial port.
    serial: &'static str,
    /// What the files of kernels in `/boot` are called, before the version.
    kernel: &'static str,
    /// Packages of the Debian family with GRUB's files for each platform.
    boot_loader: &'static [&'static str],
    /// Package of Debian with the kernel for any machine.
    generic_kernel: &'static str,
    /// GRUB's platform by UEFI.
    grub_efi: &'static str,
    /// The file that UEFI starts from a disk that it does not know.
    efi_file: &'static str,
    /// UEFI's code and template of the variables, without secure boot.
    uefi: &'static [(&'static str, &'static str)],
    /// UEFI's code and variables in one file.
    uefi_in_one: &'static str,
}

const X86_64: Facts = Facts {
    name: "x86_64",
    oci: "amd64",
    qemu: ["qemu-system-x86_64", "qemu-system-x86"],
    machine: "q35",
    machine_properties: "q35,hpet=off",
    features: &["acpi", "apic"],
    hpet: true,
    translated_cpu: "max",
    serial: "ttyS0",
    kernel: "vmlinuz",
    boot_loader: &["grub-pc-bin", "grub-efi-amd64-bin"],
    generic_kernel: "linux-image-amd64",
    grub_efi: "x86_64-efi",
    efi_file: "BOOTX64.EFI",
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
};

impl Arch {
    /// What a recipe that names none is for.
    pub const DEFAULT: Arch = Arch::X86_64;

    const fn facts(self) -> &'static Facts {
        match self {
            Arch::X86_64 => &X86_64,
        }
    }

    /// The kernel's name of it, which libvirt, QEMU, Red Hat, OpenStack, Incus and repositories use.
    pub const fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// Debian's name of it, which Vagrant and simplestreams use as well.
    pub fn debian(self) -> &'static str {
        debian_name(self.as_str())
    }

    /// The name of it in container images.
    pub const fn oci(self) -> &'static str {
        self.facts().oci
    }

    /// QEMU's program.
    pub const fn qemu(self) -> &'static str {
        self.facts().qemu[0]
    }

    /// Debian's package with QEMU's program.
    pub const fn qemu_package(self) -> &'static str {
        self.facts().qemu[1]
    }

    /// The type of its machines, in the words of QEMU, libvirt, Proxmox and Glance.
    pub const fn machine(self) -> &'static str {
        self.facts().machine
    }

    /// The value of QEMU's `-machine`.
    pub const fn qemu_machine(self) -> &'static str {
        self.facts().machine_properties
    }

    /// The names of libvirt's `<features>`.
    pub const fn features(self) -> &'static [&'static str] {
        self.facts().features
    }

    /// Whether libvirt is told to leave out the machine's HPET.
    pub const fn has_hpet(self) -> bool {
        self.facts().hpet
    }

    /// The processor that QEMU's translator plays, in QEMU's words.
    pub const fn translated_cpu(self) -> &'static str {
        self.facts().translated_cpu
    }

    /// The kernel's name of the serial console, such as `ttyS0`.
    pub const fn serial(self) -> &'static str {
        self.facts().serial
    }

    /// The kernel's file in `/boot`: this, a hyphen and the version.
    pub const fn kernel_file(self) -> &'static str {
        self.facts().kernel
    }

    /// Packages of the Debian family with GRUB's files.
    pub const fn boot_loader_packages(self) -> &'static [&'static str] {
        self.facts().boot_loader
    }

    /// Debian's package with the kernel for any machine.
    pub const fn generic_kernel(self) -> &'static str {
        self.facts().generic_kernel
    }

    /// GRUB's platform by UEFI.
    pub const fn grub_efi(self) -> &'static str {
        self.facts().grub_efi
    }

    /// The file in `EFI/BOOT` that UEFI starts from a disk that it does not know.
    pub const fn efi_file(self) -> &'static str {
        self.facts().efi_file
    }

    /// Where hosts have UEFI's code and the template of its variables.
    pub(super) const fn uefi_files(self) -> &'static [(&'static str, &'static str)] {
        self.facts().uefi
    }

    /// Where Debian and Ubuntu have UEFI's code and variables in one file.
    pub const fn uefi_in_one_file(self) -> &'static str {
        self.facts().uefi_in_one
    }
}

/// Names of architectures, which others' images may have as well: the kernel's, Debian's, and older
/// or other ones that clients of virt-builder take for it.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("x86_64", "amd64", &["amd64"]),
    ("aarch64", "arm64", &[]),
    ("i386", "i386", &["i486", "i586", "i686"]),
    ("ppc", "powerpc", &["powerpc"]),
    ("ppc64", "ppc64", &["powerpc64"]),
    ("ppc64le", "ppc64el", &["powerpc64le"]),
];

/// Brings the spellings of an architecture together as clients of virt-builder do, which do not
/// know Debian's name of every one.
pub fn canonical(arch: &str) -> &str {
    let known = NAMES.iter().find(|(.., others)| others.contains(&arch));
    known.map_or(arch, |(name, ..)| name)
}

/// The kernel's name of an architecture, where `arch` is Debian's name and clients of virt-builder
/// do not know that one.
pub fn misspelled(arch: &str) -> Option<&'static str> {
    let wrong = |(name, debian, _): &&(&'static str, &str, &[&str])| {
        *debian == arch && *name != arch && canonical(arch) == arch
    };
    NAMES.iter().find(wrong).map(|(name, ..)| *name)
}

/// Debian's name of an architecture that the kernel calls `arch`.
pub fn debian_name(arch: &str) -> &str {
    let known = NAMES.iter().find(|(name, ..)| *name == arch);
    known.map_or(arch, |(_, debian, _)| debian)
}

/// Whether `arch` is the one that need not be named.
pub fn is_default(arch: &str) -> bool {
    arch == Arch::default().as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vocabulary_has_its_own_name_of_an_architecture() {
        assert_eq!(debian_name("x86_64"), "amd64");
        assert_eq!(debian_name("aarch64"), "arm64");
        assert_eq!(debian_name("s390x"), "s390x");
        assert_eq!(canonical("i686"), "i386");
        assert_eq!(canonical("amd64"), "x86_64");
        assert_eq!(canonical("arm64"), "arm64");
        assert_eq!(misspelled("arm64"), Some("aarch64"));
        assert_eq!(misspelled("amd64"), None);
        assert_eq!(misspelled("x86_64"), None);
    }

    #[test]
    fn a_recipe_names_an_architecture_as_the_kernel_does() {
        let arch = Arch::default();
        assert_eq!(serde_json::to_value(arch).unwrap(), arch.as_str());
        assert!(is_default(arch.as_str()));
    }
}
