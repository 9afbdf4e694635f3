//! The artifacts of simplestreams: the disk as compressed qcow2, for Incus, LXD and Glance, and
//! the metadata that Incus and LXD want beside it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use xz2::write::XzEncoder;

use super::{ArtifactRecord, CheckKind, Format, MadeFile, described, proven};
use crate::error::{Context as _, Error, Result};
use crate::guest::Os;
use crate::host::qemu_img;
use crate::machine::Arch;

/// What the files say about the image.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The image's name.
    pub name: &'a str,
    /// One line for people.
    pub title: &'a str,
    /// `IMAGE_VERSION`.
    pub version: &'a str,
    /// Architecture.
    pub arch: Arch,
    /// The distribution, as `debian`.
    pub os: &'a str,
    /// Its version, as `12`.
    pub release: &'a str,
    /// When the disk was sealed, seconds since 1970.
    pub created: u64,
    /// The sealed disk's digest.
    pub sealed: &'a str,
}

/// Makes the qcow2 and the metadata in `dir` from `raw`, the flattened disk.
///
/// # Errors
/// When `qemu-img` fails, or the copy is not the disk that the gate tested.
pub fn make(dir: &Path, raw: &Path, about: &About<'_>) -> Result<Vec<ArtifactRecord>> {
    let stem = format!("{}-{}", about.name, about.version);
    let (disk, metadata) = (format!("{stem}.qcow2"), format!("{stem}.incus.tar.xz"));
    let (from, to) = ((raw, "raw"), dir.join(&disk));
    let words = ["-c", "-m", "4", "-o", "compression_type=zlib"];
    qemu_img::convert(from, (&to, "qcow2"), &words)?.run()?;
    // The gate's proof is about the disk's content: the copy must be the same to a guest.
    qemu_img::compare(from, (&to, "qcow2"), &[]).map_err(|error| {
        Error::gate("the qcow2 is not the disk that the gate tested").cause(error)
    })?;
    let path = dir.join(&metadata);
    std::fs::write(&path, archive(about, &[])?).doing(|| format!("writing {}", path.display()))?;
    let combined = combined(&[path, dir.join(&disk)])?;
    let same = vec![
        proven(CheckKind::Validated, "qemu-img compare"),
        proven(CheckKind::SameDisk, "qemu-img compare"),
    ];
    let described = described("imgforge");
    let metadata = MadeFile::new(metadata, Format::IncusMetadata, described);
    let made = [
        ("disk", MadeFile::new(disk, Format::Qcow2, same)),
        ("incus", metadata.about([("combined-sha256", combined)])),
    ];
    let system = [("os", about.os), ("os-version", about.release)];
    let made = made.into_iter();
    made.map(|(target, file)| file.about(system).record(target, dir, Some(about.sealed)))
        .collect()
}

/// `12`, or `24.04` where both parts make the name.
pub(crate) fn release(os: &Os) -> String {
    match os.distro.as_str() {
        "ubuntu" => format!("{}.{:02}", os.major, os.minor),
        _ => os.major.to_string(),
    }
}

/// `metadata.yaml`, with these properties beside the usual ones, in a compressed archive; the same
/// bytes for the same image.
pub(crate) fn archive(about: &About<'_>, more: &[(&str, &str)]) -> Result<Vec<u8>> {
    // JSON is YAML.
    let mut text = json!({
        "architecture": about.arch.as_str(),
        "creation_date": about.created,
        "properties": {
            "architecture": about.arch.as_str(),
            "os": about.os,
            "release": about.release,
            "variant": about.name,
            "description": about.title,
            "serial": about.version,
        },
    });
    for (key, value) in more {
        text["properties"][*key] = json!(value);
    }
    let text = format!("{text:#}\n");
    let doing = || "writing metadata.yaml".to_owned();
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(about.created);
    header.set_cksum();
    let mut archive = tar::Builder::new(XzEncoder::new(Vec::new(), 6));
    archive
        .append_data(&mut header, "metadata.yaml", text.as_bytes())
        .doing(doing)?;
    let mut xz = archive.into_inner().doing(doing)?;
    xz.flush().doing(doing)?;
    xz.finish().doing(doing)
}

/// SHA-256 of several files as one: Incus' fingerprint of a split image.
pub(crate) fn combined(files: &[PathBuf]) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let doing = || format!("reading {}", path.display());
        let mut file = File::open(path).doing(doing)?;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause).doing(doing),
            }
        }
    }
    Ok(hex::encode(hasher.finalize()))
}
