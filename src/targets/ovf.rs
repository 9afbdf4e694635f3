//! The description of a machine, OVF 1.1, as VMware and VirtualBox read it.

use serde_json::json;

use crate::xml;

/// Who reads a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// ESXi, vSphere, Workstation, and VirtualBox' own import.
    Vmware,
    /// VirtualBox, by Vagrant.
    Virtualbox,
}

/// What a description tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine<'a> {
    pub(super) name: &'a str,
    /// One line for people.
    pub(super) title: &'a str,
    /// The distribution, as `debian`.
    pub(super) os: &'a str,
    /// Name of the disk's file.
    pub(super) disk: &'a str,
    /// Size of that file, in bytes.
    pub(super) size: u64,
    /// Size of the disk in it, in bytes.
    pub(super) capacity: u64,
    pub(super) cpus: u32,
    /// Memory in MiB.
    pub(super) memory: u64,
    pub(super) uefi: bool,
}

/// CIM's number of an operating system of 64 bits, and VMware's word.
fn system(os: &str) -> (u32, &'static str) {
    match os {
        "debian" => (96, "debian10_64Guest"),
        "ubuntu" => (94, "ubuntu64Guest"),
        "centos" | "rocky" | "almalinux" => (107, "centos8_64Guest"),
        "rhel" => (80, "rhel8_64Guest"),
        "fedora" => (101, "fedora64Guest"),
        _ => (101, "other4xLinux64Guest"),
    }
}

/// The description.
pub(super) fn describe(machine: &Machine<'_>, reader: Reader) -> String {
    let values = json!({
        "name": machine.name,
        "title": machine.title,
        "system": system(machine.os),
        "disk": machine.disk,
        "size": machine.size,
        "capacity": machine.capacity,
        "cpus": machine.cpus,
        "memory": machine.memory,
        "uefi": machine.uefi,
        "vmware": reader == Reader::Vmware,
    });
    xml::render(include_str!("ovf.xml"), values).expect("the template asks for these values")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine<'_> = Machine {
        name: "web",
        title: "Web & more",
        os: "debian",
        disk: "web-1-disk1.vmdk",
        size: 1000,
        capacity: 2 << 30,
        cpus: 2,
        memory: 1024,
        uefi: true,
    };

    #[test]
    fn the_description_is_stable() {
        insta::assert_snapshot!(describe(&MACHINE, Reader::Vmware));
    }

    #[test]
    fn virtualbox_has_a_controller_of_its_own_and_captions() {
        let both = [Reader::Vmware, Reader::Virtualbox].map(|reader| describe(&MACHINE, reader));
        let [vmware, virtualbox] = both.each_ref().map(|text| text.lines());
        let only: Vec<&str> = virtualbox
            .filter(|line| !vmware.clone().any(|other| other == *line))
            .map(str::trim)
            .collect();
        insta::assert_snapshot!(only.join("\n"));
    }
}
