//! Threads that encode blocks, at most a window ahead of the writer, who takes them in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::cache::{BlockCache, BlockKey};
use super::encode::{Block, encode};
use super::plan::Settings;
use super::raw::Encoder;
use super::source::RawDisk;
use crate::error::{Error, Result};
use crate::host::interrupt;
use crate::mutex::Unpoisoned as _;

/// Where a finished block came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finished {
    /// It was encoded now.
    Encoded(Arc<Block>),
    /// It was encoded before.
    Cached(Arc<Block>),
    /// All its bytes are zero.
    Zero,
}

/// What workers and writer share.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    source: &'a RawDisk,
    settings: &'a Settings,
    fingerprint: String,
    cache: Option<&'a BlockCache>,
    window: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: usize,
    taken: usize,
    finished: BTreeMap<usize, Finished>,
    error: Option<Error>,
    stopped: bool,
}

impl<'a> Pool<'a> {
    /// `window` blocks may be in work or wait for the writer.
    pub(super) fn new(
        source: &'a RawDisk,
        settings: &'a Settings,
        cache: Option<&'a BlockCache>,
        window: usize,
    ) -> Self {
        Pool {
            source,
            settings,
            fingerprint: settings.fingerprint(),
            cache,
            window,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let limit = Duration::from_millis(100);
        let woken = self.changed.wait_timeout(state, limit);
        woken.unpoisoned().0
    }

    /// Ends the workers at their next look.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// One worker: takes the disk's blocks with data, in order, until there are none or somebody
    /// failed.
    pub(super) fn work(&self) {
        let (mut buffer, mut encoder) = (Vec::new(), Encoder::new());
        while let Some(position) = self.claim() {
            let result = self.block(self.source.data()[position], &mut buffer, &mut encoder);
            let mut state = self.lock();
            match result {
                Ok(block) => drop(state.finished.insert(position, block)),
                Err(error) => {
                    state.error.get_or_insert(error);
                    state.stopped = true;
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= self.source.data().len() {
                return None;
            }
            if state.next < state.taken + self.window {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.wait(state);
        }
    }

    fn block(&self, index: u64, buffer: &mut Vec<u8>, encoder: &mut Encoder) -> Result<Finished> {
        let Some(data) = self.source.read(index, buffer)? else {
            return Ok(Finished::Zero);
        };
        let key = self
            .cache
            .map(|cache| (cache, BlockKey::of(&self.fingerprint, data)));
        if let Some((cache, key)) = &key
            && let Some(block) = cache.get(key)
        {
            return Ok(Finished::Cached(Arc::new(block)));
        }
        let go_on = || match self.lock().stopped {
            true => Err(Error::stage("packing was stopped")),
            false => interrupt::check(),
        };
        let block = encode(encoder, data, self.settings, &go_on)?;
        if let Some((cache, key)) = &key {
            cache.put(key, &block);
        }
        Ok(Finished::Encoded(Arc::new(block)))
    }

    /// Waits for the block at `position` of the disk's blocks with data, which makes room for
    /// another one.
    pub(super) fn take(&self, position: usize) -> Result<Finished> {
        let mut state = self.lock();
        loop {
            interrupt::check()?;
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if let Some(block) = state.finished.remove(&position) {
                state.taken = position + 1;
                drop(state);
                self.changed.notify_all();
                return Ok(block);
            }
            state = self.wait(state);
        }
    }
}
