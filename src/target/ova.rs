//! A whole machine in one file: a description, the digests, a disk, in this order.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::json;

use super::convert::{convert, info};
use super::vmdk::FORM;
use super::{Made, Part, Site, Target, proven};
use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::tools::Tool;
use crate::recipe::types::{Ova, Targets};
use crate::units::Size;

/// The target.
pub(super) const TARGET: Target = Target {
    name: "ova",
    about: "a whole machine for VMware and VirtualBox",
    version: 1,
    options: |targets| targets.ova.as_ref().map(|options| json!(options)),
    alone: || Targets {
        ova: Some(Ova {}),
        ..Targets::default()
    },
    tools: &[Tool::QemuImg],
    // What the description promises.
    modules: &[&["mptspi"], &["e1000"]],
    reads: true,
    memory: Size::mib(256),
    steps: |_| vec![],
    trial: None,
    make,
};

fn make(site: &Site<'_>, _: &Targets) -> Result<Vec<Made>> {
    let stem = site.about.stem();
    let file = site.file("ova");
    let (ovf, list, disk) = (
        format!("{stem}.ovf"),
        format!("{stem}.mf"),
        format!("{stem}-disk1.vmdk"),
    );
    let mut proof = convert(site, None, FORM, &disk)?;
    let vmdk = site.dir.join(&disk);
    let size = vmdk.metadata().doing(|| format!("reading {disk}"))?.len();
    let machine = Machine {
        name: &site.about.name,
        title: &site.about.title,
        os: &site.about.os,
        disk: &disk,
        size,
        capacity: info(&vmdk, FORM.format)?.virtual_size,
        cpus: site.machine.cpus,
        memory: site.machine.memory.as_bytes() >> 20,
        uefi: site.uefi(),
    };
    let text = describe(&machine);
    let path = site.dir.join(&ovf);
    std::fs::write(&path, &text).doing(|| format!("writing {ovf}"))?;
    let digests = [&ovf, &disk].map(|name| {
        let sum = digest::file_sha256(&site.dir.join(name))?;
        Ok(format!("SHA256({name})= {sum}\n"))
    });
    let digests: String = digests.into_iter().collect::<Result<_>>()?;
    site.ui.step(format!("writing {file}"));
    let archive = site.dir.join(&file);
    pack(
        &archive,
        site,
        &[(&ovf, text.as_bytes()), (&list, digests.as_bytes())],
        &disk,
    )?;
    for name in [&ovf, &disk] {
        std::fs::remove_file(site.dir.join(name)).doing(|| format!("removing {name}"))?;
    }
    let listed = Program::new("tar").arg("-tf").arg(&archive).text()?;
    if listed.lines().ne([&ovf, &list, &disk]) {
        return Err(Error::gate(format!(
            "{file} holds its parts in a wrong order"
        )));
    }
    proof.push(proven(Part::Validated, "tar"));
    Ok(vec![Made {
        file,
        format: "ova",
        about: [].into(),
        proof,
    }])
}

/// An archive in the plain form of ustar.
fn pack(to: &Path, site: &Site<'_>, texts: &[(&String, &[u8])], disk: &str) -> Result<()> {
    let doing = || format!("writing {}", to.display());
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(
        1 << 20,
        File::create(to).doing(doing)?,
    ));
    let header = |size: u64| {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(site.about.created);
        header
    };
    for (name, bytes) in texts {
        archive
            .append_data(&mut header(bytes.len() as u64), name, *bytes)
            .doing(doing)?;
    }
    let from = File::open(site.dir.join(disk)).doing(doing)?;
    let size = from.metadata().doing(doing)?.len();
    archive
        .append_data(&mut header(size), disk, from)
        .doing(doing)?;
    let file = archive.into_inner().doing(doing)?.into_inner();
    file.map_err(|error| error.into_error())
        .doing(doing)?
        .sync_all()
        .doing(doing)
}

/// What the description tells.
#[derive(Debug)]
struct Machine<'a> {
    name: &'a str,
    title: &'a str,
    os: &'a str,
    disk: &'a str,
    size: u64,
    capacity: u64,
    cpus: u32,
    memory: u64,
    uefi: bool,
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

/// The description: OVF 1.1, in the form that VMware and VirtualBox read.
fn describe(machine: &Machine<'_>) -> String {
    let (id, word) = system(machine.os);
    let firmware = match machine.uefi {
        true => {
            "\n      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>"
        }
        false => "",
    };
    let Machine {
        size,
        capacity,
        cpus,
        memory,
        ..
    } = machine;
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
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:ElementName>{cpus} virtual CPUs</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:ElementName>{memory} MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Hard disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>1</rasd:AddressOnParent>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>NAT</rasd:Connection>
        <rasd:ElementName>Network adapter 1</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>{firmware}
    </VirtualHardwareSection>
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

    #[test]
    fn the_description_is_stable() {
        insta::assert_snapshot!(describe(&Machine {
            name: "web",
            title: "Web & more",
            os: "debian",
            disk: "web-1-disk1.vmdk",
            size: 1000,
            capacity: 2 << 30,
            cpus: 2,
            memory: 1024,
            uefi: true,
        }));
    }
}
