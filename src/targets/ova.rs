//! A whole machine in one file: a description, the digests, a disk, in this order.

use std::fs::File;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ovf::{Machine, Reader, describe};
use super::{CheckKind, Format, MadeFile, Options, Target, TargetContext, proven, vmdk};
use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::qemu_img::info;
use crate::host::space::Frugal;
use crate::machine::Arch;

pub(super) const TARGET: Target = Target {
    files: "`.ova`: description, SHA-256 list, disk",
    proven_by: "`qemu-img check`, `compare`; `tar`",
    // What the description promises.
    modules: &[&["mptspi"], &["e1000"]],
    architectures: &[(Arch::X86_64, Arch::X86_64.as_str())],
    elsewhere: "the machine that it describes is a PC",
    ..Target::new("ova", 2)
};

/// `targets: {ova: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ova {}

impl Options for Ova {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let stem = site.about.stem();
        let file = site.file("ova");
        let (ovf, list, disk) = (
            format!("{stem}.ovf"),
            format!("{stem}.mf"),
            format!("{stem}-disk1.vmdk"),
        );
        let mut proof = vmdk::write(site, &disk)?;
        let path = site.dir.join(&disk);
        let size = path.metadata().doing(|| format!("reading {disk}"))?.len();
        let machine = Machine {
            name: &site.about.name,
            title: &site.about.title,
            os: &site.about.os,
            disk: &disk,
            size,
            capacity: info(&path, vmdk::FORMAT)?.virtual_size,
            cpus: site.machine.cpus,
            memory: site.machine.memory.as_bytes() >> 20,
            uefi: site.uefi(),
        };
        let text = describe(&machine, Reader::Vmware);
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
        proof.push(proven(CheckKind::Validated, "tar"));
        Ok(vec![MadeFile::new(file, Format::Ova, proof)])
    }
}

/// An archive in the plain form of ustar.
fn pack(to: &Path, site: &TargetContext<'_>, texts: &[(&String, &[u8])], disk: &str) -> Result<()> {
    let doing = || format!("writing {}", to.display());
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(
        1 << 20,
        Frugal::create(to).doing(doing)?,
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
