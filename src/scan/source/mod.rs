//! Where files come from: a directory, an archive, a disk.

mod archive;
mod at;
mod devices;
pub(crate) mod ext;
pub(crate) mod fat;
mod guest;
pub(crate) mod parts;
pub(crate) mod table;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use super::entry::FileEntry;
use super::holes::{self, Condensed, Pieces};
use super::{Host, ScanReport, Scanner, Subject, raw, rules};
use crate::error::{Context as _, Result};
use crate::ext4::Fs;
use crate::host::{interrupt, opened};
use crate::pack;
pub(super) use archive::tar;
use parts::{Content, Volume};

/// Shows every file below `root` to the scanner, `prefix` being where it is mounted.
pub(super) fn tree(root: &Path, prefix: &str, scanner: &mut Scanner<'_>) -> Result<()> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let doing = || format!("reading {}", dir.display());
        let mut names: Vec<_> = std::fs::read_dir(&dir).doing(doing)?.collect();
        names.sort_by_key(|entry| entry.as_ref().map(std::fs::DirEntry::file_name).ok());
        for entry in names {
            let path = entry.doing(doing)?.path();
            let meta = std::fs::symlink_metadata(&path).doing(doing)?;
            let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            let name = format!("{prefix}/{inside}");
            let entry = FileEntry::new(name, meta.mode(), (meta.uid(), meta.gid()), meta.len());
            if meta.is_file() {
                let mut file = opened::open_itself(&path).doing(doing)?;
                if meta.blocks() * 512 + holes::WORTH <= meta.len() {
                    with_holes(&file, &entry, scanner)?;
                } else {
                    scanner.take(&entry, &mut file)?;
                }
            } else {
                scanner.take(&entry, &mut std::io::empty())?;
            }
            if meta.is_dir() {
                dirs.push(path);
            }
        }
    }
    Ok(())
}

fn with_holes(file: &File, entry: &FileEntry, scanner: &mut Scanner<'_>) -> Result<()> {
    let pieces = Pieces::new(entry.size, raw::data(file, &(0..entry.size)));
    let mut data = Condensed::new(&pieces, |at, into: &mut [u8]| file.read_at(into, at));
    scanner.take_pieces(entry, Some(&pieces), &mut data)
}

/// Scans a disk from a flattened copy, the raw bytes beside the files.
pub(super) fn disk(
    disk: &Path,
    format: &str,
    subject: &Subject,
    host: &Host<'_>,
) -> Result<ScanReport> {
    let copy = host.scratch.join("scanned.raw");
    let raw = match format {
        "raw" => disk,
        _ => {
            host.ui.step("flattening the disk");
            pack::flatten(disk, format, &copy, host.ui)?;
            copy.as_path()
        }
    };
    host.ui.step("looking for leftovers");
    let result = flat(raw, subject, host);
    if raw == copy {
        std::fs::remove_file(&copy).doing(|| format!("removing {}", copy.display()))?;
    }
    result
}

fn flat(raw: &Path, subject: &Subject, host: &Host<'_>) -> Result<ScanReport> {
    let (files, places) = std::thread::scope(|scope| {
        let places = scope.spawn(|| raw::places(raw, &subject.known));
        let files = files(raw, subject, host);
        let panicked = || crate::error::Error::internal("the thread of the raw search panicked");
        (files, places.join().unwrap_or_else(|_| Err(panicked())))
    });
    let (mut scanner, places) = (files?, places?);
    // What is in a file has its path; the rest is where no file is.
    let known = &subject.known;
    for secret in 0..known.count() {
        let all: Vec<u64> = places
            .iter()
            .filter(|p| p.0 == secret)
            .map(|p| p.1)
            .collect();
        let hidden = (all.len() as u64).saturating_sub(scanner.in_files()[secret]);
        if hidden > 0 && !known.belongs_somewhere(secret) {
            let detail = format!(
                "the secret `{}`, {hidden} times where no file is; the disk has it at {}",
                known.name(secret),
                bytes(&all)
            );
            scanner.elsewhere(rules::known(), "(free space)".into(), detail);
        }
    }
    Ok(scanner.finish())
}

