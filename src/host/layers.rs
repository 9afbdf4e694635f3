//! What disks stand on, before a machine has them and afterwards.
//!
//! Who breaks out of a guest, or out of an appliance, into its QEMU can write to the files of its disks,
//! also to what names the files that are opened with them: by QEMU next time, or by imgforge.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::others::{Other, named_by};
use crate::error::{Error, Kind, Result};
use crate::mutex::Unpoisoned as _;

/// Disks that name what they did not, or of which nobody knows, and why. A machine that is dropped can
/// return no error.
static UNSOUND: Mutex<Vec<(PathBuf, Error)>> = Mutex::new(Vec::new());

/// The only format of which a machine writes to overlays.
const FORMAT: &str = "qcow2";

/// The overlays that a machine writes to, and what each names.
#[derive(Debug)]
pub struct Layers(Vec<(PathBuf, Option<Other>)>);

impl Layers {
    /// Of the disks that a machine which does not run yet will write to, each with its format.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of<'d>(disks: impl IntoIterator<Item = (&'d Path, &'d str)>) -> Result<Layers> {
        let overlays = disks.into_iter().filter(|(_, format)| *format == FORMAT);
        let named = overlays.map(|(disk, _)| Ok((disk.to_owned(), named_by(disk, FORMAT)?)));
        named.collect::<Result<_>>().map(Layers)
    }

    /// Refuses disks that name another file now than before, and those that cannot be read any more.
    /// The machine's QEMU has ended; [`sound`] knows it from then on.
    ///
    /// # Errors
    /// When there is one, or on an interrupt.
    pub fn check(&self) -> Result<()> {
        for (disk, before) in &self.0 {
            let path = disk.display();
            let breach = match named_by(disk, FORMAT) {
                Ok(now) if now == *before => continue,
                Ok(_) => breach(format!(
                    "while the guest ran, {path} was made to refer to another file of this host"
                ))
                .cause("no guest can do that but one that has broken out of QEMU"),
                Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error),
                Err(error) => unknown(disk).cause(error),
            };
            note(disk, breach.clone());
            return Err(breach);
        }
        Ok(())
    }

    /// Notes that the machine's QEMU may still write to its disks.
    pub fn still_written(&self) {
        for (disk, _) in &self.0 {
            note(disk, unknown(disk).cause("its QEMU did not end"));
        }
    }
}

/// Makes sure that every machine which has ended left its disks below `dir` as they have to be.
///
/// # Errors
/// [`Kind::Breach`] when one did not, or nobody can tell.
pub fn sound(dir: &Path) -> Result<()> {
    let all = UNSOUND.lock().unpoisoned();
    match all.iter().find(|(disk, _)| disk.starts_with(dir)) {
        Some((_, breach)) => Err(breach.clone()),
        None => Ok(()),
    }
}

/// What was made in `dir`, unless that is not [`sound`], however the work ended.
///
/// # Errors
/// The work's own; else [`Kind::Breach`], which tells of that as well.
pub fn settled<T>(dir: &Path, made: Result<T>) -> Result<T> {
    match (sound(dir), made) {
        (Ok(()), made) => made,
        (Err(breach), Err(error)) if error.kind() != Kind::Breach => Err(breach.cause(error)),
        (Err(breach), _) => Err(breach),
    }
}

fn note(disk: &Path, breach: Error) {
    let mut all = UNSOUND.lock().unpoisoned();
    all.push((disk.to_owned(), breach));
}

fn unknown(disk: &Path) -> Error {
    breach(format!(
        "nobody can tell which files {} refers to after the guest ran",
        disk.display()
    ))
}

fn breach(what: String) -> Error {
    Error::new(Kind::Breach, what)
        .hint("update QEMU, and look at what the image installs; nothing of that disk is used")
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
        let create = "create -q -f qcow2 -F raw -b base.raw layer.qcow2";
        image(&create.split(' ').collect::<Vec<_>>());
        let [layer, base] = ["layer.qcow2", "base.raw"].map(path);
        let layers = Layers::of([(&*layer, "qcow2"), (&*base, "raw")]).unwrap();
        layers.check().unwrap();
        sound(dir.path()).unwrap();
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
        // Whoever asks later is told, and what is elsewhere is not concerned.
        let error = sound(dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Breach);
        sound(&path("beside")).unwrap();
        // A stage that failed otherwise is not kept, and one that did not has no result.
        let failed = settled::<()>(dir.path(), Err(Error::stage("a step failed"))).unwrap_err();
        assert!(failed.kind() == Kind::Breach && failed.render().contains("a step failed"));
        assert_eq!(settled(dir.path(), Ok(7)).unwrap_err().kind(), Kind::Breach);
        assert_eq!(settled(&path("beside"), Ok(7)).unwrap(), 7);
        let other = tempfile::tempdir().unwrap();
        let copy = other.path().join("layer.qcow2");
        std::fs::copy(&layer, &copy).unwrap();
        let layers = Layers::of([(&*copy, "qcow2")]);
        std::fs::write(&copy, b"QFI\xfb and no more").unwrap();
        assert_eq!(layers.unwrap().check().unwrap_err().kind(), Kind::Breach);
        assert!(sound(other.path()).is_err(), "what cannot be read");
    }
}
