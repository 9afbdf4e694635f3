//! What Vagrant reads in a box.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::recipe::types::VagrantProvider;
use crate::target::About;

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
    pub(super) uefi: bool,
    /// Whether VirtualBox's own folders work.
    pub(super) additions: bool,
}

/// The file that Vagrant cannot do without.
pub(super) fn metadata(machine: &Machine<'_>) -> Value {
    match machine.provider {
        VagrantProvider::Libvirt => json!({
            "provider": "libvirt",
            "format": "qcow2",
            "virtual_size": machine.size.div_ceil(1 << 30),
        }),
        VagrantProvider::Virtualbox => json!({"provider": "virtualbox"}),
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
            let firmware = match machine.uefi {
                true => {
                    "    libvirt.machine_type = \"q35\"\n    libvirt.loader = \"/usr/share/OVMF/OVMF_CODE.fd\"\n"
                }
                false => "",
            };
            format!(
                "  config.vm.provider :libvirt do |libvirt|\n    libvirt.disk_bus = \"virtio\"\n    \
                 libvirt.cpus = {cpus}\n    libvirt.memory = {memory}\n{firmware}  end\n"
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

/// An address of VirtualBox's own range that stays the same for an image.
fn mac(name: &str) -> String {
    format!(
        "080027{}",
        hex::encode_upper(&Sha256::digest(name.as_bytes())[..3])
    )
}

/// The description of a machine, in the form that VirtualBox writes and reads.
pub(super) fn ovf(machine: &Machine<'_>, disk: &str, bytes: u64) -> String {
    let Machine {
        size, cpus, memory, ..
    } = machine;
    // An image's name has no letters that XML would take for its own.
    let name = &machine.about.name;
    format!(
        r#"<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <References>
    <File ovf:id="file1" ovf:href="{disk}" ovf:size="{bytes}"/>
  </References>
  <DiskSection>
    <Info>The disks</Info>
    <Disk ovf:capacity="{size}" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The networks</Info>
    <Network ovf:name="NAT">
      <Description>NAT</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>{name}</Info>
    <OperatingSystemSection ovf:id="101">
      <Info>The operating system</Info>
      <Description>Linux26_64</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:Caption>{cpus} virtual CPUs</rasd:Caption>
        <rasd:ElementName>{cpus} virtual CPUs</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
        <rasd:Caption>{memory} MB of memory</rasd:Caption>
        <rasd:ElementName>{memory} MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Caption>sataController0</rasd:Caption>
        <rasd:ElementName>sataController0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>AHCI</rasd:ResourceSubType>
        <rasd:ResourceType>20</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:Caption>disk1</rasd:Caption>
        <rasd:ElementName>disk1</rasd:ElementName>
        <rasd:HostResource>/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Caption>Ethernet adapter on 'NAT'</rasd:Caption>
        <rasd:Connection>NAT</rasd:Connection>
        <rasd:ElementName>Ethernet adapter on 'NAT'</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
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
            uefi: true,
            additions: false,
        };
        let other = Machine {
            provider: VagrantProvider::Virtualbox,
            uefi: false,
            additions: true,
            ..machine
        };
        let mut all = String::new();
        for machine in [&machine, &other] {
            all += &format!(
                "{}\n{}\n{}",
                metadata(machine),
                info(machine),
                vagrantfile(machine)
            );
        }
        all += &ovf(&other, "box-disk001.vmdk", 1000);
        insta::assert_snapshot!(all);
    }
}
