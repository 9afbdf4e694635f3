//! Writes a published image to a disk of this machine: verified before the first byte, whole or not at all,
//! and only once.

mod adapt;
pub mod medium;
mod plan;
mod record;
pub mod report;
mod view;
mod write;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::blockdev::{Device, Disk};
use crate::digest::Key;
use crate::error::{Error, Result};
use crate::pull::{self, Image, Session};
use crate::ui::{Event, StageUi, Unit};
use crate::units::Size;
use adapt::Root;
use plan::{Before, Plan};
use record::{Record, State};
use view::View;
use write::Installation;

pub use adapt::{MachineUrl, Own, schema};

/// The name of this work in events.
const STAGE: &str = "deploy";

/// How an image is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether what is on the disk may be lost.
    pub replace: bool,
    /// What is this machine's own.
    pub own: Own,
    /// How many threads decode; default: one a core.
    pub threads: Option<NonZeroUsize>,
}

/// What became of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deployed {
    /// Whether something was written: else the image was there already.
    pub written: bool,
    /// Whether an installation was finished that had been interrupted.
    pub resumed: bool,
    /// The image's entry in the index.
    pub image: String,
    /// Its revision.
    pub revision: u64,
    /// SHA-512 of its blob, in hex.
    pub sha512: String,
    /// Size of the disk, in bytes.
    pub size: u64,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    /// Nothing.
    Nothing,
    /// All.
    Begin(Record),
    /// What is left.
    Resume(Record),
}

/// Writes an image to a disk.
///
/// # Errors
/// When the disk is not to be written to, the image is not what its signed index says, or does not fit: nothing
/// was written then. When it cannot be written: the disk boots nowhere then, and the next call goes on.
pub fn install(
    session: &Session<'_>,
    image: &Image,
    disk: &mut Disk,
    options: Options,
) -> Result<Deployed> {
    let mut deployed = Deployed {
        written: false,
        resumed: false,
        image: image.entry.clone(),
        revision: image.revision,
        sha512: image.sha512.clone(),
        size: disk.size(),
    };
    options.own.check_machine(Path::new("/sys"))?;
    plan::check_size(image.disk_size, disk.size())?;
    let wanted = wanted(image, disk.size(), options.own.digest());
    if let Decision::Nothing = decide(disk, &wanted, options.replace, None)? {
        return Ok(deployed);
    }
    adapt::check_tools()?;
    let began = Instant::now();
    let ui = session.ui.stage(&image.name, STAGE);
    ui.ui().event(&Event::Started {
        image: image.name.clone(),
        stage: STAGE.into(),
        key: wanted.plan.clone(),
        last: None,
    });
    let known = pull::whole(session, image, &ui)?;
    let plan = Plan::new(&known, disk.size())?;
    let puts = adapt::puts(&View::new(&known), &plan.root, &options.own)?;
    disk.make_writable()?;
    // Somebody may have used the disk while the blob was fetched.
    let record = match decide(disk, &wanted, options.replace, Some(&plan))? {
        Decision::Nothing => return Ok(deployed),
        Decision::Begin(record) => record,
        Decision::Resume(record) => {
            deployed.resumed = true;
            record
        }
    };
    ui.step(match record.done {
        0 => "writing",
        _ => "writing what is left",
    });
    let total = known.layout().size();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let opened: &Disk = disk;
    let root = Root {
        disk: opened,
        part: &plan.root,
    };
    let installation = Installation {
        device: opened,
        image: &known,
        plan: &plan,
        threads: options.threads.map_or(cores, NonZeroUsize::get),
        part: Installation::PART,
        progress: &|at| ui.progress(at, total, Unit::Bytes),
        adapt: &|_| root.adapt(&puts, &ui),
    };
    let finished = installation.run(record);
    finished
        .map_err(|error| error.resume("the same command; until then the disk does not boot"))?;
    deployed.written = true;
    ui.ui().event(&Event::Finished {
        image: image.name.clone(),
        stage: STAGE.into(),
        took: began.elapsed(),
        note: None,
    });
    Ok(deployed)
}

/// Whether a disk has this image by its own record, with whatever machine file.
///
/// # Errors
/// When it cannot be read.
pub fn has(device: &dyn Device, image: &Image) -> Result<bool> {
    let (before, found) = (plan::look(device)?, Record::read(device)?);
    Ok(found.is_some_and(|found| {
        found.state == State::Complete
            && found.sha512 == image.sha512
            && before.boots
            && before.table.is_some()
            && before.table == found.table
    }))
}

