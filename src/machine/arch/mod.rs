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

/// What is so for one architecture.
#[derive(Debug)]
struct Facts {
    /// The kernel's name, which libvirt, QEMU, libosinfo, Red Hat, OpenStack, Incus and the clients
    /// of virt-builder use as well.
    name: &'static str,
    /// Debian's name, which Vagrant and simplestreams use as well.
    debian: &'static str,
    /// OCI's name, which is Go's, and its variant.
    oci: &'static str,
    oci_variant: Option<&'static str>,
    /// `e_machine` of its programs, as in elf(5).
    elf_machine: u8,
    /// `Machine` of its programs for UEFI, as the PE format has it.
    pe_machine: u16,
    /// QEMU's program, and Debian's package with it.
    qemu: &'static str,
    qemu_package: &'static str,
    /// QEMU's program that runs another architecture's programs, and what `binfmt_misc` calls it.
    qemu_user: &'static str,
    /// The processor that it plays: what every machine of the architecture has, so that no program depends
    /// on QEMU's version.
    qemu_user_cpu: &'static str,
    /// QEMU's machine.
    machine: &'static str,
    /// Its properties where no libvirt starts it.
    machine_properties: &'static str,
    /// Names of libvirt's `<features>`.
    features: &'static [&'static str],
    /// The version of the machine's interrupt controller, where there are several.
    gic: Option<&'static str>,
    /// Whether the machine has an HPET, which is left out.
    hpet: bool,
    /// libvirt's model of a device that tells of a kernel's panic.
    panic_device: Option<&'static str>,
    /// libvirt's model of a screen.
    video: &'static str,
    /// libvirt's type of the first serial port.
    serial_target: &'static str,
    /// The bus of the CD-ROM drive with an installer's answers.
    seed_bus: &'static str,
    /// Whether it is what VirtualBox runs, what an OVF describes, and whose code xz has a filter for
    /// that all its readers know.
    pc: bool,
    /// The processor that QEMU's translator plays, in QEMU's words.
    translated_cpu: &'static str,
    /// Whether libvirt is told the processor: of some architectures older ones know none.
    names_cpu: bool,
    /// The kernel's name of the first serial port.
    serial: &'static str,
    /// What the files of kernels in `/boot` are called, before the version.
    kernel: &'static str,
    /// Packages with kernels.
    kernels: &'static [Kernels],
    /// Packages of the Debian family with GRUB's files for each platform.
    boot_loader: &'static [&'static str],
    /// GRUB's platform by BIOS, where machines have one, and by UEFI.
    grub_bios: Option<&'static str>,
    grub_efi: &'static str,
    /// The file that UEFI starts from a disk that it does not know.
    efi_file: &'static str,
    /// The type of a root partition in the Discoverable Partitions Specification.
    root_partition: &'static str,
    /// The directory of libraries in `/usr/lib` of the Debian family, and the dynamic loader in it.
    libraries: &'static str,
    loader: &'static str,
    /// UEFI's code and template of the variables, without secure boot.
    uefi: &'static [(&'static str, &'static str)],
    /// UEFI's code and variables in one file.
    uefi_in_one: &'static str,
    /// U-Boot, which has enough of UEFI to start an image.
    u_boot: Option<&'static str>,
    /// Debian's package with UEFI.
    uefi_package: &'static str,
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

            const fn facts(self) -> &'static Facts {
                match self {
                    $(Arch::$name => &$file::FACTS,)+
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

    /// Debian's name of it, which Vagrant and simplestreams use as well.
    pub const fn debian(self) -> &'static str {
        self.facts().debian
    }

    /// The name of it in container images.
    pub const fn oci(self) -> &'static str {
        self.facts().oci
    }

    /// The variant of it in container images, where there are several.
    pub const fn oci_variant(self) -> Option<&'static str> {
        self.facts().oci_variant
    }

    /// `e_machine` of its programs, as in elf(5).
    pub const fn elf_machine(self) -> u8 {
        self.facts().elf_machine
    }

    /// QEMU's program, alone in a list.
    pub const fn qemu(self) -> &'static [&'static str] {
        std::slice::from_ref(&self.facts().qemu)
    }

    /// Debian's package with QEMU's program.
    pub const fn qemu_package(self) -> &'static str {
        self.facts().qemu_package
    }

    /// QEMU's program that runs another architecture's programs, which may end in `-static`.
    pub const fn qemu_user(self) -> &'static str {
        self.facts().qemu_user
    }

    /// The processor that it plays, in its words.
    pub const fn qemu_user_cpu(self) -> &'static str {
        self.facts().qemu_user_cpu
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

    /// libvirt's model of the device that tells of a kernel's panic.
    pub const fn panic_device(self) -> Option<&'static str> {
        self.facts().panic_device
    }

    /// libvirt's model of the screen.
    pub const fn video(self) -> &'static str {
        self.facts().video
    }

    /// The version of the machine's interrupt controller.
    pub const fn gic(self) -> Option<&'static str> {
        self.facts().gic
    }

    /// libvirt's type of the serial console.
    pub const fn serial_target(self) -> &'static str {
        self.facts().serial_target
    }

    /// The bus of the drive with an installer's answers.
    pub const fn seed_bus(self) -> &'static str {
        self.facts().seed_bus
    }

    /// Whether it is what VirtualBox runs, what an OVF describes, and whose code xz's filter is for.
    pub const fn is_pc(self) -> bool {
        self.facts().pc
    }

    /// The processor that QEMU's translator plays, in QEMU's words.
    pub const fn translated_cpu(self) -> &'static str {
        self.facts().translated_cpu
    }

    /// Whether libvirt is told the processor.
    pub const fn names_cpu(self) -> bool {
        self.facts().names_cpu
    }

    /// The kernel's name of the serial console, such as `ttyS0`.
    pub const fn serial(self) -> &'static str {
        self.facts().serial
    }

    /// The kernel's file in `/boot`: this, a hyphen and the version.
    pub const fn kernel_file(self) -> &'static str {
        self.facts().kernel
    }

    /// The package of a distribution with the kernel for virtual machines.
    pub fn cloud_kernel(self, distro: &str) -> Option<&'static str> {
        let mut kernels = self.facts().kernels.iter();
        let known = kernels.find(|kernels| kernels.distro == distro);
        known.map(|kernels| kernels.cloud)
    }

    /// The packages with kernels for any machine: Debian's, and those of others with their names.
    pub const fn generic_kernel(self) -> &'static str {
        self.facts().kernels[0].generic
    }

    /// Packages of the Debian family with GRUB's files.
    pub const fn boot_loader_packages(self) -> &'static [&'static str] {
        self.facts().boot_loader
    }

    /// Whether its machines can have a BIOS.
    pub const fn has_bios(self) -> bool {
        self.facts().grub_bios.is_some()
    }

    /// GRUB's platform by BIOS.
    pub const fn grub_bios(self) -> Option<&'static str> {
        self.facts().grub_bios
    }

    /// GRUB's platform by UEFI.
    pub const fn grub_efi(self) -> &'static str {
        self.facts().grub_efi
    }

    /// The file in `EFI/BOOT` that UEFI starts from a disk that it does not know.
    pub const fn efi_file(self) -> &'static str {
        self.facts().efi_file
    }

    /// The type of its root partition in the Discoverable Partitions Specification: systemd's programs
    /// find it by that.
    pub const fn root_partition(self) -> &'static str {
        self.facts().root_partition
    }

    /// The directory of libraries in `/usr/lib` of the Debian family.
    pub const fn libraries(self) -> &'static str {
        self.facts().libraries
    }

    /// The dynamic loader in that directory.
    pub const fn loader(self) -> &'static str {
        self.facts().loader
    }

    /// Where hosts have UEFI's code and the template of its variables.
    pub(super) const fn uefi_files(self) -> &'static [(&'static str, &'static str)] {
        self.facts().uefi
    }

    /// Where Debian and Ubuntu have UEFI's code and variables in one file.
    pub const fn uefi_in_one_file(self) -> &'static str {
        self.facts().uefi_in_one
    }

    /// Where hosts without the others have U-Boot.
    pub(super) const fn u_boot(self) -> Option<&'static str> {
        self.facts().u_boot
    }

    /// Debian's package with UEFI.
    pub const fn uefi_package(self) -> &'static str {
        self.facts().uefi_package
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translated_programs_see_a_processor_that_does_not_change_with_qemu() {
        for arch in Arch::ALL {
            let cpu = arch.qemu_user_cpu();
            assert!(!["max", "host", "base"].contains(&cpu), "{arch:?}: {cpu}");
        }
    }

    #[test]
    fn a_recipe_names_an_architecture_as_the_kernel_does() {
        for arch in Arch::ALL {
            assert_eq!(serde_json::to_value(arch).unwrap(), arch.as_str());
            assert_eq!(Arch::named(arch.as_str()), Some(*arch));
            assert_eq!(debian_name(arch.as_str()), arch.debian());
        }
        assert!(is_default(Arch::default().as_str()));
        assert_eq!(Arch::named("arm64"), None);
    }
}
