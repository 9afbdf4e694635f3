//! From the entry of an index to a verified disk: out of the store, or over the network.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feeder::{Expected, Fed, Feeder, Verdict};
use super::segments::Segment;
use super::{Image, Session, plain};
use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::host::{interrupt, opened};
use crate::http::{Piece, read_note, write_note};
use crate::pack::read::{FOOTER_SIZE, Layout, ReadOptions, Seed};
use crate::ui::{Event, StageUi, Unit};

/// The name of this work in events and in the store.
pub(super) const STAGE: &str = "pull";

/// The blob's name in its entry of the store.
pub(super) const BLOB: &str = "blob";

/// Bytes read at once from a file of this host.
const CHUNK: usize = 256 << 10;

/// Where the bytes of a disk came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// Bytes that came over the network.
    pub(super) fetched: u64,
    /// Bytes of earlier blobs, or of an interrupted call.
    pub(super) reused: u64,
    /// Size of the blob.
    pub(super) size: u64,
    /// Bytes of the disk that were taken from the one that was there.
    pub(super) copied: u64,
    /// Bytes of the disk that were others there than they were once.
    pub(super) changed: u64,
}

/// Work on one blob.
pub(super) struct Blob<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) image: &'a Image,
    /// The disk to write; an empty file.
    pub(super) disk: &'a Path,
    pub(super) options: ReadOptions,
    /// The disk that was there, and what its blocks should be.
    pub(super) seed: Arc<Seed>,
    /// Whether the store keeps it.
    pub(super) keep: bool,
    pub(super) ui: &'a StageUi,
}

impl Blob<'_> {
    /// Writes the disk, verified.
    pub(super) fn obtain(&self) -> Result<Origin> {
        let store = self.session.store;
        let key = key(&self.image.sha512);
        loop {
            // Of a repository on another host the store may have it all the same.
            let counts = |path: &PathBuf| path.is_file() || store.entry(&key).is_none();
            if let Some(path) = self.image.url.local().filter(counts) {
                self.ui.step("verifying and unpacking");
                return match self.unpack_file(&path)? {
                    Ok(fed) => Ok(origin(0, fed.size, &fed)),
                    Err(found) => Err(self.wrong(found)),
                };
            }
            let lock = store.lock(&key, |pid| {
                self.ui.ui().event(&Event::Waiting {
                    image: self.ui.image().into(),
                    stage: STAGE.into(),
                    pid,
                });
            })?;
            let Some(entry) = store.entry(&key) else {
                let origin = self.download(&key)?;
                drop(lock);
                return Ok(origin);
            };
            entry.touch();
            let shared = lock.downgrade()?;
            self.ui.step("unpacking what the store has");
            let result = self.unpack_file(&entry.path().join(BLOB))?;
            drop(shared);
            match result {
                Ok(fed) => return Ok(origin(0, fed.size, &fed)),
                Err(found) => {
                    let path = entry.path().display();
                    self.ui
                        .ui()
                        .warning(format!("{path} is damaged: {found}; it is fetched again"));
                    let _lock = store.lock(&key, |_| {})?;
                    drop(std::fs::remove_dir_all(entry.path()));
                }
            }
        }
    }

    /// Unpacks a complete blob, which may be another one than it should be.
    fn unpack_file(&self, path: &Path) -> Result<Result<Fed, String>> {
        let doing = || format!("reading {}", path.display());
        let file = match opened::open(path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                let error = Error::stage(format!("{} is not there", path.display()));
                return Err(error
                    .cause(format!(
                        "the signed index of `{}` names it",
                        self.image.name
                    ))
                    .hint(
                        "tell the repository's owner; `imgforge repo verify` finds what is missing",
                    ));
            }
            opened => opened.doing(doing)?,
        };
        let size = file.metadata().doing(doing)?.len();
        if let Some(other) = self.image.size.filter(|expected| *expected != size) {
            return Ok(Err(format!("it has {size} bytes, not {other}")));
        }
        let expected = self.expected(Some(size));
        let end = end_of_file(&file, size);
        let mut feeder = self.feeder(expected, end);
        let segment = Segment::File {
            path: path.to_owned(),
            offset: 0,
            len: size,
        };
        self.run(&[segment], &mut feeder, None)?;
        match feeder.finish()? {
            Verdict::Good(fed) => {
                self.unpack_late(&fed, path)?;
                Ok(Ok(fed))
            }
            Verdict::Wrong(found) => Ok(Err(found)),
        }
    }

    pub(super) fn feeder<'a>(&'a self, expected: Expected<'a>, end: Option<Vec<u8>>) -> Feeder<'a> {
        Feeder::new(expected, self.disk, self.options, &self.seed, end)
    }

    pub(super) fn expected(&self, size: Option<u64>) -> Expected<'_> {
        let most = self.image.disk_size / 8 * 9 + (1 << 20);
        Expected {
            sha512: &self.image.sha512,
            size: size.or(self.image.size).ok_or(most),
        }
    }

    /// A blob without blocks that could be decoded as they came.
    pub(super) fn unpack_late(&self, fed: &Fed, blob: &Path) -> Result<()> {
        if fed.unpacked.is_some() {
            return Ok(());
        }
        self.ui.step("unpacking");
        let (name, url) = (&self.image.name, &self.image.url);
        let complete = plain::Complete {
            path: blob,
            shown: &format!("`{name}`, {url},"),
            // What the store has nobody else writes.
            sha512: url.local().map(|_| self.image.sha512.as_str()),
        };
        plain::unpack(&complete, self.disk, &self.options, self.ui)
    }

    pub(super) fn wrong(&self, found: String) -> Error {
        wrong(self.image, found)
    }

    /// Feeds the segments in order; returns how many bytes came over the network.
    pub(super) fn run(
        &self,
        segments: &[Segment],
        feeder: &mut Feeder<'_>,
        part: Option<&Path>,
    ) -> Result<u64> {
        let mut progress = Progress {
            ui: self.ui,
            total: self.image.size,
            shown: Instant::now(),
        };
        let mut fetched = 0;
        for segment in segments {
            match segment {
                Segment::File { path, offset, len } => {
                    let kept = part == Some(path.as_path());
                    feed_file(path, *offset, *len, |bytes| {
                        feeder.take(bytes, kept)?;
                        progress.show(feeder);
                        Ok(())
                    })?;
                }
                Segment::Remote { start, end } => {
                    let range = (*start, *end);
                    let (bytes, whole) = self.feed_remote(range, feeder, part, &mut progress)?;
                    if whole {
                        return Ok(bytes);
                    }
                    fetched += bytes;
                }
            }
        }
        Ok(fetched)
    }

    /// Feeds a part of the remote file. Returns how many bytes came, and whether they are the
    /// whole file, because there was no such part.
    fn feed_remote(
        &self,
        (start, end): (u64, Option<u64>),
        feeder: &mut Feeder<'_>,
        part: Option<&Path>,
        progress: &mut Progress<'_>,
    ) -> Result<(u64, bool)> {
        let url = &self.image.url;
        let mut known = part
            .filter(|_| start > 0)
            .and_then(|part| read_note(part, url));
        let source = self.session.source(url)?;
        let mut stream = source.open_at(url, start, end, known.as_deref())?;
        let (mut fetched, mut whole) = (0, false);
        while let Some(piece) = stream.next_piece()? {
            self.same_size(stream.stream.total())?;
            progress.total = progress.total.or(stream.stream.total());
            if let (Some(part), true) = (part, stream.stream.validator() != known.as_deref()) {
                known = stream.stream.validator().map(str::to_owned);
                write_note(part, url, known.as_deref())?;
            }
            match piece {
                Piece::Bytes(bytes) => {
                    feeder.take(&bytes, false)?;
                    fetched += bytes.len() as u64;
                }
                Piece::Restart => {
                    feeder.restart()?;
                    (whole, fetched) = (true, 0);
                }
            }
            progress.show(feeder);
        }
        Ok((fetched, whole))
    }

    /// What the server says about the size must be what the index says.
    pub(super) fn same_size(&self, total: Option<u64>) -> Result<()> {
        match (total, self.image.size) {
            (Some(total), Some(size)) if total != size => Err(self.wrong(format!(
                "the server says that it has {total} bytes, not {size}"
            ))),
            _ => Ok(()),
        }
    }
}

