//! Processor architectures: everything that differs between them, in every vocabulary. One file each.
//!
//! One more is its file and a line of [`architectures`].

mod aarch64;
mod kernel;
mod names;
mod riscv64;
mod x86_64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use kernel::KERNEL_HEAD;
pub use names::{canonical, debian_name, is_default, misspelled};

/// What is so for one architecture; an [`Arch`] derefs to its own.
#[derive(Debug)]
pub struct Properties {
    /// The kernel's name, which libvirt, QEMU, libosinfo, Red Hat, OpenStack, Incus and the clients
    /// of virt-builder use as well.
    name: &'static str,
    /// Debian's name, which Vagrant and simplestreams use as well.
    pub debian: &'static str,
    /// OCI's name, which is Go's.
    pub oci: &'static str,
    /// The variant of it in container images, where there are several.
    pub oci_variant: Option<&'static str>,
    /// `e_machine` of its programs, as in elf(5).
    pub elf_machine: u8,
    /// `Machine` of its programs for UEFI, as the PE format has it.
    pe_machine: u16,
    /// QEMU's program, alone in a list.
    pub qemu: &'static [&'static str],
    /// Debian's package with QEMU's program.
    pub qemu_package: &'static str,
    /// QEMU's program that runs another architecture's programs, which may end in `-static`, and what
    /// `binfmt_misc` calls it.
    pub qemu_user: &'static str,
    /// The processor that it plays: what every machine of the architecture has, so that no program depends
    /// on QEMU's version.
    pub qemu_user_cpu: &'static str,
    /// The type of its machines, in the words of QEMU, libvirt, Proxmox and Glance.
    pub machine: &'static str,
    /// The value of QEMU's `-machine` where no libvirt starts it.
    pub machine_properties: &'static str,
    /// Names of libvirt's `<features>`.
    pub features: &'static [&'static str],
    /// The version of the machine's interrupt controller, where there are several.
    pub gic: Option<&'static str>,
    /// Whether the machine has an HPET, which is left out.
    pub hpet: bool,
    /// libvirt's model of a device that tells of a kernel's panic.
    pub panic_device: Option<&'static str>,
    /// libvirt's model of a screen.
    pub video: &'static str,
    /// libvirt's type of the first serial port.
    pub serial_target: &'static str,
    /// The bus of the CD-ROM drive with an installer's answers.
    pub seed_bus: &'static str,
    /// Whether it is what VirtualBox runs, what an OVF describes, and whose code xz has a filter for
    /// that all its readers know.
    pub pc: bool,
    /// The processor that QEMU's translator plays, in QEMU's words.
    pub translated_cpu: &'static str,
    /// Whether libvirt is told the processor: of some architectures older ones know none.
    pub names_cpu: bool,
    /// The kernel's name of the first serial port.
    pub serial: &'static str,
    /// What the files of kernels in `/boot` are called, before the version.
    pub kernel: &'static str,
    /// Packages with kernels.
    kernels: &'static [Kernels],
    /// Packages of the Debian family with GRUB's files for each platform.
    pub boot_loader: &'static [&'static str],
    /// GRUB's platform by BIOS, where machines have one.
    pub grub_bios: Option<&'static str>,
    /// GRUB's platform by UEFI.
    pub grub_efi: &'static str,
    /// The file in `EFI/BOOT` that UEFI starts from a disk that it does not know.
    pub efi_file: &'static str,
    /// The type of a root partition in the Discoverable Partitions Specification: systemd's programs
    /// find it by that.
    pub root_partition: &'static str,
    /// The directory of libraries in `/usr/lib` of the Debian family.
    pub libraries: &'static str,
    /// The dynamic loader in that directory.
    pub loader: &'static str,
    /// UEFI's code and template of the variables, without secure boot.
    pub(super) uefi: &'static [(&'static str, &'static str)],
    /// UEFI's code and variables in one file.
    pub uefi_in_one: &'static str,
    /// U-Boot, which has enough of UEFI to start an image.
    pub(super) u_boot: Option<&'static str>,
    /// Debian's package with UEFI.
    pub uefi_package: &'static str,
}

/// A distribution's packages with kernels.
#[derive(Debug)]
struct Kernels {
    /// `ID` of os-release.
    distro: &'static str,
    /// The kernel for virtual machines.
    cloud: &'static str,
    /// The kernel for any machine.
    generic: &'static str,
}

/// Makes [`Arch`] of the files.
macro_rules! architectures {
    ($($(#[$meta:meta])* $name:ident = $file:ident;)+) => {
        /// CPU architectures that imgforge builds for.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Arch {
            $($(#[$meta])* $name,)+
        }

        impl Arch {
            /// Every one.
            pub const ALL: &[Arch] = &[$(Arch::$name),+];

            const fn facts(self) -> &'static Properties {
                match self {
                    $(Arch::$name => &$file::PROPERTIES,)+
                }
            }
        }
    };
}

architectures! {
    /// 64-bit x86, `amd64` in Debian's words.
    #[default]
    X86_64 = x86_64;
    /// 64-bit ARM, `arm64` in Debian's words; its machines have UEFI only.
    Aarch64 = aarch64;
    /// 64-bit RISC-V; its machines have UEFI only, which Debian 12 has as U-Boot.
    Riscv64 = riscv64;
}

impl Arch {
    /// What a recipe that names none is for.
    pub const DEFAULT: Arch = Arch::X86_64;

    /// The kernel's name of it, which libvirt, QEMU, Red Hat, OpenStack, Incus and repositories use.
    pub const fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// The architecture that the kernel calls so.
    pub fn named(name: &str) -> Option<Arch> {
        let mut all = Self::ALL.iter();
        all.find(|arch| arch.as_str() == name).copied()
    }

    /// Whether this host's processors do not run its programs.
    pub fn is_foreign(self) -> bool {
        self.as_str() != std::env::consts::ARCH
    }

    /// The package of a distribution with the kernel for virtual machines.
    pub fn cloud_kernel(self, distro: &str) -> Option<&'static str> {
        let mut kernels = self.kernels.iter();
        let known = kernels.find(|kernels| kernels.distro == distro);
        known.map(|kernels| kernels.cloud)
    }

    /// The packages with kernels for any machine: Debian's, and those of others with their names.
    pub const fn generic_kernel(self) -> &'static str {
        self.facts().kernels[0].generic
    }

    /// Whether its machines can have a BIOS.
    pub const fn has_bios(self) -> bool {
        self.facts().grub_bios.is_some()
    }
}

impl std::ops::Deref for Arch {
    type Target = Properties;

    fn deref(&self) -> &Properties {
        self.facts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translated_programs_see_a_processor_that_does_not_change_with_qemu() {
        for arch in Arch::ALL {
            let cpu = arch.qemu_user_cpu;
            assert!(!["max", "host", "base"].contains(&cpu), "{arch:?}: {cpu}");
        }
    }

    #[test]
    fn a_recipe_names_an_architecture_as_the_kernel_does() {
        for arch in Arch::ALL {
            assert_eq!(serde_json::to_value(arch).unwrap(), arch.as_str());
            assert_eq!(Arch::named(arch.as_str()), Some(*arch));
            assert_eq!(debian_name(arch.as_str()), arch.debian);
        }
        assert!(is_default(Arch::default().as_str()));
        assert_eq!(Arch::named("arm64"), None);
    }
}
