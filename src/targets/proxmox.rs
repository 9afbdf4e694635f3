//! Proxmox VE: the disk, and a script that makes a template of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::convert;
use super::qcow2::{Clusters, form};
use super::{Format, MadeFile, Options, Target, TargetContext, described};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::machine::Arch;

pub(super) const TARGET: Target = Target {
    files: "`.proxmox.qcow2` and `.proxmox.sh`, which calls `qm`",
    proven_by: "`qemu-img check`, `compare`; `sh -n`",
    modules: &[&["virtio_scsi"], &["virtio_net"]],
    architectures: &[
        (Arch::X86_64, Arch::X86_64.as_str()),
        (Arch::Aarch64, Arch::Aarch64.as_str()),
    ],
    elsewhere: "Proxmox VE has no such machines",
    ..Target::new("proxmox", 3)
};

/// `targets: {proxmox: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Proxmox {}

impl Options for Proxmox {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("proxmox.qcow2");
        let proof = convert(site, None, form(Clusters::Zlib), &file)?;
        let tree = site.source.tree(site.ui)?;
        let has = |path: &str| tree.get(path).is_some();
        let script = site.file("proxmox.sh");
        let path = site.dir.join(&script);
        let text = text(&Import {
            name: &site.about.name,
            title: &site.about.title,
            file: &file,
            memory: site.machine.memory.as_bytes() >> 20,
            cpus: site.machine.cpus,
            arch: site.machine.arch,
            uefi: site.uefi(),
            cloud_init: has("usr/bin/cloud-init"),
            agent: has("usr/sbin/qemu-ga") || has("usr/bin/qemu-ga"),
        });
        std::fs::write(&path, text).doing(|| format!("writing {script}"))?;
        Program::new("sh")
            .arg("-n")
            .arg(&path)
            .run()
            .map_err(|error| Error::internal("the script for Proxmox is no script").cause(error))?;
        let described = described("sh -n");
        Ok(vec![
            MadeFile::new(file, Format::Qcow2, proof),
            MadeFile::new(script, Format::ProxmoxScript, described),
        ])
    }
}

/// What the script is made of.
#[derive(Debug)]
struct Import<'a> {
    name: &'a str,
    title: &'a str,
    file: &'a str,
    memory: u64,
    cpus: u32,
    arch: Arch,
    uefi: bool,
    cloud_init: bool,
    agent: bool,
}

fn text(import: &Import<'_>) -> String {
    let Import {
        file, memory, cpus, ..
    } = import;
    // Proxmox takes DNS names.
    let name: String = import
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let title = import.title.replace('\'', r"'\''");
    let mut more = String::new();
    // Proxmox takes an architecture from root only, so it is not told that of its own host; `max` is the
    // host's processor there, too. Machines without a BIOS have no IDE either.
    let (processor, seed) = match import.arch.has_bios() {
        true => ("host", "ide2"),
        false => ("max", "scsi1"),
    };
    if !import.arch.has_bios() {
        let name = import.arch.as_str();
        more += &format!("[ \"$(uname -m)\" = {name} ] || qm set \"$id\" --arch {name}\n");
    }
    if import.uefi {
        let machine = import.arch.machine;
        more += &format!(
            "qm set \"$id\" --bios ovmf --machine {machine} --efidisk0 \"$store:1,efitype=4m\"\n"
        );
    }
    if import.cloud_init {
        more += &format!("qm set \"$id\" --{seed} \"$store:cloudinit\" --ipconfig0 ip=dhcp\n");
    }
    let agent = u8::from(import.agent);
    format!(
        r#"#!/bin/sh
# Makes a template of {file}, which lies beside this script: {file}.sh ID [STORAGE]
set -eu
id=${{1:?"usage: $0 ID [STORAGE]"}}
store=${{2:-local-lvm}}
disk=$(cd "$(dirname "$0")" && pwd)/{file}
[ -r "$disk" ] || {{ echo "$disk is missing" >&2; exit 1; }}
qm create "$id" --name '{name}' --description '{title}' --ostype l26 \
  --memory {memory} --cores {cpus} --cpu {processor} --agent {agent} --net0 virtio,bridge=vmbr0 \
  --scsihw virtio-scsi-pci --serial0 socket --vga serial0 --rng0 source=/dev/urandom
qm set "$id" --scsi0 "$store:0,import-from=$disk,discard=on"
{more}qm set "$id" --boot order=scsi0
qm template "$id"
"#
    )
    .replace(&format!("{file}.sh ID"), "sh SCRIPT ID")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_stable() {
        let import = Import {
            name: "web_node",
            title: "Ann's web node",
            file: "web_node-1.proxmox.qcow2",
            memory: 1024,
            cpus: 2,
            arch: Arch::X86_64,
            uefi: true,
            cloud_init: true,
            agent: false,
        };
        let pc = text(&import);
        insta::assert_snapshot!(pc);
        let arm = text(&Import {
            arch: Arch::Aarch64,
            ..import
        });
        let own = arm.lines().filter(|line| !pc.contains(line));
        let own: Vec<&str> = own.map(str::trim).collect();
        insta::assert_snapshot!(own.join("\n"), @r#"
        --memory 1024 --cores 2 --cpu max --agent 0 --net0 virtio,bridge=vmbr0 \
        [ "$(uname -m)" = aarch64 ] || qm set "$id" --arch aarch64
        qm set "$id" --bios ovmf --machine virt --efidisk0 "$store:1,efitype=4m"
        qm set "$id" --scsi1 "$store:cloudinit" --ipconfig0 ip=dhcp
        "#);
    }
}
