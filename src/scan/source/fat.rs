//! FAT, read by imgforge itself, which so knows that every cluster in use is one of a file that was
//! searched: mtools leave out what they do not expect, and say nothing.

mod items;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use self::items::{Item, items};
use self::system::System;
use super::at::At;
use super::parts::Volume;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::scan::{FileEntry, Scanner};

/// How large a directory can be, in bytes: it has 65536 entries.
const DIRECTORY: u64 = 2 << 20;

/// How long a path may be, in bytes; no system opens longer ones.
const PATH: usize = 4096;

/// Shows every file of the file system to the scanner; it has no owners and modes. Clusters in use
/// that are no file's are a finding, and so are files of which some are not there.
///
/// # Errors
/// When it cannot be read, or is no FAT that imgforge knows.
pub(super) fn walk(raw: &Path, volume: &Volume, at: &str, scanner: &mut Scanner<'_>) -> Result<()> {
    let (file, mut system) = open(raw, volume)?;
    let faults = visit(&file, &mut system, |path, item, runs| {
        let mode = if item.is_dir { 0o040_755 } else { 0o100_644 };
        let entry = FileEntry::new(format!("{at}{path}"), mode, (0, 0), item.size);
        scanner.take(&entry, &mut Runs::new(&file, runs).take(item.size))
    })?;
    if let Some(why) = faults.damage_report() {
        scanner.unsearched(if at.is_empty() { "/" } else { at }, why);
    }
    Ok(())
}

/// A file or directory of a FAT.
#[derive(Debug)]
pub(crate) struct Listed {
    /// From its root on, which is `/`.
    pub(crate) path: String,
    pub(crate) is_dir: bool,
    /// In bytes; nothing is said of directories.
    pub(crate) size: u64,
    /// Where its content is.
    pub(crate) runs: Vec<Range<u64>>,
}

/// Gives every file and directory of the file system that begins at `start`.
///
/// # Errors
/// When it cannot be read, is no FAT that imgforge knows, or is damaged.
pub(crate) fn list(
    file: &dyn At,
    start: u64,
    mut take: impl FnMut(Listed) -> Result<()>,
) -> Result<()> {
    let mut system = known(file, start)?;
    let faults = visit(file, &mut system, |path, item, runs| {
        let (path, is_dir, size) = (path.to_owned(), item.is_dir, item.size);
        take(Listed {
            path,
            is_dir,
            size,
            runs,
        })
    })?;
    match faults.damage_report() {
        Some(why) => Err(Error::stage(why)),
        None => Ok(()),
    }
}

/// Reports what an appliance, which has read all files, cannot have seen: clusters in use that are no
/// file's, and names that Linux takes for another's. `file` is all of the file system.
///
/// # Errors
/// On an interrupt.
pub(super) fn account(file: &dyn At, scanner: &mut Scanner<'_>) -> Result<()> {
    let result = known(file, 0).and_then(|mut system| visit(file, &mut system, |_, _, _| Ok(())));
    interrupt::check()?;
    let why = match result {
        Ok(faults) => faults.shadowed().or(faults.damage_report()),
        Err(error) => Some(error.message().to_owned()),
    };
    if let Some(why) = why {
        scanner.unsearched("/", why);
    }
    Ok(())
}

fn open(raw: &Path, volume: &Volume) -> Result<(File, System)> {
    let doing = || format!("reading volume {} of {}", volume.number, raw.display());
    let file = File::open(raw).doing(doing)?;
    let system = known(&file, volume.start)?;
    Ok((file, system))
}

/// The file system that begins at `start`.
fn known(file: &dyn At, start: u64) -> Result<System> {
    let system = System::read(file, start).doing(|| "reading its FAT".into())?;
    let unknown = || Error::stage("it is a FAT of a kind that imgforge does not read");
    system.ok_or_else(unknown)
}

