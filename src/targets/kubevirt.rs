//! KubeVirt: a containerDisk, the container image from which virtual machines boot, and which CDI imports: see
//! <https://github.com/kubevirt/kubevirt/blob/main/docs/container-register-disks.md> and
//! <https://github.com/kubevirt/containerized-data-importer/blob/main/doc/image-from-registry.md>.
//!
//! One layer has one file, `/disk/NAME.qcow2`, that the account of KubeVirt's QEMU owns. The layer itself is not
//! compressed: the disk is. The same sealed disk gives the same digest each time.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::convert::convert;
use super::docker::layout::{self, Blob};
use super::docker::read_by_others;
use super::qcow2::{Clusters, form};
use super::{Format, MadeFile, Options, Target, TargetContext};
use crate::digest::Hashed;
use crate::error::{Context as _, Result};
use crate::host::space::Frugal;
use crate::host::tools::Tool;
use crate::machine::Arch;

pub(super) const TARGET: Target = Target {
    files: "`.containerdisk.tar`: an OCI layout, and what `docker load` takes, with `/disk/NAME.qcow2` of 107:107",
    proven_by: "`qemu-img check`, `compare`; `skopeo`",
    tools: &[Tool::QemuImg, Tool::Sfdisk, Tool::Skopeo],
    modules: &[&["virtio_blk"], &["virtio_net"]],
    architectures: &[(Arch::X86_64, "amd64"), (Arch::Aarch64, "arm64")],
    elsewhere: "KubeVirt has no such machines",
    ..Target::new("kubevirt", 1)
};

/// The account of QEMU in KubeVirt's containers, and its group.
const QEMU: u64 = 107;

/// `targets: {kubevirt: …}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kubevirt {
    /// The image's name in the archive, as `acme/web-disk`; default: the recipe's name with `-containerdisk` behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How the disk's clusters are compressed.
    pub compression: Clusters,
}

impl Options for Kubevirt {
    fn container(&self, image: &str) -> Option<String> {
        // A container of the same image has the image's own name.
        let named = self.reference.clone();
        Some(named.unwrap_or_else(|| format!("{image}-containerdisk")))
    }

    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("containerdisk.tar");
        let mut proof = convert(site, None, form(self.compression), &file)?;
        let (archive, disk) = (
            site.dir.join(&file),
            site.scratch.join("containerdisk.qcow2"),
        );
        let doing = || format!("writing {}", disk.display());
        std::fs::rename(&archive, &disk).doing(doing)?;
        site.ui.step(format!("writing {file}"));
        let path = site.scratch.join("containerdisk.layer");
        let blob = layer(site, &disk, &path).doing(|| format!("writing {}", path.display()))?;
        let inner = json!({"Labels": layout::labels(site.about)});
        let arch = site.machine.arch;
        let config = layout::described(site.about, arch, inner, &blob);
        let named = self.container(&site.about.name);
        let reference = layout::reference(named.as_deref(), site.about);
        let digest = layout::write(
            &archive,
            (&blob, &path),
            "tar",
            (&config, arch),
            &reference,
            site.about.created,
        )?;
        for done in [&disk, &path] {
            std::fs::remove_file(done).doing(|| format!("removing {}", done.display()))?;
        }
        if site.proving {
            proof.extend(read_by_others(site, &archive, &digest)?);
        }
        let digest = format!("sha256:{digest}");
        let made = MadeFile::new(file, Format::ContainerDisk, proof);
        Ok(vec![
            made.about([("reference", reference), ("digest", digest)]),
        ])
    }
}

/// Writes the layer. Its only file comes whole from the disk that was compared.
fn layer(site: &TargetContext<'_>, disk: &Path, to: &Path) -> io::Result<Blob> {
    let file = BufWriter::with_capacity(1 << 20, Frugal::create(to)?);
    let mut tar = tar::Builder::new(Hashed::new(file));
    let header = |kind: tar::EntryType, mode: u32, size: u64| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(QEMU);
        header.set_gid(QEMU);
        header.set_mtime(site.about.created);
        header
    };
    let mut dir = header(tar::EntryType::Directory, 0o555, 0);
    tar.append_data(&mut dir, "disk/", io::empty())?;
    let from = File::open(disk)?;
    let mut own = header(tar::EntryType::Regular, 0o440, from.metadata()?.len());
    let name = format!("disk/{}.qcow2", site.about.name);
    tar.append_data(&mut own, name, from)?;
    let (file, digest, size) = tar.into_inner()?.finish();
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let digest = digest.as_str().to_owned();
    Ok(Blob {
        diff: digest.clone(),
        digest,
        size,
    })
}
