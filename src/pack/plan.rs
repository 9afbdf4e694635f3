//! Profiles, and how many threads fit into the memory.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cache::BlockCache;
use crate::error::{Error, Result};
use crate::units::Size;

/// A balance of size against time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As small as possible, blocks of 16 MiB.
    #[default]
    Publish,
    /// Smaller blocks: more of them survive a change.
    Nightly,
    /// For development.
    Fast,
}

/// What prepares a disk's bytes for the compression.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Nothing: every reader of `.xz` takes the file.
    #[default]
    None,
    /// The filter for x86 code, in blocks that have some: a little smaller, but busybox and
    /// programs in Go cannot read the file.
    X86,
}

/// How to compress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The balance of size against time.
    pub profile: Profile,
    /// What comes before the compression.
    pub filter: Filter,
    /// How many threads encode; default: one a core, as far as the memory goes.
    pub threads: Option<NonZeroUsize>,
    /// What the encoder may use; default: half of what the host has available.
    pub memory: Option<Size>,
    /// Where blocks that were encoded before are; without it all are encoded.
    pub cache: Option<&'a BlockCache>,
}

/// Bytes of the disk, a thread, that the encoders may be ahead of the writer: one slow block
/// must not stop the others.
const AHEAD: usize = 32 << 20;

/// What decides the bytes of the output, besides the input: part of the pack stage's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Uncompressed bytes in a block.
    pub block: usize,
    /// How far back the encoder looks, in bytes; at most a block.
    pub dictionary: usize,
    /// liblzma's preset.
    pub preset: u32,
    /// A match of so many bytes is taken without looking for a better one; the preset's where it is 0.
    pub nice: u32,
    /// Whether blocks with x86 code get the filter for it.
    pub x86: bool,
}

impl Settings {
    /// The settings of a profile; docs/pack.md has the measurements behind them.
    ///
    /// `publish` has the 16 MiB blocks that virt-builder's own templates use. Of the smaller
    /// blocks of `nightly` far more survive a change; `fast` is liblzma's fast mode.
    pub fn of(profile: Profile, filter: Filter) -> Self {
        let (block, dictionary, preset, nice) = match profile {
            Profile::Publish => (16 << 20, 8 << 20, 9, 48),
            Profile::Nightly => (3 << 20, 3 << 20, 9, 0),
            Profile::Fast => (4 << 20, 4 << 20, 1, 0),
        };
        Settings {
            block,
            dictionary,
            preset,
            nice,
            x86: filter == Filter::X86,
        }
    }

    /// Names settings and encoder: equal text means equal bytes for equal input.
    pub fn fingerprint(&self) -> String {
        format!(
            "xz lzma2 preset={} nice={} x86={} dict={} block={} crc64 liblzma={}",
            self.preset,
            self.nice,
            self.x86,
            self.dictionary,
            self.block,
            super::encode::ENCODER_VERSION
        )
    }

    /// What one encoding thread needs: the match finder (about 11.5 times the dictionary), the
    /// block and its encoded form twice, and finished ones that wait for the writer.
    pub fn memory_a_thread(&self) -> Size {
        let (block, dictionary) = (self.block as u64, self.dictionary as u64);
        let encoder = dictionary * 23 / 2 + block * 3 + (5 << 20);
        Size::bytes(encoder + block * self.window(1) as u64)
    }

    /// What `threads` encoding threads and the writer need at most.
    pub fn memory(&self, threads: usize) -> Size {
        Size::bytes(self.memory_a_thread().as_bytes() * threads as u64)
    }

    /// How many blocks may be in work, or wait for the writer.
    pub(super) fn window(&self, threads: usize) -> usize {
        threads * (AHEAD / self.block).max(3)
    }
}

/// How many threads to run within the options' limits.
///
/// # Errors
/// When not even one thread fits.
pub(super) fn threads(options: &Options<'_>, settings: &Settings) -> Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let limit = options
        .memory
        .map_or_else(|| available_memory() / 2, Size::as_bytes);
    fit(
        options.threads.map_or(cores, NonZeroUsize::get),
        limit,
        options.memory.is_some(),
        settings,
    )
}

fn fit(wanted: usize, limit: u64, strict: bool, settings: &Settings) -> Result<usize> {
    let each = settings.memory_a_thread();
    match limit / each.as_bytes() {
        0 if strict => Err(Error::host(format!(
            "packing needs {} of memory, more than the limit of {}",
            each.human(),
            Size::bytes(limit).human()
        ))
        .hint(format!(
            "allow {} with --memory, or choose `pack: {{profile: fast}}`",
            each.human()
        ))),
        // Without a limit of the user's the host's swap may still do.
        count => Ok(wanted
            .min(usize::try_from(count).unwrap_or(usize::MAX))
            .max(1)),
    }
}

/// `MemAvailable` of the kernel, in bytes; plenty where it does not say.
pub(super) fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(u64::MAX, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded_by_memory() {
        let settings = Settings::of(Profile::Publish, Filter::None);
        let each = settings.memory_a_thread().as_bytes();
        assert_eq!(fit(8, each * 3 + 1, true, &settings).unwrap(), 3);
        assert_eq!(fit(2, u64::MAX, false, &settings).unwrap(), 2);
        assert_eq!(fit(2, 1, false, &settings).unwrap(), 1);
        let error = fit(2, 1 << 20, true, &settings).unwrap_err();
        assert!(error.message().contains("the limit of 1.0 MiB"), "{error}");
    }

    #[test]
    fn the_kernel_says_how_much_memory_there_is() {
        let memory = available_memory();
        assert!((1 << 20..u64::MAX).contains(&memory), "{memory}");
    }
}
