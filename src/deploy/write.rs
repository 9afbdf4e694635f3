//! Writes an image to a disk, in an order in which no cut leaves a half system that looks whole.
//!
//! ```text
//! A  the record; then the old table goes, at both ends, and all that is before the record
//! B  what old volumes would be known by, behind the image and at the disk's end
//! C  the image but its first MiB and its backup table; after each part the record says how far it is
//! D  the record: from here on a cut means all of C again
//! E  the file system grows, and gets what is this machine's
//! F  the record; the first MiB but its first sector; the backup table
//! G  the first sector, alone: before it the disk boots nowhere, after it all is there
//! H  the record: complete
//! ```

use super::plan::{FIRST, Plan, TABLE};
use super::record::{PLACE, Record, State};
use crate::blockdev::{Device, SECTOR};
use crate::error::Result;
use crate::gpt::TAIL;
use crate::host::{interrupt, sparse};
use crate::pack::read::{Content, Known};

/// After so many bytes of the disk it is remembered how far the writing is.
const PART: u64 = 256 << 20;

/// Shorter runs of zeros, in bytes, are written with what is around them.
const RUN: usize = 64 << 10;

/// What old volumes at the start of a partition are known by lies within so many bytes.
const SIGNATURES: u64 = 1 << 20;

/// One installation.
pub(super) struct Installation<'a> {
    pub(super) device: &'a dyn Device,
    pub(super) image: &'a Known,
    pub(super) plan: &'a Plan,
    pub(super) threads: usize,
    /// After so many bytes of the disk the record is written.
    pub(super) part: u64,
    /// Is told how many bytes of the image are on the disk.
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
    /// Does what is this machine's own.
    pub(super) adapt: &'a (dyn Fn(&dyn Device) -> Result<()> + Sync),
}

impl Installation<'_> {
    /// As most are.
    pub(super) const PART: u64 = PART;

    /// Begins, or goes on where `record` says.
    ///
    /// # Errors
    /// When something cannot be read or written; the record says where to go on.
    pub(super) fn run(&self, mut record: Record) -> Result<Record> {
        let device = self.device;
        if record.state != State::Committing {
            if record.state != State::Writing || record.done == 0 {
                (record.state, record.done) = (State::Writing, 0);
                record.write(device)?;
                self.clear(&record)?;
            }
            self.write(&mut record)?;
            (record.state, record.done) = (State::Adapting, 0);
            record.write(device)?;
            (self.adapt)(device)?;
            device.flush()?;
            record.state = State::Committing;
            record.table = Some(self.plan.id);
            record.write(device)?;
        }
        // A disk that is whole may have been in use since.
        if !self.plan.is_whole(device)? {
            self.commit()?;
        }
        record.state = State::Complete;
        record.installed = Some(jiff::Timestamp::now().to_string());
        record.write(device)?;
        Ok(record)
    }

    /// Writes the first MiB and the backup table, and the first sector last.
    fn commit(&self) -> Result<()> {
        let (device, head, tail) = (self.device, &self.plan.head, &self.plan.tail);
        device.write(&head[SECTOR..PLACE as usize], SECTOR as u64)?;
        device.write(tail, self.plan.disk - tail.len() as u64)?;
        device.flush()?;
        device.write_first(head.first_chunk().unwrap_or(&[0; SECTOR]))
    }

    /// Takes the old table away, and what old volumes are known by.
    fn clear(&self, record: &Record) -> Result<()> {
        let device = self.device;
        device.write(&[0; TABLE], 0)?;
        device.flush()?;
        // Whoever puts something there is told from this installation.
        device.zero(TABLE as u64, PLACE - TABLE as u64)?;
        let Plan { disk, image, .. } = *self.plan;
        // Some members of a RAID, and of ZFS, are known by the disk's end.
        let end = (disk - SIGNATURES).max(image - TAIL * SECTOR as u64);
        device.zero(end, disk - end)?;
        for start in &record.old {
            // Before the image's end the image itself is written.
            let from = (*start).max(image);
            let end = start.saturating_add(SIGNATURES).min(disk);
            if from < end {
                device.zero(from, end - from)?;
            }
        }
        device.flush()
    }

    /// Writes the blocks that are not there yet.
    fn write(&self, record: &mut Record) -> Result<()> {
        let places = self.image.layout().blocks();
        while record.done < places.len() {
            interrupt::check()?;
            let (from, mut to, mut bytes) = (record.done, record.done, 0);
            while to < places.len() && (to == from || bytes < self.part) {
                bytes += places[to].len;
                to += 1;
            }
            self.image.decode(from..to, self.threads, &|at, content| {
                self.put(at, content)?;
                (self.progress)(at);
                Ok(())
            })?;
            self.device.flush()?;
            record.done = to;
            record.write(self.device)?;
        }
        Ok(())
    }

    /// Writes a piece of the image, but what of it belongs to the two ends.
    fn put(&self, at: u64, content: Content<'_>) -> Result<()> {
        let (from, to) = (FIRST, self.plan.image - TAIL * SECTOR as u64);
        let len = match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(len) => len,
        };
        let (start, end) = (at.max(from), (at + len).min(to));
        if start >= end {
            return Ok(());
        }
        match content {
            Content::Zeros(_) => self.device.zero(start, end - start),
            Content::Bytes(bytes) => {
                let bytes = &bytes[(start - at) as usize..(end - at) as usize];
                self.put_bytes(start, bytes)
            }
        }
    }

    fn put_bytes(&self, start: u64, bytes: &[u8]) -> Result<()> {
        let mut at = 0;
        let zero = |at: usize| sparse::is_zero(&bytes[at..bytes.len().min(at + RUN)]);
        while at < bytes.len() {
            let (from, is_zero) = (at, zero(at));
            while at < bytes.len() && zero(at) == is_zero {
                at = bytes.len().min(at + RUN);
            }
            let place = start + from as u64;
            match is_zero {
                true => self.device.zero(place, (at - from) as u64)?,
                false => self.device.write(&bytes[from..at], place)?,
            }
        }
        Ok(())
    }
}