/// Whether an image fits on a disk of `size` bytes.
///
/// # Errors
/// When it does not.
pub fn check_fits(image: &Image, size: u64) -> Result<()> {
    plan::check_size(image.disk_size, size)
}

/// Whether an image can be put onto disks, and has what a machine file needs: all that needs no disk.
///
/// # Errors
/// What [`install`] would refuse on every machine.
fn check(session: &Session<'_>, image: &Image, own: &Own, ui: &StageUi) -> Result<()> {
    let known = pull::whole(session, image, ui)?;
    let plan = Plan::new(&known, image.disk_size)?;
    adapt::puts(&View::new(&known), &plan.root, own)?;
    Ok(())
}

/// The record of an installation that has not begun.
fn wanted(image: &Image, disk: u64, own: &str) -> Record {
    let plan = format!("deploy 1\n{}\n{disk}\n{own}\n", image.sha512);
    Record {
        sequence: 0,
        state: State::Writing,
        image: image.entry.clone(),
        revision: image.revision,
        sha512: image.sha512.clone(),
        plan: Key::of(plan.as_bytes()).as_str().to_owned(),
        done: 0,
        old: vec![],
        table: None,
        installed: None,
    }
}

/// Looks at what a disk has. Without the plan, which the blob tells, what a cut has left at the very end of an
/// installation is not told from what others have put there.
fn decide(
    device: &dyn Device,
    wanted: &Record,
    replace: bool,
    plan: Option<&Plan>,
) -> Result<Decision> {
    let before = plan::look(device)?;
    let found = Record::read(device)?;
    if let Some(found) = &found
        && found.plan == wanted.plan
    {
        // Somebody else may have made a table since.
        let ours = before.boots && before.table.is_some() && before.table == found.table;
        match found.state {
            State::Complete if ours => return Ok(Decision::Nothing),
            State::Complete => {}
            State::Committing => {
                let goes_on = match plan {
                    None => ours || !before.boots,
                    Some(plan) => plan.is_under_way(device)? || ours && plan.is_whole(device)?,
                };
                if goes_on {
                    return Ok(Decision::Resume(found.clone()));
                }
            }
            _ if before.is_bare => return Ok(Decision::Resume(found.clone())),
            _ => {}
        }
    }
    let new = Record {
        // Its copies count from now on.
        sequence: found.as_ref().map_or(0, |found| found.sequence),
        old: starts(&before, found.as_ref()),
        ..wanted.clone()
    };
    let what = match &found {
        Some(found) => Some(describe(&before, found, &new)),
        None => before.what.clone(),
    };
    match what {
        Some(what) if !replace => Err(Error::host(
            "the disk is not empty, and nothing was written",
        )
        .cause(format!("it has {what}"))
        .hint("choose another disk, or lose what is on this one: --replace")),
        _ => Ok(Decision::Begin(new)),
    }
}

/// What was known of partitions before.
fn starts(before: &Before, found: Option<&Record>) -> Vec<u64> {
    let unfinished = found.map(|found| found.old.clone()).unwrap_or_default();
    let mut starts = [unfinished, before.starts.clone()].concat();
    starts.sort_unstable();
    starts.dedup();
    // A GPT has no more.
    starts.truncate(128);
    starts
}

/// What would be lost, in words.
fn describe(before: &Before, found: &Record, wanted: &Record) -> String {
    let (image, revision) = (&found.image, found.revision);
    let what = format!("revision {revision} of `{image}`");
    let ours = before.table.is_some() && before.table == found.table;
    match found.state {
        State::Complete if ours && found.sha512 == wanted.sha512 => {
            format!("{what} already, with another machine file or for another size of the disk")
        }
        State::Complete if ours => what,
        State::Complete => match &before.what {
            Some(now) => format!("{now}, and had {what} before"),
            None => format!("lost its table, and had {what}"),
        },
        _ => match before.what.as_ref().filter(|_| !before.is_bare) {
            Some(now) => format!("{now}, and an interrupted installation of {what}"),
            None => format!("an interrupted installation of {what}"),
        },
    }
}

/// As people see it.
impl std::fmt::Display for Deployed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Deployed {
            image,
            revision,
            size,
            ..
        } = self;
        let size = Size::bytes(*size).human();
        match (self.written, self.resumed) {
            (false, _) => write!(f, "{image} revision {revision} already, nothing written"),
            (true, false) => write!(f, "{image} revision {revision} on {size}, verified"),
            (true, true) => write!(
                f,
                "{image} revision {revision} on {size}, verified, after an interrupted installation"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
