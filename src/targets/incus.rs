//! A virtual machine for Incus and LXD: the disk and its metadata, a split image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::convert;
use super::qcow2::{Clusters, form};
use super::{
    Command, Format, MadeFile, Offered, OfferedFile, Options, Target, TargetContext, described,
    streams,
};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::{Program, quote};
use crate::machine::Firmware;

pub(super) const TARGET: Target = Target {
    files: "`.incus.qcow2` and `.incus.tar.xz`, its metadata: a virtual machine for Incus and LXD",
    proven_by: "`qemu-img check`, `compare`; `tar`",
    streams: true,
    modules: &[&["virtio_scsi"], &["virtio_net"]],
    command: Some(command),
    ..Target::new("incus", 2)
};

/// `targets: {incus: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Incus {}

impl Options for Incus {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let (disk, metadata) = (site.file("incus.qcow2"), site.file("incus.tar.xz"));
        if site.gate.is_some() && site.machine.firmware() == Firmware::Bios {
            site.ui.ui().warning(
                "machines of Incus start by UEFI: this image needs `-c security.csm=true -c \
             security.secureboot=false`",
            );
        }
        let proof = convert(site, None, form(Clusters::Zlib), &disk)?;
        let tree = site.source.tree(site.ui)?;
        let signed = tree.get(SHIM).is_some();
        let unsigned = [("requirements.secureboot", "false")];
        let about = streams::About {
            name: &site.about.name,
            title: &site.about.title,
            version: &site.about.version,
            arch: site.machine.arch,
            os: &site.about.os,
            release: &site.about.os_version,
            created: site.about.created,
            sealed: "",
        };
        let path = site.dir.join(&metadata);
        let bytes = streams::archive(&about, if signed { &[] } else { &unsigned })?;
        std::fs::write(&path, bytes).doing(|| format!("writing {metadata}"))?;
        let listed = Program::new("tar").arg("-tf").arg(&path).text()?;
        if listed.trim_end() != "metadata.yaml" {
            return Err(Error::gate(format!("{metadata} does not hold metadata")));
        }
        let combined = streams::combined(&[path, site.dir.join(&disk)])?;
        let described = described("tar");
        Ok(vec![
            MadeFile::new(disk, Format::Qcow2, proof),
            MadeFile::new(metadata, Format::IncusMetadata, described)
                .about([("combined-sha256", combined)]),
        ])
    }
}

/// What a firmware that asks for signatures starts.
const SHIM: &str = "usr/lib/shim";

/// Adds the channel as a remote, or imports the files.
fn command(offered: &Offered<'_>) -> Command {
    let Offered { name, streams, .. } = offered;
    let metadata = offered.file(TARGET.name, Format::IncusMetadata);
    let secure = streams.starts_with("https://");
    let added = |_| {
        format!(
            "incus remote add imgforge {} --protocol simplestreams\nincus launch imgforge:{name} {name} --vm",
            quote(streams),
        )
    };
    let imported = |metadata: &OfferedFile<'_>| {
        let mut targets = [TARGET.name, "openstack", "disk"].into_iter();
        let disk = targets.find_map(|target| offered.file(target, Format::Qcow2))?;
        let (about, file) = (format!("{name}.tar.xz"), format!("{name}.qcow2"));
        Some(format!(
            "{}\n{}\nincus image import {about} {file} --alias {name}\nincus launch {name} {name} --vm",
            metadata.download(&about),
            disk.download(&file)
        ))
    };
    let text = match secure {
        true => metadata.map(added),
        false => metadata.and_then(imported),
    };
    let note = match (metadata, secure) {
        (None, _) => Some("Its recipe does not ask for it: `publish: {streams: true}`."),
        (_, true) => None,
        (_, false) => Some("As a remote, Incus takes servers with https only."),
    };
    Command {
        client: "Incus and LXD",
        note: note.map(str::to_owned),
        text,
    }
}
