//! Takes blocks in any order, decodes them in parallel, and writes a sparse disk.
//!
//! Blocks that a [`Seed`] has are taken from there instead, if they are what they would decode to.

mod seed;
mod work;

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::digest;
use super::layout::{Layout, broken};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::pack::plan::available_memory;
use crate::units::Size;
use seed::Sown;
pub use seed::{BlockDigests, Seed};

/// How to unpack.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// How many threads decode; default: one a core.
    pub threads: Option<NonZeroUsize>,
    /// What decoders and waiting blocks may use; default: half of what the host has available.
    pub memory: Option<Size>,
    /// Refuses files that claim to hold a larger disk; default: 8 TiB.
    pub largest: Option<Size>,
    /// Computes the SHA-512 of the disk, too. That takes time for every byte of it, holes
    /// included; the bytes are checked by each block's own check sum in any case.
    pub plain: bool,
}

/// Larger disks than this, in bytes, are believed only on request.
const LARGEST: Size = Size::gib(8 << 10);

/// What an [`Unpacker`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Size of the disk.
    pub size: Size,
    /// What the disk takes on the host; the rest are holes.
    pub allocated: Size,
    /// SHA-512 of the disk, in hex, if it was asked for.
    pub sha512: Option<String>,
    /// With a seed: the digests of each block, where they are known of all.
    pub blocks: Vec<BlockDigests>,
    /// Bytes of the disk that the seed had.
    pub copied: u64,
    /// Bytes of the disk that it should have had, but there are such as no earlier file had.
    pub changed: u64,
}

/// Where a block's bytes come from.
enum Input {
    Bytes(Vec<u8>),
    /// The file itself, for blocks that are too large to wait in memory.
    File(Arc<File>),
}

/// A disk in the making. Dropping it ends its threads; the file stays as it is then.
#[derive(Debug)]
pub struct Unpacker {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    digest: Option<(Sender<u64>, JoinHandle<Result<String>>)>,
}

struct Shared {
    layout: Layout,
    file: File,
    path: PathBuf,
    /// What waiting blocks may take, and each decoder.
    queue_limit: u64,
    decoder_limit: u64,
    seed: Option<Sown>,
    state: Mutex<State>,
    changed: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).finish()
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<(usize, Input)>,
    queued: u64,
    /// How many blocks wait or are being decoded.
    busy: usize,
    /// Which blocks are on the disk, how many bytes they have, and how many lead without a gap.
    finished: Vec<bool>,
    done: u64,
    leading: usize,
    progress: Option<Sender<u64>>,
    /// Blocks that are only zeros: as they are stored, and how many bytes they have.
    zeros: HashSet<(blake3::Hash, u64)>,
    /// What is known of each block, with a seed.
    digests: Vec<Option<BlockDigests>>,
    copied: u64,
    changed: u64,
    error: Option<Error>,
    closed: bool,
}

impl Unpacker {
    /// Starts threads that write the disk of `layout` to `file`, which must be new and empty
    /// unless [`Unpacker::present`] says what it holds; `path` is its name in messages.
    ///
    /// # Errors
    /// When the disk is larger than what is allowed, or the file cannot be made as large.
    pub fn start(layout: Layout, file: File, path: &Path, options: &ReadOptions) -> Result<Self> {
        Self::begin(layout, file, path, options, None)
    }

    /// As [`Unpacker::start`], where the file is empty and a seed may have some of its blocks.
    ///
    /// # Errors
    /// As [`Unpacker::start`].
    pub fn sown(
        layout: Layout,
        file: File,
        path: &Path,
        options: &ReadOptions,
        seed: Arc<Seed>,
    ) -> Result<Self> {
        let sown = seed.sow(&file);
        let sown = sown.doing(|| format!("writing {}", path.display()))?;
        Self::begin(layout, file, path, options, Some(sown))
    }

