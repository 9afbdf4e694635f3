//! Google Cloud: `disk.raw` of whole gibibytes in a sparse archive of GNU's old format.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::azure::whole;
use super::convert::same;
use super::{CheckKind, Format, MadeFile, Options, Target, TargetContext, proven};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::qemu_img;
use crate::machine::Arch;

pub(super) const TARGET: Target = Target {
    files: "`.gcp.tar.gz` with `disk.raw` of whole GiB",
    proven_by: "`tar`; `qemu-img compare` of what it unpacks to",
    modules: &[&["virtio_scsi", "nvme"], &["virtio_net", "gve"]],
    architectures: &[(Arch::X86_64, "X86_64"), (Arch::Aarch64, "ARM64")],
    elsewhere: "Google Cloud has no such machines",
    ..Target::new("gcp", 3)
};

/// `targets: {gcp: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gcp {}

impl Options for Gcp {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("gcp.tar.gz");
        let disk = site.scratch.join(DISK);
        match whole(site, 1 << 30)? {
            Some(grown) => {
                std::fs::rename(&grown, &disk).doing(|| format!("writing {}", disk.display()))?;
            }
            // The archive tells of holes, which somebody else's file has anywhere.
            None if site.source.format() == "raw" => {
                crate::pack::flatten(site.source.disk(), "raw", &disk, site.ui)?;
                same(site, None, &disk, "raw")?;
            }
            None => {
                let flat = site.source.flat(site.ui)?;
                let link =
                    std::os::unix::fs::symlink(std::path::absolute(&flat).unwrap_or(flat), &disk);
                link.doing(|| format!("writing {}", disk.display()))?;
                same(site, None, &disk, "raw")?;
            }
        }
        site.ui.step(format!("writing {file}"));
        let path = site.dir.join(&file);
        arguments(site.scratch, site.about.created, &path).run()?;
        site.ui.step("unpacking it again");
        unpacks_to(site, &path, &disk)?;
        std::fs::remove_file(&disk).doing(|| format!("removing {}", disk.display()))?;
        let proof = vec![
            proven(CheckKind::Validated, "tar"),
            proven(CheckKind::SameDisk, "qemu-img compare"),
        ];
        // What `gcloud compute images create` is told.
        let named = TARGET
            .word(site.machine.arch)
            .map(|word| ("architecture", word));
        let uefi = site.uefi();
        let uefi = uefi.then_some(("guest-os-features", "UEFI_COMPATIBLE"));
        let made = MadeFile::new(file, Format::Gcp, proof);
        Ok(vec![made.about(named).about(uefi)])
    }
}

/// The only name that Google Cloud takes.
const DISK: &str = "disk.raw";

fn arguments(dir: &Path, created: u64, to: &Path) -> Program {
    Program::new("tar")
        .args(["--create", "--sparse", "--dereference", "--format=oldgnu"])
        .args(["--owner=0", "--group=0", "--numeric-owner", "--mode=0644"])
        .arg(format!("--mtime=@{created}"))
        .args(["--use-compress-program=gzip -n", "--file"])
        .arg(to)
        .arg("-C")
        .arg(dir)
        .arg(DISK)
}

/// Nothing but the disk is in the archive, and it is the same.
fn unpacks_to(site: &TargetContext<'_>, archive: &Path, disk: &Path) -> Result<()> {
    let listed = Program::new("tar").arg("-tzf").arg(archive).text()?;
    if listed != DISK {
        return Err(Error::gate(format!(
            "the archive holds {listed:?}, not {DISK}"
        )));
    }
    let dir = tempfile::tempdir_in(site.scratch).doing(|| "making a directory".into())?;
    Program::new("tar")
        .arg("-xSzf")
        .arg(archive)
        .arg("-C")
        .arg(dir.path())
        .run()?;
    let unpacked = dir.path().join(DISK);
    qemu_img::compare((disk, "raw"), (&unpacked, "raw"), &["-s"])
        .map_err(|error| Error::gate("the archive does not unpack to the disk").cause(error))
}
