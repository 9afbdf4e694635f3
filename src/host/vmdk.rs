//! A disk of VMware that consists of parts: which files a description of it names.

use std::io::Read as _;
use std::path::Path;

use super::imagefile::ImageFile;
use super::opened;
use super::others::foreign;
use crate::error::{Context as _, Result};

/// As much as QEMU reads of a description of a VMDK, in bytes.
const DESCRIPTION: u64 = 1 << 20;

/// Where a disk's parts may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// Beside it, with names that begin as its own.
    OfItsName,
    /// Beside it.
    Siblings,
}

/// Makes sure that what a user's disk consists of lies beside it.
pub(super) fn own_parts(disk: &Path, format: &str) -> Result<()> {
    parts_in_place(disk, format, Parts::OfItsName)
}

/// Whether the files that a description of a VMDK consists of are its own.
pub(super) fn parts_in_place(disk: &Path, format: &str, where_: Parts) -> Result<()> {
    if format != "vmdk" {
        return Ok(());
    }
    let stem = disk.file_stem().unwrap_or_default().to_string_lossy();
    // To QEMU whatever is no sparse disk is a description, however it begins.
    let sparse = ImageFile::of(disk).doing(|| format!("reading {}", disk.display()))?;
    let named = match sparse == ImageFile::Vmdk {
        true => vec![],
        false => described(disk)?,
    };
    for part in named {
        let beside = disk.with_file_name(&part);
        let ours = !part.contains(['/', ':'])
            && (where_ == Parts::Siblings || part.starts_with(&*stem))
            && beside.symlink_metadata().is_ok_and(|meta| meta.is_file());
        if !ours {
            return Err(foreign(disk, &part).hint(
                "its parts have to lie beside it, with names that begin as its own; \
                 `qemu-img convert -O qcow2 IMAGE NEW` makes one file of it, if you trust it",
            ));
        }
    }
    Ok(())
}

/// The files that a description of a VMDK names as its parts; none of another file.
///
/// # Errors
/// When it cannot be read.
pub fn parts(disk: &Path) -> Result<Vec<String>> {
    let doing = || format!("reading {}", disk.display());
    if ImageFile::of(disk).doing(doing)? != ImageFile::VmdkText {
        return Ok(vec![]);
    }
    described(disk)
}

/// The parts that a description of a VMDK names.
fn described(disk: &Path) -> Result<Vec<String>> {
    let mut text = Vec::new();
    let read = opened::open(disk).and_then(|file| file.take(DESCRIPTION).read_to_end(&mut text));
    read.doing(|| format!("reading {}", disk.display()))?;
    // QEMU finds a part over several lines, too; what is assigned to a name is none.
    let of_line = |line: &str| -> Vec<String> {
        let words: Vec<&str> = line.split('"').collect();
        let quoted = words.windows(2).step_by(2);
        let parts = quoted.filter(|pair| !pair[0].trim_end().ends_with('='));
        parts.map(|pair| pair[1].to_owned()).collect()
    };
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().flat_map(of_line).collect())
}

#[cfg(test)]
mod tests {
    use super::super::others::tests::create;
    use super::super::others::{check, check_unpacked};
    use super::*;

    #[test]
    fn a_disk_in_parts_consists_of_what_is_called_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let options = ["-o", "subformat=monolithicFlat"];
        let disk = create(dir, "disk.vmdk", "vmdk", &options);
        check(&disk, "vmdk", &[]).unwrap();
        assert_eq!(parts(&disk).unwrap(), ["disk-flat.vmdk"]);
        std::fs::rename(dir.join("disk-flat.vmdk"), dir.join("other.raw")).unwrap();
        let text = std::fs::read_to_string(&disk).unwrap();
        for part in ["other.raw", "/etc/passwd", "disk-link", "nbd:127.0.0.1:9"] {
            std::os::unix::fs::symlink("other.raw", dir.join("disk-link")).ok();
            std::fs::write(&disk, text.replace("disk-flat.vmdk", part)).unwrap();
            let error = check(&disk, "vmdk", &[]).unwrap_err();
            assert!(
                error.message().contains("refers to another file"),
                "{error}"
            );
        }
        // QEMU reads it over lines, and whatever comes first.
        let lines = text.replace(
            "RW 2048 FLAT \"disk-flat.vmdk\"",
            "RW\n2048\nFLAT\n\"/etc/passwd\"",
        );
        assert_ne!(lines, text);
        std::fs::write(&disk, lines).unwrap();
        assert!(check(&disk, "vmdk", &[]).is_err());
        std::fs::write(
            &disk,
            format!("\n{}", text.replace("disk-flat.vmdk", "other.raw")),
        )
        .unwrap();
        assert!(check(&disk, "vmdk", &[]).is_err());
        // What came in one archive belongs together.
        std::fs::write(&disk, text.replace("disk-flat.vmdk", "other.raw")).unwrap();
        check_unpacked(&disk, "vmdk").unwrap();
    }
}
