//! What the disks of a guest stand on, before it runs and afterwards.
//!
//! Who breaks out of a guest into its QEMU can write to the files of its disks, also to what names
//! the files that are opened with them: by QEMU next time, or by imgforge.

use super::spec::{Disk, Format};
use crate::error::{Error, Kind, Result};
use crate::host::others::{Other, named_by};

/// The overlays that a guest writes to, and what each names.
#[derive(Debug)]
pub(super) struct Layers(Vec<(Disk, Option<Other>)>);

impl Layers {
    /// Of the disks of a guest that does not run yet.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn of(disks: &[Disk]) -> Result<Layers> {
        let written = disks
            .iter()
            .filter(|disk| !disk.readonly && disk.format == Format::Qcow2);
        let named = written.map(|disk| Ok((disk.clone(), named(disk)?)));
        named.collect::<Result<_>>().map(Layers)
    }

    /// Refuses disks that name another file now than before. QEMU has ended.
    ///
    /// # Errors
    /// When one does, or cannot be read.
    pub(super) fn check(&self) -> Result<()> {
        for (disk, before) in &self.0 {
            if named(disk)? != *before {
                let path = disk.path.display();
                let what = format!(
                    "while the guest ran, {path} was made to refer to another file of this host"
                );
                return Err(Error::new(Kind::Breach, what)
                    .cause("no guest can do that but one that has broken out of QEMU")
                    .hint("update QEMU, and look at what the image installs; nothing of that disk is used"));
            }
        }
        Ok(())
    }
}

fn named(disk: &Disk) -> Result<Option<Other>> {
    named_by(&disk.path, disk.format.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn a_layer_refers_to_what_it_referred_to_before_its_guest_ran() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let image = |words: &[&str]| {
            let program = Program::new("qemu-img").args(words).dir(dir.path());
            program.run().unwrap();
        };
        for name in ["base.raw", "other.raw"] {
            std::fs::write(path(name), vec![0; 1 << 20]).unwrap();
        }
        let disk = |name: &str, format, readonly| Disk {
            path: path(name),
            format,
            serial: None,
            readonly,
        };
        let create = "create -q -f qcow2 -F raw -b base.raw layer.qcow2";
        image(&create.split(' ').collect::<Vec<_>>());
        let disks = [
            disk("layer.qcow2", Format::Qcow2, false),
            disk("base.raw", Format::Raw, false),
        ];
        let layers = Layers::of(&disks).unwrap();
        layers.check().unwrap();
        let rebase = "rebase -q -u -f qcow2 -F raw -b other.raw layer.qcow2";
        image(&rebase.split(' ').collect::<Vec<_>>());
        let error = layers.check().unwrap_err();
        assert_eq!(error.kind(), Kind::Breach);
        let error = error.render();
        assert!(
            error.contains("layer.qcow2 was made to refer to another file"),
            "{error}"
        );
        let again = create.replace(
            "base.raw",
            "base.raw -o data_file=other.raw,data_file_raw=off",
        );
        let again = again.replace("-F raw -b base.raw ", "");
        image(&[again.split(' ').collect::<Vec<_>>(), vec!["1M"]].concat());
        assert!(layers.check().is_err(), "data elsewhere");
    }
}
