//! What a disk says about its own installation: 64 KiB before its first partition, in two copies.
//!
//! It outlives the moment at which the disk becomes whole, so that a cut between any two steps is told apart
//! from one between any two others, without a file system. Whatever is cut off while one copy is written, the other
//! one counts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::blockdev::Device;
use crate::error::Result;

/// Where it is, in bytes; behind it is the first MiB's end.
pub(super) const PLACE: u64 = 960 << 10;

/// Bytes of both copies.
pub(super) const SIZE: u64 = 64 << 10;

/// Bytes of a copy.
const COPY: usize = 8 << 10;

const MAGIC: &[u8; 16] = b"imgforge deploy\x01";

/// How far an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Blocks are written; the first ones are there.
    Writing,
    /// File systems grow and get what is this machine's.
    Adapting,
    /// All is there but the partition table.
    Committing,
    /// All is there.
    Complete,
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    /// Grows with each copy.
    pub(super) sequence: u64,
    /// How far it is.
    pub(super) state: State,
    /// The image's entry in the index.
    pub(super) image: String,
    /// Its revision.
    pub(super) revision: u64,
    /// SHA-512 of its blob, in hex.
    pub(super) sha512: String,
    /// The digest of all that makes this disk.
    pub(super) plan: String,
    /// How many blocks are on the disk, from the first one on.
    pub(super) done: usize,
    /// Where the partitions began, in bytes, that the disk had before.
    pub(super) old: Vec<u64>,
    /// The id in the new partition table, once it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<Uuid>,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) installed: Option<String>,
}

impl Record {
    /// What a disk says, if anything.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(device: &dyn Device) -> Result<Option<Record>> {
        let mut copies = vec![];
        for copy in 0..2 {
            let mut bytes = vec![0; COPY];
            device.read(&mut bytes, place(copy))?;
            copies.extend(parse(&bytes));
        }
        Ok(copies.into_iter().max_by_key(|record| record.sequence))
    }

    /// Writes it as the next one, in place of the older copy; it lasts when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, device: &dyn Device) -> Result<()> {
        self.sequence += 1;
        device.write(&self.bytes(), place(self.sequence % 2))?;
        device.flush()
    }

    fn bytes(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&text).to_le_bytes());
        bytes.extend(text);
        bytes.resize(COPY, 0);
        bytes
    }
}

/// Where a copy begins: half of the room is kept for what later versions may write.
fn place(copy: u64) -> u64 {
    PLACE + copy * SIZE / 2
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let text = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let whole = crc32fast::hash(text) == u32::from_le_bytes(*sum);
    whole.then(|| serde_json::from_slice(text).ok()).flatten()
}
