//! What Vagrant reads in a box.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::VagrantProvider;
use crate::machine::Arch;
use crate::targets::{About, ovf};

/// What a box says of its machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine<'a> {
    pub(super) about: &'a About,
    pub(super) provider: VagrantProvider,
    /// Size of its disk, in bytes.
    pub(super) size: u64,
    pub(super) cpus: u32,
    /// Memory in MiB.
    pub(super) memory: u64,
    pub(super) arch: Arch,
    pub(super) uefi: bool,
    /// Whether VirtualBox's own folders work.
    pub(super) additions: bool,
}

/// The file that Vagrant cannot do without.
pub(super) fn metadata(machine: &Machine<'_>) -> Value {
    // Vagrant before 2.4 does not read the architecture.
    let architecture = machine.arch.debian;
    match machine.provider {
        VagrantProvider::Libvirt => json!({
            "provider": "libvirt",
            "architecture": architecture,
            "format": "qcow2",
            "virtual_size": machine.size.div_ceil(1 << 30),
        }),
        VagrantProvider::Virtualbox => {
            json!({"provider": "virtualbox", "architecture": architecture})
        }
    }
}

/// What `vagrant box list -i` shows.
pub(super) fn info(machine: &Machine<'_>) -> Value {
    let About {
        name,
        version,
        title,
        os,
        os_version,
        ..
    } = machine.about;
    let all = [
        ("name", name),
        ("version", version),
        ("description", title),
        ("os", os),
        ("os-version", os_version),
    ];
    let known = all.into_iter().filter(|(_, value)| !value.is_empty());
    known
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect()
}

/// The defaults of machines made from the box.
pub(super) fn vagrantfile(machine: &Machine<'_>) -> String {
    let Machine { cpus, memory, .. } = machine;
    let folder = match machine.additions {
        true => "",
        // The image has nothing that would mount a folder of the host.
        false => "  config.vm.synced_folder \".\", \"/vagrant\", type: \"rsync\"\n",
    };
    let own = match machine.provider {
        VagrantProvider::Libvirt => {
            // vagrant-libvirt starts a `loader` without `nvram` by QEMU's `-bios`, which builds in two
            // files do not survive; and variables in a file of the box's host would be shared by
            // all its machines.
            let firmware = match machine.uefi {
                true => format!(
                    "    libvirt.machine_type = \"{}\"\n    libvirt.loader = \"{}\"\n",
                    machine.arch.machine, machine.arch.uefi_in_one
                ),
                false => String::new(),
            };
            let hardware = match machine.arch.pc {
                true => String::new(),
                false => unlike_a_pc(machine.arch),
            };
            format!(
                "  config.vm.provider :libvirt do |libvirt|\n    libvirt.disk_bus = \"virtio\"\n    \
                 libvirt.cpus = {cpus}\n    libvirt.memory = {memory}\n{firmware}{hardware}  end\n"
            )
        }
        VagrantProvider::Virtualbox => {
            let firmware = match machine.uefi {
                true => "    machine.customize [\"modifyvm\", :id, \"--firmware\", \"efi\"]\n",
                false => "",
            };
            format!(
                "  config.vm.base_mac = \"{}\"\n  config.vm.provider :virtualbox do |machine|\n    \
                 machine.cpus = {cpus}\n    machine.memory = {memory}\n{firmware}  end\n",
                mac(&machine.about.stem())
            )
        }
    };
    format!("Vagrant.configure(\"2\") do |config|\n{folder}{own}end\n")
}

/// What vagrant-libvirt takes for a PC's if it is not told otherwise: a mouse by PS/2, Cirrus' screen,
/// an APIC. The processor is the host's, or one that QEMU's translator plays.
fn unlike_a_pc(arch: Arch) -> String {
    let gic = arch
        .gic
        .map(|version| format!(", \"gic version='{version}'\""))
        .unwrap_or_default();
    let features = arch.features.join("\", \"");
    let (name, video, cpu) = (arch.as_str(), arch.video, arch.translated_cpu);
    format!(
        "    libvirt.machine_arch = \"{name}\"\n    libvirt.features = [\"{features}\"{gic}]\n    \
         libvirt.input type: \"keyboard\", bus: \"virtio\"\n    libvirt.video_type = \"{video}\"\n    \
         if RUBY_PLATFORM.start_with?(\"{name}\")\n      libvirt.cpu_mode = \"host-passthrough\"\n    \
         else\n      libvirt.driver = \"qemu\"\n      libvirt.cpu_mode = \"custom\"\n      \
         libvirt.cpu_model = \"{cpu}\"\n    end\n"
    )
}

/// An address of VirtualBox's own range that stays the same for an image.
fn mac(name: &str) -> String {
    format!(
        "080027{}",
        hex::encode_upper(&Sha256::digest(name.as_bytes())[..3])
    )
}

/// The description of VirtualBox' machine, whose disk is this file of `bytes`.
pub(super) fn description(machine: &Machine<'_>, disk: &str, bytes: u64) -> String {
    let About {
        name, title, os, ..
    } = machine.about;
    let described = ovf::Machine {
        name,
        title,
        os,
        disk,
        size: bytes,
        capacity: machine.size,
        cpus: machine.cpus,
        memory: machine.memory,
        uefi: machine.uefi,
    };
    ovf::describe(&described, ovf::Reader::Virtualbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_says_what_its_provider_reads() {
        let about = About {
            name: "web".into(),
            version: "0123".into(),
            title: "Web".into(),
            os: "debian".into(),
            os_version: "13".into(),
            created: 0,
        };
        let machine = Machine {
            about: &about,
            provider: VagrantProvider::Libvirt,
            size: (3 << 30) + 1,
            cpus: 2,
            memory: 1024,
            arch: Arch::X86_64,
            uefi: true,
            additions: false,
        };
        let other = Machine {
            provider: VagrantProvider::Virtualbox,
            uefi: false,
            additions: true,
            ..machine
        };
        let arm = Machine {
            arch: Arch::Aarch64,
            ..machine
        };
        let mut all = String::new();
        for machine in [&machine, &other, &arm] {
            all += &format!(
                "{}\n{}\n{}",
                metadata(machine),
                info(machine),
                vagrantfile(machine)
            );
        }
        insta::assert_snapshot!(all);
    }
}