    fn begin(
        layout: Layout,
        file: File,
        path: &Path,
        options: &ReadOptions,
        seed: Option<Sown>,
    ) -> Result<Self> {
        let largest = options.largest.unwrap_or(LARGEST);
        if layout.size() > largest.as_bytes() {
            let claimed = Size::bytes(layout.size()).human();
            return Err(Error::stage(format!(
                "the .xz file claims to hold a disk of {claimed}, more than {}",
                largest.human()
            ))
            .hint("allow it with --largest SIZE if that is right"));
        }
        let doing = || format!("writing {}", path.display());
        file.set_len(layout.size()).doing(doing)?;
        let threads = threads(options, &layout);
        let memory = options
            .memory
            .map_or_else(|| available_memory() / 2, Size::as_bytes);
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared {
            queue_limit: memory / 4,
            decoder_limit: memory / 4 * 3 / threads as u64,
            state: Mutex::new(State {
                finished: vec![false; layout.blocks().len()],
                digests: vec![None; layout.blocks().len()],
                progress: options.plain.then(|| sender.clone()),
                ..State::default()
            }),
            changed: Condvar::new(),
            seed,
            file,
            path: path.to_owned(),
            layout,
        });
        let digest = options.plain.then(|| {
            let shared = Arc::clone(&shared);
            let follow = move || digest::follow(&shared.file, &receiver);
            (sender, std::thread::spawn(follow))
        });
        let worker = || {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work())
        };
        Ok(Unpacker {
            workers: (0..threads).map(|_| worker()).collect(),
            shared,
            digest,
        })
    }

    /// Hands in the bytes of a block, in any order; waits while too many others wait.
    ///
    /// # Errors
    /// When a block that was handed in is damaged or cannot be written, when `bytes` has the
    /// wrong length, or on an interrupt.
    pub fn hand(&self, index: usize, bytes: Vec<u8>) -> Result<()> {
        let place = self.shared.place(index)?;
        if bytes.len() as u64 != place.stored {
            return Err(broken("a block is not as long as the index says"));
        }
        self.put(index, place.stored, Input::Bytes(bytes))
    }

    /// Hands in a block that lies in `file`, at its place.
    pub(super) fn hand_file(&self, index: usize, file: &Arc<File>) -> Result<()> {
        self.put(index, 0, Input::File(Arc::clone(file)))
    }

    /// Whether a block of `stored` bytes is better left in its file.
    pub(super) fn is_large(&self, stored: u64) -> bool {
        stored > self.shared.queue_limit / 2
    }

    fn put(&self, index: usize, bytes: u64, input: Input) -> Result<()> {
        let shared = &self.shared;
        let mut state = shared.lock();
        // One block may always wait, however large it is.
        while state.error.is_none()
            && !state.queue.is_empty()
            && (state.queued + bytes > shared.queue_limit || state.queue.len() > 1024)
        {
            if let Err(error) = interrupt::check() {
                state.error = Some(error);
            }
            state = shared.wait(state);
        }
        if let Some(error) = state.error.take() {
            state.closed = true;
            state.queue.clear();
            drop(state);
            shared.changed.notify_all();
            return Err(error);
        }
        state.queue.push_back((index, input));
        state.busy += 1;
        state.queued += bytes;
        drop(state);
        shared.changed.notify_all();
        Ok(())
    }

    /// Says that the file holds the bytes of a block already.
    ///
    /// # Errors
    /// When there is no such block.
    pub fn present(&self, index: usize) -> Result<()> {
        self.shared.place(index)?;
        self.shared.finished(index);
        Ok(())
    }

    /// How many bytes of the disk are written, holes included.
    pub fn done(&self) -> u64 {
        self.shared.lock().done
    }

    /// Whether blocks that were handed in still wait or are being decoded; waits a moment for
    /// them if so.
    ///
    /// # Errors
    /// As [`Unpacker::hand`].
    pub fn is_busy(&self) -> Result<bool> {
        interrupt::check()?;
        let mut state = self.shared.lock();
        if state.error.is_none() && state.busy > 0 {
            state = self.shared.wait(state);
        }
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(state.busy > 0),
        }
    }

    /// Waits until everything that was handed in is written and synced.
    ///
    /// # Errors
    /// As [`Unpacker::hand`]; also when a block was never handed in.
    pub fn finish(mut self) -> Result<Unpacked> {
        self.close();
        let mut state = self.shared.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.leading < state.finished.len() {
            return Err(Error::internal("a block was never handed in"));
        }
        state.progress = None;
        let (copied, changed) = (state.copied, state.changed);
        let blocks = std::mem::take(&mut state.digests).into_iter();
        let blocks: Option<Vec<BlockDigests>> = blocks.collect();
        drop(state);
        let sha512 = match self.digest.take() {
            Some((sender, thread)) => {
                drop(sender);
                let ended = thread.join();
                Some(ended.map_err(|_| Error::internal("a digest thread panicked"))??)
            }
            None => None,
        };
        let (file, path) = (&self.shared.file, &self.shared.path);
        let doing = || format!("writing {}", path.display());
        file.sync_all().doing(doing)?;
        let allocated = file.metadata().doing(doing)?.blocks() * 512;
        Ok(Unpacked {
            size: Size::bytes(self.shared.layout.size()),
            allocated: Size::bytes(allocated),
            sha512,
            blocks: blocks.unwrap_or_default(),
            copied,
            changed,
        })
    }

    /// No more blocks come: waits for the workers.
    fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                let error = Error::internal("a decoding thread panicked");
                self.shared.lock().error.get_or_insert(error);
            }
        }
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.queue.clear();
        state.progress = None;
        drop(state);
        self.close();
        if let Some((sender, thread)) = self.digest.take() {
            drop(sender);
            drop(thread.join());
        }
    }
}

fn threads(options: &ReadOptions, layout: &Layout) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let wanted = options.threads.map_or(cores, NonZeroUsize::get);
    wanted.min(layout.blocks().len()).max(1)
}
