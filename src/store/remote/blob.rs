//! Files of an entry as blobs, and back: cut, compressed, with what is zero left out.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::wire::{INLINE, Part};
use crate::digest::{Hashed, Sha256};
use crate::error::{Context as _, Result};
use crate::holes;
use crate::host::space::Frugal;
use crate::host::{interrupt, sparse};

/// Files are cut here, in bytes: compressed or not, no blob is larger than 4 GiB.
pub(super) const CUT: u64 = (4 << 30) - (64 << 20);

/// A disk is as quick to read as to send then: 3 is zstd's own default.
const LEVEL: i32 = 3;

/// A decoder needs no more memory than this, as a power of two: 128 MiB, zstd's own limit.
const WINDOW: u32 = 27;

/// Written at once, in bytes.
const BLOCK: usize = 1 << 20;

/// What zstd makes no smaller.
const PACKED: [&str; 6] = [".xz", ".zst", ".gz", ".bz2", ".box", ".squashfs"];

/// A blob that is ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    /// Where it is; the file itself, where it goes as it is.
    pub(super) file: Arc<File>,
    pub(super) digest: Sha256,
    pub(super) size: u64,
    pub(super) bytes: u64,
    pub(super) zstd: bool,
    pub(super) data: Option<Vec<u8>>,
    packed: Option<PathBuf>,
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(packed) = &self.packed {
            // The draft around it goes in the end.
            drop(std::fs::remove_file(packed));
        }
    }
}

impl Ready {
    /// What the manifest says of it, of the file `name`.
    pub(super) fn part<'m>(&self, name: &'m str) -> Part<'m> {
        Part {
            name,
            digest: self.digest.clone(),
            size: self.size,
            bytes: self.bytes,
            zstd: self.zstd,
            data: self.data.clone(),
        }
    }
}

/// The parts into which a file of `size` bytes is cut: the first byte and the length of each.
pub(super) fn cuts(size: u64, cut: u64) -> Vec<(u64, u64)> {
    let starts = (0..size.max(1)).step_by(usize::try_from(cut).unwrap_or(usize::MAX));
    starts.map(|start| (start, cut.min(size - start))).collect()
}

/// Makes a blob of a part of a file; what is compressed lies in the directory `dir` until it was sent.
///
/// # Errors
/// When the file cannot be read, `dir` not be written, or imgforge is interrupted.
pub(super) fn pack(path: &Path, (start, len): (u64, u64), dir: &Path) -> Result<Ready> {
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).doing(reading)?;
    let whole = file.metadata().doing(reading)?.len() == len;
    let name = path.to_string_lossy();
    if len <= INLINE && whole {
        let mut bytes = vec![];
        (&file)
            .take(INLINE)
            .read_to_end(&mut bytes)
            .doing(reading)?;
        return Ok(Ready {
            digest: Sha256::of(&bytes),
            file: Arc::new(file),
            size: len,
            bytes: len,
            zstd: false,
            data: Some(bytes),
            packed: None,
        });
    }
    if whole && PACKED.iter().any(|end| name.ends_with(end)) {
        let digest = crate::digest::file_sha256(path)?;
        return Ok(Ready {
            digest: digest.parse().map_err(crate::error::Error::internal)?,
            file: Arc::new(file),
            size: len,
            bytes: len,
            zstd: false,
            data: None,
            packed: None,
        });
    }
    let packed = dir.join(uuid::Uuid::new_v4().simple().to_string());
    let writing = || format!("writing {}", packed.display());
    let to = Frugal::create(&packed).doing(writing)?;
    let mut to = zstd::Encoder::new(Hashed::new(to), LEVEL).doing(writing)?;
    let mut failed = None;
    let read = holes::read(&file, start..start + len, |bytes| {
        if failed.is_none() {
            let stopped = interrupt::check().err();
            failed = stopped.or_else(|| to.write_all(bytes).doing(writing).err());
        }
    });
    if let Some(error) = failed {
        drop(std::fs::remove_file(&packed));
        return Err(error);
    }
    read.doing(reading)?;
    let done = to.finish().doing(writing)?;
    let (mut done, digest, size) = done.finish();
    done.flush().doing(writing)?;
    Ok(Ready {
        file: Arc::new(File::open(&packed).doing(writing)?),
        digest,
        size,
        bytes: len,
        zstd: true,
        data: None,
        packed: Some(packed),
    })
}

