//! The digest of a disk that is written out of order.

use std::fs::File;
use std::sync::mpsc::Receiver;

use sha2::{Digest as _, Sha512};

use crate::error::{Context as _, Result};
use crate::holes;

/// Digests the first bytes of `file`, up to each number that arrives: how far it is complete.
/// What was just written comes from the page cache, so this costs no second look at the medium.
pub(super) fn follow(file: &File, complete: &Receiver<u64>) -> Result<String> {
    let mut hasher = Sha512::new();
    let mut at = 0;
    for mut end in complete {
        // Only the newest number matters.
        while let Ok(newer) = complete.try_recv() {
            end = newer;
        }
        holes::read(file, at..end.max(at), |bytes| hasher.update(bytes))
            .doing(|| "reading what was unpacked".into())?;
        at = at.max(end);
    }
    Ok(hex::encode(hasher.finalize()))
}
