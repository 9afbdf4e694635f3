//! The digest of a disk that is written out of order.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::Receiver;

use sha2::{Digest as _, Sha512};

use crate::error::{Context as _, Result};

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// Digests the first bytes of `file`, up to each number that arrives: how far it is complete.
/// What was just written comes from the page cache, so this costs no second look at the medium.
pub(super) fn follow(file: &File, complete: &Receiver<u64>) -> Result<String> {
    let mut hasher = Sha512::new();
    let mut buffer = vec![0; CHUNK as usize];
    let mut at = 0;
    for mut end in complete {
        // Only the newest number matters.
        while let Ok(newer) = complete.try_recv() {
            end = newer;
        }
        while at < end {
            let some = &mut buffer[..(end - at).min(CHUNK) as usize];
            file.read_exact_at(some, at)
                .doing(|| "reading what was unpacked".into())?;
            hasher.update(some);
            at += CHUNK.min(end - at);
        }
    }
    Ok(hex::encode(hasher.finalize()))
}
