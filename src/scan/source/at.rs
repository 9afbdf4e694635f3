//! A device that only an appliance has, read at any place.

use std::io;

pub(super) use crate::ext4::At;
use crate::guest::Guestfs;
use crate::host::interrupt;

/// How much an appliance gives at once, in bytes; its messages have less than 4 MiB.
pub(super) const CHUNK: usize = 1 << 20;

/// A device of an appliance: a partition, or what lies upon one.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfAppliance<'g> {
    pub(super) guest: &'g Guestfs,
    /// As libguestfs calls it.
    pub(super) device: &'g str,
}

impl At for OfAppliance<'_> {
    fn fill(&self, into: &mut [u8], mut at: u64) -> io::Result<()> {
        for chunk in into.chunks_mut(CHUNK) {
            let mut read = 0;
            while read < chunk.len() {
                if interrupt::raised() {
                    return Err(io::Error::other("interrupted"));
                }
                let place = i64::try_from(at).map_err(io::Error::other)?;
                let wanted = (chunk.len() - read) as i32;
                let bytes = self.guest.read_device(self.device, wanted, place);
                let bytes = bytes.map_err(|error| io::Error::other(error.to_string()))?;
                if bytes.is_empty() || bytes.len() > chunk.len() - read {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                chunk[read..read + bytes.len()].copy_from_slice(&bytes);
                read += bytes.len();
                at += bytes.len() as u64;
            }
        }
        Ok(())
    }
}
