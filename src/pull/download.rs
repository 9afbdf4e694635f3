//! A blob over the network: as little of it as possible, and never the same bytes twice.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Session;
use super::blob::{BLOB, Blob, Origin, STAGE, origin};
use super::blocks::{self, Map};
use super::feeder::{Fed, Verdict};
use super::seed;
use super::segments::{self, Earlier, Segment};
use crate::digest::Key;
use crate::error::{Context as _, Result};
use crate::http::{Piece, note_path};
use crate::pack::read::{FOOTER_SIZE, Layout};
use crate::store::inputs::Inputs;
use crate::store::{Facts, Meta, Store};
use crate::units::Size;

/// Bytes at the end of a blob that are fetched first: they mostly have its whole index.
const END: u64 = 64 << 10;

/// A block map larger than this, in bytes, is not believed.
const LARGEST_MAP: u64 = 64 << 20;

/// How many earlier blobs are looked at for equal blocks.
const EARLIER: usize = 4;

/// What the store knows of a blob; its bytes are what is read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) sha512: String,
    pub(super) size: u64,
    pub(super) url: String,
    pub(super) revision: u64,
}

impl Facts for Kept {
    const STAGE: &'static str = STAGE;
}

impl Blob<'_> {
    /// Fetches the blob while it is unpacked; the store has it then.
    pub(super) fn download(&self, key: &Key) -> Result<Origin> {
        let began = Instant::now();
        let part = self.session.store.part(key);
        let end = self.end_of_remote()?;
        let mut first = true;
        loop {
            let have = self.have(&part)?;
            let segments = self.segments(&part, have, end.as_deref(), first);
            first = false;
            let helped = have > 0 || segments.len() > 1;
            let mut feeder = self.feeder(self.expected(None), end.clone());
            feeder.keep(&part)?;
            let fetched = self.run(&segments, &mut feeder, Some(&part))?;
            match feeder.finish()? {
                Verdict::Good(fed) => {
                    self.unpack_late(&fed, &part)?;
                    let origin = origin(fetched, fed.size.saturating_sub(fetched), &fed);
                    self.commit(key, &part, &fed, began)?;
                    return Ok(origin);
                }
                Verdict::Wrong(found) => {
                    std::fs::remove_file(&part).doing(|| format!("removing {}", part.display()))?;
                    if !helped {
                        return Err(self.wrong(found));
                    }
                    let notice = "the part that was here does not fit: fetching everything again";
                    self.ui.ui().notice(notice);
                }
            }
        }
    }

    /// How many bytes of the blob an earlier call has left.
    fn have(&self, part: &Path) -> Result<u64> {
        let have = std::fs::metadata(part).map_or(0, |metadata| metadata.len());
        let (Ok(most) | Err(most)) = self.expected(None).size;
        if have > most {
            std::fs::remove_file(part).doing(|| format!("removing {}", part.display()))?;
            return Ok(0);
        }
        Ok(have)
    }

    /// Index and footer of the blob; nothing when the server gives no parts of files, or the blob
    /// is no `.xz` file.
    fn end_of_remote(&self) -> Result<Option<Vec<u8>>> {
        let Some(size) = self
            .image
            .size
            .filter(|size| *size > 2 * FOOTER_SIZE as u64)
        else {
            return Ok(None);
        };
        let Some(mut end) = self.read_end(size, END.min(size))? else {
            return Ok(None);
        };
        let Some(len) = end
            .last_chunk()
            .and_then(|footer| Layout::end_len(footer, size).ok())
        else {
            return Ok(None);
        };
        if len > end.len() as u64 {
            let Some(longer) = self.read_end(size, len)? else {
                return Ok(None);
            };
            end = longer;
        }
        Ok(Some(end.split_off(end.len() - len as usize)))
    }

    fn read_end(&self, size: u64, len: u64) -> Result<Option<Vec<u8>>> {
        let source = self.session.source(&self.image.url)?;
        let mut stream = source.open_at(&self.image.url, size - len, Some(size), None)?;
        self.same_size(stream.stream.total())?;
        let mut end = Vec::with_capacity(len as usize);
        while let Some(piece) = stream.next_piece()? {
            match piece {
                Piece::Bytes(bytes) => end.extend_from_slice(&bytes),
                Piece::Restart => return Ok(None),
            }
        }
        Ok(Some(end).filter(|end| end.len() as u64 == len))
    }

    /// What of the blob comes from where.
    fn segments(
        &self,
        part: &Path,
        have: u64,
        end: Option<&[u8]>,
        with_earlier: bool,
    ) -> Vec<Segment> {
        let mut segments = vec![];
        if have > 0 {
            segments.push(Segment::File {
                path: part.to_owned(),
                offset: 0,
                len: have,
            });
        }
        let size = self.image.size.unwrap_or(u64::MAX);
        let delta = (with_earlier && end.is_some())
            .then(|| self.delta(have))
            .flatten();
        match delta {
            Some(planned) => segments.extend(planned),
            None if have < size => segments.push(Segment::Remote {
                start: have,
                end: None,
            }),
            None => {}
        }
        segments
    }

    /// A plan with the blocks that earlier blobs have, if that spares much.
    fn delta(&self, have: u64) -> Option<Vec<Segment>> {
        let size = self.image.size?;
        let earlier = earlier(self.session.store, &self.image.name, |path| {
            let map = std::fs::read_to_string(with_suffix(&path)).ok()?;
            let map = Map::parse(&map)?;
            Some(Earlier { path, map })
        });
        if earlier.is_empty() || have >= size {
            return None;
        }
        let url = self.image.url.join(&format!(
            "./{}{}",
            self.image.url.file_name(),
            blocks::SUFFIX
        ));
        // Without a map, or with a wrong one, everything is fetched.
        let text = self.session.read_optional(&url.ok()?, LARGEST_MAP).ok()??;
        let map = Map::parse(std::str::from_utf8(&text).ok()?)?;
        if map.size != size {
            return None;
        }
        let (planned, fetched) = segments::plan(&map, have, &earlier);
        let spared = (size - have).saturating_sub(fetched);
        if spared < (size - have) / 10 {
            return None;
        }
        let spared = Size::bytes(spared).human();
        self.ui.step(format!("{spared} are in the store already"));
        Some(planned)
    }

    fn commit(&self, key: &Key, part: &Path, fed: &Fed, began: Instant) -> Result<()> {
        let Session { store, ledger, .. } = self.session;
        drop(std::fs::remove_file(note_path(part)));
        if !self.keep {
            return std::fs::remove_file(part).doing(|| format!("removing {}", part.display()));
        }
        let doing = || format!("keeping {} in the store", self.image.url);
        let draft = store.draft(ledger)?;
        let blob = draft.path().join(BLOB);
        std::fs::rename(part, &blob).doing(doing)?;
        if let Some(map) = &fed.map {
            std::fs::write(with_suffix(&blob), map.text()).doing(doing)?;
        }
        if let Some(unpacked) = &fed.unpacked {
            seed::write(&blob, &unpacked.blocks).doing(doing)?;
        }
        let inputs = Inputs::new(STAGE, 1);
        let meta = Meta::new(key.clone(), &self.image.name, STAGE, inputs, began);
        let facts = Kept {
            sha512: self.image.sha512.clone(),
            size: fed.size,
            url: self.image.url.to_string(),
            revision: self.image.revision,
        };
        draft.commit_over(store, meta, facts)?;
        if let Some(limit) = self.session.config.store.max_size {
            store.shrink(limit)?;
        }
        Ok(())
    }
}

/// What `read` finds beside the blobs of the store, an image's own first, the newest first.
pub(super) fn earlier<T>(
    store: &Store,
    image: &str,
    read: impl Fn(PathBuf) -> Option<T>,
) -> Vec<T> {
    let mut entries = store.all();
    entries.retain(|entry| entry.meta().stage == STAGE);
    entries.sort_by_key(|entry| {
        let other = entry.meta().image != image;
        (other, std::cmp::Reverse(entry.meta().created))
    });
    let blobs = entries.iter().map(|entry| entry.path().join(BLOB));
    blobs.filter_map(read).take(EARLIER).collect()
}

fn with_suffix(blob: &Path) -> PathBuf {
    let name = format!("{BLOB}{}", blocks::SUFFIX);
    blob.with_file_name(name)
}
