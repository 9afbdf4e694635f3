//! Plans how the running system of a machine is replaced by a published image: what is kept of it, and what is
//! lost. Nothing is changed.

mod keep;
mod network;
mod system;

use std::fmt;
use std::path::Path;

use crate::blockdev::Disk;
use crate::deploy;
use crate::error::{Error, Result};
use crate::host::exec;
use crate::host::tools;
use crate::pull::Image;
use crate::units::Size;
use keep::Kept;
use system::{Mount, Part, System};

pub use keep::Keep;

/// Memory of the kernel and the programs that write the image.
const RUNNING: Size = Size::mib(512);

/// What the RAM disk has beside the image, before it is known.
const PROGRAMS: Size = Size::mib(96);

/// What would become of a system.
#[derive(Debug)]
pub enum Takeover {
    /// Nothing: it has this image already.
    Already(String),
    /// Its disk would get the image.
    Planned(Box<Plan>),
}

/// How a system would be replaced.
#[derive(Debug)]
pub struct Plan {
    image: Image,
    system: System,
    kept: Kept,
}

/// Looks at the running system, which is below `root`, and plans how it is replaced.
///
/// # Errors
/// When it is not understood, or what is to be kept cannot be kept.
pub fn plan(root: &Path, image: &Image, keep: &[Keep]) -> Result<Takeover> {
    let system = System::look(root)?;
    let disk = Disk::open(&root.join("dev").join(&system.disk.name))?;
    if deploy::has(&disk, image)? {
        let (entry, revision) = (&image.entry, image.revision);
        return Ok(Takeover::Already(format!(
            "{}: {entry} revision {revision} already, nothing changed",
            disk.path().display()
        )));
    }
    deploy::check_fits(image, system.disk.size)?;
    let kept = Kept::read(root, keep)?;
    Ok(Takeover::Planned(Box::new(Plan {
        image: image.clone(),
        system,
        kept,
    })))
}

/// Memory that the RAM disk needs, where the image's blob has so many bytes: it is unpacked beside what was
/// loaded.
fn needed(blob: u64, programs: Size) -> Size {
    Size::bytes(2 * (blob + programs.as_bytes()) + RUNNING.as_bytes())
}

impl Plan {
    /// Looks whether this machine can do it.
    ///
    /// # Errors
    /// When its memory is too small, or its kernel starts no other one.
    pub fn check(&self) -> Result<()> {
        let rescue = "start a rescue system, and run `imgforge deploy disk` there; \
                      or boot what `imgforge deploy medium` writes";
        if let Some(why) = self.system.no_kexec {
            return Err(system::refused(why, rescue));
        }
        let needed = self.needed()?;
        let (all, free) = self.system.memory;
        if needed > all {
            let why = format!(
                "it has {} of memory, and {} are needed",
                all.human(),
                needed.human()
            );
            return Err(system::refused(why, rescue));
        }
        // While it is loaded, the RAM disk is there twice, too.
        let loading = needed.as_bytes() - RUNNING.as_bytes();
        if loading > free.as_bytes() {
            let why = format!(
                "{} of its memory are free, and {} are needed",
                free.human(),
                Size::bytes(loading).human()
            );
            return Err(system::refused(
                why,
                "stop what uses memory, and run the command again",
            ));
        }
        match exec::find("kexec") {
            Some(_) => Ok(()),
            None => Err(system::refused(
                "`kexec`, which starts another kernel, is not installed",
                &format!("install it: {}", tools::install_line(&["kexec-tools"])),
            )),
        }
    }

    fn needed(&self) -> Result<Size> {
        let Some(blob) = self.image.size else {
            let error = Error::stage(format!("the index has no size of `{}`", self.image.name));
            return Err(error.hint("tell the repository's owner to add `compressed_size=`"));
        };
        Ok(needed(blob, PROGRAMS))
    }
}

/// As people see it: a line for each thing.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            image,
            system,
            kept,
        } = self;
        let (entry, revision) = (&image.entry, image.revision);
        writeln!(
            f,
            "{entry} revision {revision} replaces the system on {}",
            system.disk
        )?;
        let firmware = if system.uefi { "UEFI" } else { "BIOS" };
        writeln!(
            f,
            "  disk: found again by {}, started by {firmware}",
            system.rule
        )?;
        let (all, _) = system.memory;
        let needed = self.needed().map_or("?".into(), Size::human);
        writeln!(f, "  memory: {} of {} are needed", needed, all.human())?;
        for Part { name, size, points } in &system.parts {
            let size = Size::bytes(*size).human();
            match points.is_empty() {
                true => writeln!(f, "  lost: /dev/{name}, {size}")?,
                false => writeln!(f, "  lost: /dev/{name}, {size}, {}", points.join(" and "))?,
            }
        }
        for Mount { point, source, .. } in &system.stays {
            writeln!(
                f,
                "  stays: {source}, which the new system does not mount at {point}"
            )?;
        }
        match kept.is_empty() {
            true => writeln!(f, "  kept: nothing"),
            false => kept
                .told
                .iter()
                .try_for_each(|told| writeln!(f, "  kept: {told}")),
        }
    }
}

#[cfg(test)]
mod tests;