pub(super) fn wrong(image: &Image, found: String) -> Error {
    Error::gate(format!("{} is not what the signed index says", image.url))
        .cause(found)
        .hint("do not use it; tell the repository's owner, or try another proxy")
}

/// The key of a blob in the store: it depends on nothing but its bytes.
pub(super) fn key(sha512: &str) -> Key {
    Key::of(format!("blob sha512 {sha512}").as_bytes())
}

pub(super) fn origin(fetched: u64, reused: u64, fed: &Fed) -> Origin {
    let unpacked = fed.unpacked.as_ref();
    Origin {
        fetched,
        reused,
        size: fed.size,
        copied: unpacked.map_or(0, |unpacked| unpacked.copied),
        changed: unpacked.map_or(0, |unpacked| unpacked.changed),
    }
}

fn end_of_file(file: &File, size: u64) -> Option<Vec<u8>> {
    let mut footer = [0; FOOTER_SIZE];
    let at = size.checked_sub(FOOTER_SIZE as u64)?;
    file.read_exact_at(&mut footer, at).ok()?;
    let len = Layout::end_len(&footer, size).ok()?;
    let mut end = vec![0; len as usize];
    file.read_exact_at(&mut end, size - len).ok()?;
    Some(end)
}

fn feed_file(
    path: &Path,
    mut offset: u64,
    len: u64,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let doing = || format!("reading {}", path.display());
    let file = opened::open(path).doing(doing)?;
    let (end, mut buffer) = (offset + len, vec![0; CHUNK]);
    while offset < end {
        interrupt::check()?;
        let some = &mut buffer[..CHUNK.min((end - offset) as usize)];
        file.read_exact_at(some, offset).doing(doing)?;
        take(some)?;
        offset += some.len() as u64;
    }
    Ok(())
}

struct Progress<'a> {
    ui: &'a StageUi,
    total: Option<u64>,
    shown: Instant,
}

impl Progress<'_> {
    fn show(&mut self, feeder: &Feeder<'_>) {
        let (at, total) = (feeder.at(), self.total.unwrap_or(feeder.at()));
        if self.shown.elapsed() > Duration::from_millis(100) || at == total {
            self.ui.progress(at, total, Unit::Bytes);
            self.shown = Instant::now();
        }
    }
}
