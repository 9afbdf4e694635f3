//! The raw bytes of a disk, free space included.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::find::Finder;
use super::known::Known;
use crate::error::{Context as _, Result};
use crate::holes::extent;
use crate::host::interrupt;
use crate::host::sparse;
use crate::pack;
use crate::ui::StageUi;

/// A secret's place on a disk: its number and the byte.
pub(super) type Place = (usize, u64);

/// Every place of the known secrets in a raw disk; holes are not read.
pub(super) fn places(raw: &Path, known: &Known) -> Result<Vec<Place>> {
    if known.is_empty() {
        return Ok(vec![]);
    }
    let doing = || format!("reading {}", raw.display());
    let finder = Finder::known_only(known);
    let file = File::open(raw).doing(doing)?;
    let size = file.metadata().doing(doing)?.len();
    let (mut found, mut at) = (vec![], 0);
    while let Some((start, end)) = extent(&file, at, size) {
        let mut part = Part {
            file: &file,
            at: start,
            end,
        };
        let hits = finder.search(&mut part, &[]).doing(doing)?;
        found.extend(
            hits.known
                .into_iter()
                .map(|(secret, at)| (secret, start + at)),
        );
        interrupt::check()?;
        at = end;
    }
    Ok(found)
}

/// Whether there is nothing but zeroes in this part of a file; its holes are not read.
pub(super) fn is_zero(file: &File, part: &Range<u64>) -> io::Result<bool> {
    let mut buffer = vec![0; 1 << 20];
    for data in data(file, part) {
        let mut part = Part {
            file,
            at: data.start,
            end: data.end,
        };
        loop {
            if interrupt::raised() {
                return Err(io::Error::other("interrupted"));
            }
            match part.read(&mut buffer)? {
                0 => break,
                read if sparse::is_zero(&buffer[..read]) => {}
                _ => return Ok(false),
            }
        }
    }
    Ok(true)
}

/// Where there is data in this part of a file.
pub(super) fn data<'f>(
    file: &'f File,
    part: &Range<u64>,
) -> impl Iterator<Item = Range<u64>> + use<'f> {
    let (mut at, end) = (part.start, part.end);
    std::iter::from_fn(move || {
        let (start, to) = extent(file, at, end)?;
        at = to.min(end);
        (start < end).then_some(start..at)
    })
}

struct Part<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The known secrets in a disk, each with its first place.
pub(super) fn disk(
    disk: &Path,
    format: &str,
    known: &Known,
    scratch: &Path,
    ui: &StageUi,
) -> Result<Vec<(String, u64)>> {
    let raw = scratch.join("searched.raw");
    pack::flatten(disk, format, &raw, ui)?;
    let found = places(&raw, known);
    std::fs::remove_file(&raw).doing(|| format!("removing {}", raw.display()))?;
    let mut named: Vec<(String, u64)> = vec![];
    for (secret, at) in found? {
        let name = known.name(secret);
        if !known.belongs_somewhere(secret) && !named.iter().any(|(seen, _)| seen == name) {
            named.push((name.to_owned(), at));
        }
    }
    Ok(named)
}

/// The names of the known secrets in a stream.
pub(super) fn stream(content: &mut dyn Read, known: &Known) -> io::Result<Vec<String>> {
    let hits = Finder::known_only(known).search(content, &[])?;
    let mut names: Vec<String> = hits
        .known
        .iter()
        .map(|(secret, _)| known.name(*secret).to_owned())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn secrets_between_holes_are_found_with_their_places() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let known = Known::new(&BTreeMap::from([(
            "token".into(),
            b"s3cret-value".to_vec(),
        )]));
        for at in [0u64, 5 << 20, (64 << 20) - 12] {
            file.as_file().write_all_at(b"s3cret-value", at).unwrap();
        }
        let found = places(file.path(), &known).unwrap();
        assert_eq!(found, [(0, 0), (0, 5 << 20), (0, (64 << 20) - 12)]);
        let names = stream(&mut &b"x s3cret-value y"[..], &known).unwrap();
        assert_eq!(names, ["token"]);
    }
}
