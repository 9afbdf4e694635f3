//! Copies of a disk's layers, each of what was opened once, on the copy of the layer below.

use std::fs::{File, Metadata};
use std::path::{Component, Path};

use super::opened::open_straight;
use super::others::{self, Layer, Other};
use super::{qemu_img, sparse, vmdk};
use crate::error::{Context as _, Error, Result};

/// Copies what is opened once, and returns that, and what it was before.
pub(super) fn copied(from: &Path, to: &Path) -> Result<(File, Metadata)> {
    let doing = || format!("reading {}", from.display());
    let opened = open_straight(from).doing(doing)?;
    let data = opened.metadata().doing(doing)?;
    let new = File::create_new(to).doing(|| format!("writing {}", to.display()))?;
    sparse::copy(&opened, &new, to)?;
    Ok((opened, data))
}

/// Copies what a description of a VMDK consists of.
pub(super) fn parts(disk: &Path, copy: &Path, format: &str) -> Result<()> {
    if format == "vmdk" {
        for part in vmdk::parts(copy)? {
            let mut names = Path::new(&part).components();
            // What leads elsewhere is refused with the copy.
            if let (Some(Component::Normal(name)), None) = (names.next(), names.next()) {
                copied(&disk.with_file_name(name), &copy.with_file_name(name))?;
            }
        }
    }
    vmdk::own_parts(copy, format)
}

/// Looks at the copy, and writes into it where the layer below is.
pub(super) fn connect(copy: &Path, format: &str, below: Option<&Layer>) -> Result<()> {
    match (others::named_by(copy, format)?, below) {
        (None, None) => Ok(()),
        (Some(Other::Backing(..)), Some(below)) => {
            qemu_img::rebase(copy, format, (&below.real, &below.format))
        }
        _ => Err(Error::stage(format!(
            "{} changed while it was read",
            copy.file_name().unwrap_or_default().display()
        ))
        .cause("it names other files than a moment before")
        .hint("find out who writes there, and do not use what was made of it")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::taken::tests::{disks, make};
    use super::*;

    /// The owner of the directory is faster: the copy is of another disk than was looked at.
    #[test]
    fn a_copy_that_names_something_is_refused() {
        let dir = disks(true);
        let at = |name: &str| dir.path().join(name);
        let below = Layer {
            path: at("base.raw"),
            real: at("base.raw"),
            format: "raw".into(),
        };
        connect(&at("middle"), "qcow2", Some(&below)).unwrap();
        assert!(connect(&at("middle"), "qcow2", None).is_err());
        let data = ["create", "-q", "-f", "qcow2", "-o", "data_file=base.raw"];
        make(dir.path(), &[&data[..], &["data", "1M"]].concat());
        for below in [None, Some(&below)] {
            let error = connect(&at("data"), "qcow2", below).unwrap_err();
            assert!(error.message().contains("changed"), "{error}");
        }
        let text = "# Disk DescriptorFile\nRW 1 FLAT \"../base.raw\" 0\n";
        std::fs::write(at("led.vmdk"), text).unwrap();
        assert!(parts(&at("led.vmdk"), &at("led.vmdk"), "vmdk").is_err());
    }
}