fn bytes(places: &[u64]) -> String {
    let shown: Vec<String> = places
        .iter()
        .take(3)
        .map(|at| format!("byte {at}"))
        .collect();
    let more = if places.len() > 3 { ", …" } else { "" };
    shown.join(", ") + more
}

/// The files: read here where imgforge knows the file systems, else in an appliance.
fn files<'s>(raw: &Path, subject: &'s Subject, host: &Host<'_>) -> Result<Scanner<'s>> {
    let volumes = parts::volumes(raw)?;
    if volumes.iter().all(|volume| volume.content.is_read_here()) {
        let mut scanner = Scanner::new(subject);
        scanner.tell(host.ui);
        match here(raw, &volumes, &mut scanner) {
            Ok(()) => return Ok(scanner),
            Err(error) => {
                interrupt::check()?;
                // The appliance's kernel knows more: features, damage, paths of any length.
                host.ui.line(format!(
                    "imgforge cannot read all of the disk itself: {}",
                    error.render()
                ));
            }
        }
    }
    let mut scanner = Scanner::new(subject);
    scanner.tell(host.ui);
    guest::read(raw, &volumes, &mut scanner, host)?;
    areas(raw, &volumes, &mut scanner)?;
    Ok(scanner)
}

/// Reads every file system without an appliance.
///
/// # Errors
/// When something cannot be read like that.
fn here(raw: &Path, volumes: &[Volume], scanner: &mut Scanner<'_>) -> Result<()> {
    let of = |content| {
        let volumes = volumes.iter();
        volumes.filter(move |volume: &&Volume| volume.content == content)
    };
    let doing = || format!("reading {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    let mut systems = vec![];
    for volume in of(Content::Ext) {
        let system = Fs::open(&file, volume.start);
        systems.push((
            volume,
            system.doing(|| format!("opening partition {}", volume.number))?,
        ));
    }
    let mounts = ext::mounts(&systems, volumes);
    for (volume, system) in &systems {
        let at = enter(volume, &mounts, scanner);
        ext::walk((&file, system), at, scanner)?;
    }
    for volume in of(Content::Fat) {
        let at = enter(volume, &mounts, scanner);
        fat::walk(raw, volume, at, scanner)?;
    }
    areas(raw, volumes, scanner)
}

/// Searches what holds no files, but bytes.
fn areas(raw: &Path, volumes: &[Volume], scanner: &mut Scanner<'_>) -> Result<()> {
    let doing = || format!("reading {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    let areas = volumes.iter();
    for volume in areas.filter(|volume| volume.content == Content::Bytes) {
        scanner.enter(&format!("/(partition {})", volume.number));
        let part = volume.start..volume.start + volume.size;
        let data = raw::data(&file, &part);
        let data = data.map(|run| run.start - part.start..run.end - part.start);
        let pieces = Pieces::new(volume.size, data);
        let mut bytes = Condensed::new(&pieces, |at, into: &mut [u8]| {
            file.read_at(into, part.start + at)
        });
        scanner.take_bytes("", volume.size, Some(&pieces), &mut bytes)?;
    }
    scanner.enter("");
    Ok(())
}

/// Tells the scanner where a volume is; returns what its files' paths begin with.
fn enter<'m>(
    volume: &Volume,
    mounts: &'m HashMap<u32, Option<String>>,
    scanner: &mut Scanner<'_>,
) -> &'m str {
    let at = mounts.get(&volume.number).and_then(Option::as_deref);
    match at {
        Some(_) => scanner.enter(""),
        None => scanner.enter(&format!("/(partition {})", volume.number)),
    }
    at.unwrap_or("")
}
