//! The description of a machine, OVF 1.1, as VMware and VirtualBox read it.

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

/// A device: its fields, in the order of their names, as the schema of CIM wants them.
type Device = Vec<(&'static str, String)>;

fn devices(machine: &Machine<'_>, reader: Reader) -> Vec<Device> {
    let (cpus, memory) = (machine.cpus, machine.memory);
    let vmware = reader == Reader::Vmware;
    let text = |text: &str| text.to_owned();
    let units = |vmware_s: &str, virtualbox_s: &str| match vmware {
        true => vmware_s.to_owned(),
        false => virtualbox_s.to_owned(),
    };
    let controller = match vmware {
        true => ("SCSI controller 0", "lsilogic", "6"),
        false => ("SATA controller 0", "AHCI", "20"),
    };
    vec![
        vec![
            ("AllocationUnits", units("hertz * 10^6", "")),
            ("ElementName", format!("{cpus} virtual CPUs")),
            ("InstanceID", text("1")),
            ("ResourceType", text("3")),
            ("VirtualQuantity", cpus.to_string()),
        ],
        vec![
            ("AllocationUnits", units("byte * 2^20", "MegaBytes")),
            ("ElementName", format!("{memory} MB of memory")),
            ("InstanceID", text("2")),
            ("ResourceType", text("4")),
            ("VirtualQuantity", memory.to_string()),
        ],
        vec![
            ("Address", text("0")),
            ("ElementName", text(controller.0)),
            ("InstanceID", text("3")),
            ("ResourceSubType", text(controller.1)),
            ("ResourceType", text(controller.2)),
        ],
        vec![
            ("AddressOnParent", text("0")),
            ("ElementName", text("Hard disk 1")),
            ("HostResource", units("ovf:/disk/vmdisk1", "/disk/vmdisk1")),
            ("InstanceID", text("4")),
            ("Parent", text("3")),
            ("ResourceType", text("17")),
        ],
        vec![
            ("AddressOnParent", units("1", "")),
            ("AutomaticAllocation", text("true")),
            ("Connection", text("NAT")),
            ("ElementName", text("Network adapter 1")),
            ("InstanceID", text("5")),
            ("ResourceSubType", text("E1000")),
            ("ResourceType", text("10")),
        ],
    ]
}

/// VirtualBox shows a caption where VMware shows the name.
fn item(device: &Device, reader: Reader) -> String {
    let mut fields: Vec<(&str, &str)> = device
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let name = fields.iter().find(|(key, _)| *key == "ElementName");
    if let (Reader::Virtualbox, Some((_, name))) = (reader, name) {
        fields.push(("Caption", name));
        fields.sort_unstable();
    }
    let lines = fields
        .iter()
        .map(|(key, value)| format!("        <rasd:{key}>{value}</rasd:{key}>\n"));
    format!("      <Item>\n{}      </Item>\n", lines.collect::<String>())
}

/// The description.
pub(super) fn describe(machine: &Machine<'_>, reader: Reader) -> String {
    let (id, word) = system(machine.os);
    let (kind, firmware) = match (reader, machine.uefi) {
        (Reader::Vmware, true) => (
            "vmx-13",
            "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>\n",
        ),
        (Reader::Vmware, false) => ("vmx-13", ""),
        // Its firmware is the Vagrantfile's.
        (Reader::Virtualbox, _) => ("virtualbox-2.2", ""),
    };
    let items: String = devices(machine, reader)
        .iter()
        .map(|device| item(device, reader))
        .collect();
    let Machine { size, capacity, .. } = machine;
    let [name, title, disk] = [machine.name, machine.title, machine.disk].map(escape);
    let title = if title.is_empty() {
        name.clone()
    } else {
        title
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <References>
    <File ovf:href="{disk}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>The disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The networks</Info>
    <Network ovf:name="NAT">
      <Description>NAT</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>{title}</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{id}" vmw:osType="{word}">
      <Info>The operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>{kind}</vssd:VirtualSystemType>
      </System>
{items}{firmware}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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