/// Appends a part, whose digest was compared, to a file; false when it is not as long as it said.
///
/// # Errors
/// When the blob cannot be read, the file not be written, or imgforge is interrupted.
pub(super) fn unpack(part: &Part<'_>, blob: impl Read, to: &Path) -> Result<bool> {
    let writing = || format!("writing {}", to.display());
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(to);
    let file = file.doing(writing)?;
    let start = file.metadata().doing(writing)?.len();
    file.set_len(start + part.bytes).doing(writing)?;
    let mut from: Box<dyn Read + '_> = match part.zstd {
        true => {
            let mut decoder = zstd::Decoder::new(blob).doing(writing)?;
            decoder.window_log_max(WINDOW).doing(writing)?;
            Box::new(decoder)
        }
        false => Box::new(blob),
    };
    let (mut at, mut block) = (0, Vec::with_capacity(BLOCK));
    loop {
        interrupt::check()?;
        block.clear();
        let read = (&mut from).take(BLOCK as u64).read_to_end(&mut block);
        if read.is_err() || at + block.len() as u64 > part.bytes {
            return Ok(false);
        }
        if block.is_empty() {
            return Ok(at == part.bytes);
        }
        sparse::write(&file, to, start + at, &block)?;
        at += block.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    #[test]
    fn files_are_cut_without_a_gap() {
        assert_eq!(cuts(0, 10), [(0, 0)]);
        assert_eq!(cuts(10, 10), [(0, 10)]);
        assert_eq!(cuts(25, 10), [(0, 10), (10, 10), (20, 5)]);
    }

    /// A sparse disk is sent small, and is as sparse and as it was when it is back.
    #[test]
    fn a_disk_in_parts_comes_back_sparse() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("disk.qcow2"), dir.path().join("back"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        let mut noise = vec![0; 3 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        for at in [0, 17 << 20, (64 << 20) - noise.len() as u64] {
            file.write_all_at(&noise, at).unwrap();
        }
        let mut sent = 0;
        for cut in cuts(64 << 20, 20 << 20) {
            let ready = pack(&from, cut, dir.path()).unwrap();
            assert!(ready.zstd && ready.bytes == cut.1);
            sent += ready.size;
            let part = ready.part("disk.qcow2");
            let packed = std::fs::read(ready.packed.as_ref().unwrap()).unwrap();
            assert_eq!(
                (packed.len() as u64, Sha256::of(&packed)),
                (part.size, part.digest.clone())
            );
            assert!(unpack(&part, &*packed, &to).unwrap());
        }
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
        assert!((9 << 20..10 << 20).contains(&sent), "{sent}");
        assert!(to.metadata().unwrap().blocks() * 512 < 12 << 20);
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "what was packed is gone");
    }

    #[test]
    fn a_part_is_as_long_as_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = vec![7; 100_000];
        let packed = zstd::encode_all(&*bytes, 1).unwrap();
        let part = |bytes: u64| Part {
            name: "x",
            digest: Sha256::of(&packed),
            size: packed.len() as u64,
            bytes,
            zstd: true,
            data: None,
        };
        for (said, right) in [(100_000, true), (99_999, false), (100_001, false)] {
            let to = dir.path().join(said.to_string());
            assert_eq!(unpack(&part(said), &*packed, &to).unwrap(), right, "{said}");
        }
        let to = dir.path().join("broken");
        assert!(!unpack(&part(100_000), &packed[..packed.len() / 2], &to).unwrap());
    }

    #[test]
    fn what_is_small_or_packed_goes_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for (name, size, inline) in [("list.json", 1000, true), ("a.xz", 100_000, false)] {
            let path = dir.path().join(name);
            std::fs::write(&path, vec![7; size]).unwrap();
            let ready = pack(&path, (0, size as u64), dir.path()).unwrap();
            assert!(!ready.zstd && ready.size == size as u64);
            assert_eq!(ready.data.is_some(), inline, "{name}");
        }
    }
}
