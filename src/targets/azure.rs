//! Azure: a fixed VHD of whole mebibytes.
//!
//! The file is the disk and a footer of 512 bytes behind it. Without `force_size` QEMU rounds the
//! disk to cylinders, which Azure refuses.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::{Form, convert, same};
use super::{CheckKind, Format, MadeFile, Options, Target, TargetContext, identity, proven};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::qemu_img::info;
use crate::machine::Arch;

pub(super) const TARGET: Target = Target {
    files: "`.vhd`, fixed, whole MiB",
    proven_by: "`qemu-img compare`; its footer",
    modules: &[&["hv_vmbus"], &["hv_storvsc"], &["hv_netvsc"]],
    architectures: &[(Arch::X86_64, "x64"), (Arch::Aarch64, "Arm64")],
    elsewhere: "Azure has no such machines",
    ..Target::new("azure", 3)
};

/// `targets: {azure: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Azure {}

impl Options for Azure {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("vhd");
        let grown = whole(site, 1 << 20)?;
        let mut proof = convert(site, grown.as_deref(), FORM, &file)?;
        let path = site.dir.join(&file);
        let raw = match &grown {
            Some(grown) => grown.clone(),
            None => site.source.flat(site.ui)?,
        };
        stamp(&path, site.about.created, identity::of(&raw)?)?;
        footer(&path)?;
        proof.push(proven(CheckKind::Validated, "the footer"));
        if let Some(grown) = grown {
            std::fs::remove_file(&grown).doing(|| format!("removing {}", grown.display()))?;
        }
        // What `az image create` is told; the second generation starts by UEFI.
        let named = TARGET
            .word(site.machine.arch)
            .map(|word| ("architecture", word));
        let generation = if site.uefi() { "V2" } else { "V1" };
        let made = MadeFile::new(file, Format::Vhd, proof).about(named);
        Ok(vec![made.about([("hyper-v-generation", generation)])])
    }
}

const FORM: Form = Form {
    format: "vpc",
    options: "subformat=fixed,force_size=on",
    compressed: false,
    checked: false,
};

const FOOTER: u64 = 512;

/// The first second of the format's time, in seconds since 1970.
const YEAR_2000: u64 = 946_684_800;

/// A raw copy of the source that is grown to whole `unit`s; `None` if the source is that. But for
/// the place of a GPT's second copy it is the same disk.
pub(super) fn whole(site: &TargetContext<'_>, unit: u64) -> Result<Option<PathBuf>> {
    let size = info(site.source.disk(), site.source.format())?.virtual_size;
    if size.is_multiple_of(unit) {
        return Ok(None);
    }
    let path = site.scratch.join("grown.raw");
    let doing = || format!("writing {}", path.display());
    crate::pack::flatten(site.source.disk(), site.source.format(), &path, site.ui)?;
    let file = File::options().write(true).open(&path).doing(doing)?;
    file.set_len(size.next_multiple_of(unit)).doing(doing)?;
    same(site, None, &path, "raw")?;
    table_at_the_end(&path)?;
    Ok(Some(path))
}

/// Moves the backup of a GPT to the end of a disk that has grown.
fn table_at_the_end(raw: &Path) -> Result<()> {
    let kind = Program::new("sfdisk").args(["--json"]).arg(raw);
    let kind = kind.on_foreign_file().seeing(raw).text();
    if !kind
        .is_ok_and(|text| text.contains("\"label\": \"gpt\"") || text.contains("\"label\":\"gpt\""))
    {
        return Ok(());
    }
    Program::new("sfdisk")
        .args(["-q", "--relocate", "gpt-bak-std"])
        .arg(raw)
        .on_foreign_file()
        .changing(raw)
        .run()
}

/// Replaces what QEMU takes from the clock and from chance: the time, in seconds since 2000, and
/// the disk's UUID. The checksum is the complement of the sum of all other bytes.
fn stamp(path: &Path, created: u64, identity: [u8; 32]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .doing(doing)?;
    let at = file.metadata().doing(doing)?.len().saturating_sub(FOOTER);
    let mut footer = [0; FOOTER as usize];
    file.read_exact_at(&mut footer, at).doing(doing)?;
    let since = u32::try_from(created.saturating_sub(YEAR_2000)).unwrap_or(u32::MAX);
    footer[24..28].copy_from_slice(&since.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&identity[..16]);
    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    footer[68..84].copy_from_slice(uuid.as_bytes());
    footer[64..68].fill(0);
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    file.write_all_at(&footer, at).doing(doing)?;
    file.sync_all().doing(doing)
}

/// The footer tells the size of the disk before it, which is whole mebibytes.
fn footer(path: &Path) -> Result<()> {
    let doing = || format!("reading {}", path.display());
    let file = File::open(path).doing(doing)?;
    let all = file.metadata().doing(doing)?.len();
    let mut footer = [0; FOOTER as usize];
    file.read_exact_at(&mut footer, all.saturating_sub(FOOTER))
        .doing(doing)?;
    let stated = u64::from_be_bytes(footer[48..56].try_into().unwrap_or_default());
    let fixed = footer[60..64] == 2u32.to_be_bytes();
    if footer.starts_with(b"conectix") && fixed && stated == all - FOOTER && stated % (1 << 20) == 0
    {
        return Ok(());
    }
    Err(
        Error::gate(format!("{} is no VHD that Azure takes", path.display())).cause(format!(
            "its footer tells a disk of {stated} bytes, the file has {all}"
        )),
    )
}