/// What was not as it should be.
#[derive(Debug, Default)]
struct Faults {
    /// Files and directories without all of their clusters: the first, and how many there are.
    damaged: Option<(String, u64)>,
    /// The first whose name Linux takes for that of another.
    shadowed: Option<String>,
    /// How many clusters are in use by nobody.
    lost: usize,
}

impl Faults {
    fn damage(&mut self, path: &str) {
        self.damaged.get_or_insert_with(|| (path.to_owned(), 0)).1 += 1;
    }

    fn damage_report(&self) -> Option<String> {
        let damaged = self.damaged.as_ref().map(|(path, count)| {
            format!("{count} of its files and directories are damaged, or share clusters with others, the first is {path}")
        });
        let lost = (self.lost > 0).then(|| {
            format!(
                "{} clusters of its FAT are in use, but no file's (`fsck.fat -n` shows it)",
                self.lost
            )
        });
        let all: Vec<String> = damaged.into_iter().chain(lost).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn shadowed(&self) -> Option<String> {
        let path = self.shadowed.as_ref()?;
        Some(format!("the name of {path} is that of another file, too"))
    }
}

/// Shows every file and directory to `see`, with where its content is on the disk. Each cluster is
/// seen once, so that there is an end.
fn visit(
    file: &dyn At,
    system: &mut System,
    mut see: impl FnMut(&str, &Item, Vec<Range<u64>>) -> Result<()>,
) -> Result<Faults> {
    let mut faults = Faults::default();
    let root = system.root(DIRECTORY);
    if !root.whole {
        faults.damage("/");
    }
    let mut dirs = vec![(Rc::<str>::from(""), String::new(), root.runs)];
    while let Some((parent, name, runs)) = dirs.pop() {
        interrupt::check()?;
        let dir: Rc<str> = format!("{parent}{name}").into();
        let mut content = vec![];
        for run in runs {
            let before = content.len();
            content.resize(before + (run.end - run.start) as usize, 0);
            let read = file.fill(&mut content[before..], run.start);
            read.doing(|| format!("reading {dir}/ of the image"))?;
        }
        let mut names = BTreeSet::new();
        for item in items(&content, system.wide) {
            let path = format!("{dir}/{}", item.name);
            if is_shadowed(&item, &mut names) {
                faults.shadowed.get_or_insert_with(|| path.clone());
            }
            if path.len() > PATH {
                faults.damage(&path);
                continue;
            }
            let chain = match item.is_dir {
                true => system.directory(item.first, DIRECTORY),
                false => system.file(item.first, item.size),
            };
            if !chain.whole {
                faults.damage(&path);
            }
            if item.is_dir {
                see(&path, &item, vec![])?;
                dirs.push((dir.clone(), format!("/{}", item.name), chain.runs));
            } else {
                see(&path, &item, chain.runs)?;
            }
        }
    }
    faults.lost = system.lost();
    Ok(faults)
}

/// Whether Linux opens something else by the name of this one: it looks for long and short names,
/// whatever the case, without dots at the end.
fn is_shadowed(item: &Item, names: &mut BTreeSet<String>) -> bool {
    let key = |name: &str| name.trim_end_matches('.').to_lowercase();
    let is = matches!(item.name.as_str(), "." | "..") || names.contains(&key(&item.name));
    names.extend([key(&item.name), key(&item.short)]);
    is
}

/// Reads parts of the disk, one behind the other.
struct Runs<'f> {
    file: &'f dyn At,
    left: std::vec::IntoIter<Range<u64>>,
    now: Range<u64>,
}

impl<'f> Runs<'f> {
    fn new(file: &'f dyn At, runs: Vec<Range<u64>>) -> Self {
        Runs {
            file,
            left: runs.into_iter(),
            now: 0..0,
        }
    }
}

impl Read for Runs<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.left.next() {
                Some(run) => self.now = run,
                None => return Ok(0),
            }
        }
        let most = usize::try_from(self.now.end - self.now.start).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        self.file.fill(&mut buffer[..most], self.now.start)?;
        self.now.start += most as u64;
        Ok(most)
    }
}
