//! What the threads of an unpacker do.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::super::{Place, block};
use super::{BlockDigests, Input, Shared, State};
use crate::error::{Error, Result};
use crate::host::{interrupt, sparse};
use crate::mutex::Unpoisoned as _;

/// Compressed blocks up to this size, in bytes, are remembered when they were all zeros.
const SMALL: usize = 64 << 10;

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let limit = Duration::from_millis(100);
        let woken = self.changed.wait_timeout(state, limit);
        woken.unpoisoned().0
    }

    pub(super) fn place(&self, index: usize) -> Result<Place> {
        let place = self.layout.blocks().get(index).copied();
        place.ok_or_else(|| Error::internal("there is no such block"))
    }

    /// One worker: decodes blocks until no more come, or somebody failed.
    pub(super) fn work(&self) {
        while let Some((index, input)) = self.claim() {
            let result = self.fill(index, input);
            if result.is_ok() {
                self.finished(index);
            }
            let mut state = self.lock();
            state.busy = state.busy.saturating_sub(1);
            match result {
                Ok(()) => drop(state),
                Err(error) => {
                    state.error.get_or_insert(error);
                    state.queue.clear();
                    (state.queued, state.busy) = (0, 0);
                }
            }
            self.changed.notify_all();
        }
    }

    fn claim(&self) -> Option<(usize, Input)> {
        let mut state = self.lock();
        loop {
            if state.error.is_some() {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                if let Input::Bytes(bytes) = &job.1 {
                    state.queued -= bytes.len() as u64;
                }
                drop(state);
                self.changed.notify_all();
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Writes a block to its place: what the seed has of it, or what it decodes to.
    fn fill(&self, index: usize, input: Input) -> Result<()> {
        let place = self.place(index)?;
        let stored = match &input {
            Input::Bytes(bytes) if self.seed.is_some() || bytes.len() <= SMALL => {
                Some(blake3::hash(bytes))
            }
            _ => None,
        };
        // Empty space is the same few bytes over and over.
        let key = stored.map(|stored| (stored, place.len));
        let zero = key.is_some_and(|key| self.lock().zeros.contains(&key));
        let mut decoded = self.take(&place, stored.filter(|_| !zero))?;
        if !zero && decoded.is_none() {
            decoded = self.decode(index, &place, input)?;
        }
        let mut state = self.lock();
        if let (Some(key), None) = (key, decoded) {
            state.zeros.insert(key);
        }
        if self.seed.is_some() {
            state.digests[index] = stored.map(|stored| BlockDigests { stored, decoded });
        }
        Ok(())
    }

    /// Decodes a block; the digest of its bytes, or nothing where these are only zeros.
    fn decode(&self, index: usize, place: &Place, input: Input) -> Result<Option<blake3::Hash>> {
        let (mut hasher, mut zero) = (blake3::Hasher::new(), true);
        let mut sink = |at, bytes: &[u8]| {
            interrupt::check()?;
            let written = sparse::write(&self.file, &self.path, place.start + at, bytes)?;
            zero &= written == 0;
            if self.seed.is_some() {
                hasher.update(bytes);
            }
            Ok(())
        };
        let mut input: Box<dyn Read> = match input {
            Input::Bytes(bytes) => Box::new(std::io::Cursor::new(bytes)),
            Input::File(file) => Box::new(At {
                file,
                offset: place.offset,
            }),
        };
        let memory = self.decoder_limit;
        block::decode(&self.layout, index, &mut input, memory, &mut sink)?;
        Ok((!zero).then(|| hasher.finalize()))
    }

    pub(super) fn finished(&self, index: usize) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.finished[index], true) {
            return;
        }
        state.done += self.layout.blocks()[index].len;
        while state.finished.get(state.leading) == Some(&true) {
            state.leading += 1;
        }
        if let (Some(progress), Some(last)) = (&state.progress, state.leading.checked_sub(1)) {
            let last = &self.layout.blocks()[last];
            // A digest thread that failed says so when it is joined.
            progress.send(last.start + last.len).ok();
        }
    }
}

/// Reads a file from a place on, without moving its position.
struct At {
    file: Arc<File>,
    offset: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read_at(buffer, self.offset)?;
        self.offset += got as u64;
        Ok(got)
    }
}
