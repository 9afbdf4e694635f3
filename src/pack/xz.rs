//! One `.xz` stream from blocks that threads encode by themselves.
//!
//! Workers take blocks in order, at most a window ahead of the writer; the writer puts them down
//! in order. So memory is bounded, and the bytes do not depend on the number of threads, or on
//! what the block cache holds. Holes and zeros cost one encoding a file, whatever its size.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::cache::BlockCache;
use super::encode::{Block, encode};
use super::output::Output;
use super::plan::{self, Options, Settings};
use super::pool::{Finished, Pool};
use super::progress::Progress;
use super::raw::Encoder;
use super::source::RawDisk;
use crate::error::{Context as _, Result};
use crate::host::interrupt;
use crate::host::outlet::Outlet;
use crate::ui::StageUi;
use crate::units::{Size, elapsed};

/// What [`compress`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Size of the `.xz` file.
    pub size: Size,
    /// Size of the disk that it decodes to.
    pub virtual_size: Size,
    /// What of the disk is data, in whole blocks.
    pub data: Size,
    /// SHA-512 of the `.xz` file, in hex.
    pub sha512: String,
    /// How many blocks it has.
    pub blocks: u64,
    /// How many of them are all zeros.
    pub zero_blocks: u64,
    /// How many came from the block cache.
    pub cached_blocks: u64,
    /// How many threads encoded.
    pub threads: usize,
    /// What the encoder could use at most.
    pub memory: Size,
    /// How long it took.
    pub took: Duration,
}

impl Packed {
    /// Size, work and time in one line, for people.
    pub fn summary(&self) -> String {
        let encoded = self.blocks - self.zero_blocks - self.cached_blocks;
        let rate = self.data.as_bytes() as f64 / self.took.as_secs_f64().max(0.001);
        format!(
            "{} of {} ({} of data in {}, {}/s): {encoded} blocks encoded, {} from the cache, \
             {} empty; {} threads, at most {} of memory",
            self.size.human(),
            self.virtual_size.human(),
            self.data.human(),
            elapsed(self.took),
            Size::bytes(rate as u64).human(),
            self.cached_blocks,
            self.zero_blocks,
            self.threads,
            self.memory.human()
        )
    }
}

/// Packs a raw disk into one `.xz` stream of independent blocks. It appears at `out` when it is
/// complete and synced. Blocks that the options' cache holds are not
/// encoded again.
///
/// Progress goes to `ui` in bytes of data.
///
/// # Errors
/// When the disk cannot be read or changes meanwhile, the output cannot be written, the memory
/// does not suffice, or imgforge is interrupted; then nothing is left at `out`.
pub fn compress(raw: &Path, out: &Path, options: &Options<'_>, ui: &StageUi) -> Result<Packed> {
    let file = File::open(raw).doing(|| format!("reading {}", raw.display()))?;
    compress_open(file, raw, &Outlet::of(out)?, options, ui)
}

/// As [`compress`], of a disk that was opened at `path`.
///
/// # Errors
/// As there.
pub fn compress_open(
    raw: File,
    path: &Path,
    out: &Outlet,
    options: &Options<'_>,
    ui: &StageUi,
) -> Result<Packed> {
    let cache = options.cache;
    let started = Instant::now();
    let settings = Settings::of(options.profile, options.filter);
    let threads = plan::threads(options, &settings)?;
    let source = RawDisk::of(raw, path, settings.block)?;
    let threads = threads.min(source.data().len()).max(1);
    let mut output = Output::create(out)?;
    // Before the threads: its encoder is not part of what they may use.
    let mut zeros = Zeros::new(&settings);
    if source.size() >= settings.block as u64 {
        zeros.block(settings.block)?;
    }
    let window = settings.window(threads);
    let pool = Pool::new(&source, &settings, cache, window);
    let counts = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| pool.work());
        }
        let written = write_blocks(&pool, &source, &mut zeros, &mut output, ui);
        // The workers of a failed writer must not wait for it.
        pool.stop();
        written
    })?;
    let (size, sha512) = output.finish(|| source.unchanged())?;
    if let Some(cache) = cache {
        end_with(cache, ui);
    }
    Ok(Packed {
        size: Size::bytes(size),
        virtual_size: Size::bytes(source.size()),
        data: Size::bytes(counts.data),
        sha512,
        blocks: source.blocks(),
        zero_blocks: counts.zero,
        cached_blocks: counts.cached,
        threads,
        memory: settings.memory(threads),
        took: started.elapsed(),
    })
}

fn end_with(cache: &BlockCache, ui: &StageUi) {
    cache.tidy();
    if cache.damaged() > 0 {
        ui.ui().warning(format!(
            "{} blocks of the block cache were damaged, and were encoded again",
            cache.damaged()
        ));
    }
}

#[derive(Debug, Default)]
struct Counts {
    data: u64,
    zero: u64,
    cached: u64,
}

fn write_blocks(
    pool: &Pool<'_>,
    source: &RawDisk,
    zeros: &mut Zeros<'_>,
    output: &mut Output<'_>,
    ui: &StageUi,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let total = source.data().iter().map(|i| source.len(*i) as u64).sum();
    let mut progress = Progress::new(ui, total);
    let mut done = 0;
    let mut with_data = source.data().iter().enumerate().peekable();
    for index in 0..source.blocks() {
        let len = source.len(index);
        let Some((position, _)) = with_data.next_if(|(_, data)| **data == index) else {
            interrupt::check()?;
            output.block(zeros.block(len)?)?;
            counts.zero += 1;
            continue;
        };
        done += len as u64;
        match pool.take(position)? {
            Finished::Zero => {
                output.block(zeros.block(len)?)?;
                counts.zero += 1;
            }
            Finished::Encoded(block) => {
                output.block(&block)?;
                counts.data += len as u64;
            }
            Finished::Cached(block) => {
                output.block(&block)?;
                counts.data += len as u64;
                counts.cached += 1;
            }
        }
        progress.show(done);
    }
    Ok(counts)
}

/// Blocks of zeros: the last one made is kept, and only the disk's last block may have another size.
struct Zeros<'a> {
    settings: &'a Settings,
    made: Option<(usize, Block)>,
}

impl<'a> Zeros<'a> {
    fn new(settings: &'a Settings) -> Self {
        let made = None;
        Zeros { settings, made }
    }

    fn block(&mut self, len: usize) -> Result<&Block> {
        let made = match self.made.take() {
            Some((known, block)) if known == len => block,
            _ => encode(
                &mut Encoder::new(),
                &vec![0; len],
                self.settings,
                &interrupt::check,
            )?,
        };
        Ok(&self.made.insert((len, made)).1)
    }
}
