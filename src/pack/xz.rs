//! One `.xz` stream from blocks that threads encode by themselves.
//!
//! Workers take blocks in order, at most a window ahead of the writer; the writer puts them down
//! in order. So memory is bounded, and the bytes do not depend on the number of threads. Holes
//! and zeros cost one encoding a file, whatever the disk's size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha512};

use super::container::{self, Record};
use super::encode::{Block, encode};
use super::plan::{self, Options, Settings};
use super::source::Source;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::ui::{StageUi, Unit};
use crate::units::Size;

/// What [`compress`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Size of the `.xz` file.
    pub size: Size,
    /// Size of the disk that it decodes to.
    pub virtual_size: Size,
    /// SHA-512 of the `.xz` file, in hex.
    pub sha512: String,
    /// How many blocks it has.
    pub blocks: u64,
    /// How many of them are all zeros.
    pub zero_blocks: u64,
    /// How many threads encoded.
    pub threads: usize,
    /// What the encoder could use at most.
    pub memory: Size,
    /// How long it took.
    pub took: Duration,
}

/// Packs a raw disk into one `.xz` stream of independent blocks at `out`, synced.
///
/// Progress goes to `ui` in bytes of the disk.
///
/// # Errors
/// When the disk cannot be read or changes meanwhile, the output cannot be written, the memory
/// does not suffice, or imgforge is interrupted; then nothing is left at `out`.
pub fn compress(raw: &Path, out: &Path, options: &Options, ui: &StageUi) -> Result<Packed> {
    let settings = Settings::of(options.profile);
    let threads = plan::threads(options, &settings)?;
    let source = Source::open(raw, settings.block)?;
    let threads = threads
        .min(usize::try_from(source.blocks()).unwrap_or(usize::MAX))
        .max(1);
    let result = run(&source, out, &settings, threads, ui);
    if result.is_err() {
        drop(std::fs::remove_file(out));
    }
    result
}

fn run(
    source: &Source,
    out: &Path,
    settings: &Settings,
    threads: usize,
    ui: &StageUi,
) -> Result<Packed> {
    let started = Instant::now();
    let shared = Shared::new(2 * threads as u64);
    let zeros = OnceLock::new();
    let mut output = Output::create(out)?;
    let zero_blocks = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| shared.work(source, settings, &zeros));
        }
        let written = write_blocks(&shared, source, &mut output, ui);
        // The workers of a failed writer must not wait for it.
        shared.stop();
        written
    })?;
    source.unchanged()?;
    let (size, sha512) = output.finish()?;
    Ok(Packed {
        size: Size::bytes(size),
        virtual_size: Size::bytes(source.size()),
        sha512,
        blocks: source.blocks(),
        zero_blocks,
        threads,
        memory: Size::bytes(settings.memory_a_thread().as_bytes() * threads as u64),
        took: started.elapsed(),
    })
}

fn write_blocks(
    shared: &Shared,
    source: &Source,
    output: &mut Output,
    ui: &StageUi,
) -> Result<u64> {
    let mut zero_blocks = 0;
    let mut done = 0;
    let mut shown = Instant::now();
    for index in 0..source.blocks() {
        let (block, zero) = shared.take(index)?;
        output.block(&block)?;
        zero_blocks += u64::from(zero);
        done += source.len(index) as u64;
        if shown.elapsed() > Duration::from_millis(100) || done == source.size() {
            ui.progress(done, source.size(), Unit::Bytes);
            shown = Instant::now();
        }
    }
    Ok(zero_blocks)
}

/// A finished block, and whether it is all zeros.
type Finished = (Arc<Block>, bool);

/// What workers and writer share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    window: u64,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    written: u64,
    finished: BTreeMap<u64, Finished>,
    error: Option<Error>,
    stopped: bool,
}

impl Shared {
    fn new(window: u64) -> Self {
        Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            window,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let limit = Duration::from_millis(100);
        self.changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// One worker: encodes blocks until there are none, or somebody failed.
    fn work(&self, source: &Source, settings: &Settings, zeros: &OnceLock<Arc<Block>>) {
        let mut buffer = Vec::new();
        while let Some(index) = self.claim(source.blocks()) {
            let result = self.encode(index, source, settings, zeros, &mut buffer);
            let mut state = self.lock();
            match result {
                Ok(block) => drop(state.finished.insert(index, block)),
                Err(error) => {
                    state.error.get_or_insert(error);
                    state.stopped = true;
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next block's number, once it is within the window.
    fn claim(&self, blocks: u64) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= blocks {
                return None;
            }
            if state.next < state.written + self.window {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.wait(state);
        }
    }

    fn encode(
        &self,
        index: u64,
        source: &Source,
        settings: &Settings,
        zeros: &OnceLock<Arc<Block>>,
        buffer: &mut Vec<u8>,
    ) -> Result<Finished> {
        let go_on = || match self.lock().stopped {
            true => Err(Error::stage("packing was stopped")),
            false => interrupt::check(),
        };
        if let Some(data) = source.read(index, buffer)? {
            return Ok((Arc::new(encode(data, settings, &go_on)?), false));
        }
        let len = source.len(index);
        match zeros.get() {
            Some(block) if len == settings.block => Ok((Arc::clone(block), true)),
            _ => {
                let block = Arc::new(encode(&vec![0; len], settings, &go_on)?);
                if len == settings.block {
                    drop(zeros.set(Arc::clone(&block)));
                }
                Ok((block, true))
            }
        }
    }

    /// Waits for block `index`, which makes room for another one.
    fn take(&self, index: u64) -> Result<Finished> {
        let mut state = self.lock();
        loop {
            interrupt::check()?;
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if let Some(block) = state.finished.remove(&index) {
                state.written = index + 1;
                drop(state);
                self.changed.notify_all();
                return Ok(block);
            }
            state = self.wait(state);
        }
    }
}

/// The `.xz` file in the making.
struct Output<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    hasher: Sha512,
    size: u64,
    records: Vec<Record>,
}

impl<'a> Output<'a> {
    fn create(path: &'a Path) -> Result<Self> {
        let file = File::create(path).doing(|| format!("writing {}", path.display()))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let mut output = Output {
            path,
            file,
            hasher: Sha512::new(),
            size: 0,
            records: vec![],
        };
        output.put(&container::stream_header(container::CRC64))?;
        Ok(output)
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        self.records.push(block.record);
        self.put(&block.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .doing(|| format!("writing {}", self.path.display()))
    }

    fn finish(mut self) -> Result<(u64, String)> {
        let end = container::end(container::CRC64, &self.records);
        self.put(&end)?;
        let doing = || format!("writing {}", self.path.display());
        self.file.flush().doing(doing)?;
        self.file.get_ref().sync_all().doing(doing)?;
        Ok((self.size, hex::encode(self.hasher.finalize())))
    }
}
