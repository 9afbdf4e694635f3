//! The disk that an earlier call wrote: what it still has of it need not be decoded again.
//!
//! Beside each blob of the store lies `blob.decoded`: what its blocks decoded to, when all of its bytes
//! had the signed digest. A block of another blob that is stored in the same bytes decodes to the same;
//! if the old disk has that at its place, whoever wrote there meanwhile, it is copied, or shared. What
//! was copied is what is compared, so nobody can change it in between.
//!
//! ```text
//! imgforge-decoded 1
//! STORED DECODED             BLAKE3 of a block as it is stored, and as it is on the disk
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Image, Output, Session, download};
use crate::host::opened;
use crate::pack::read::{BlockDigests, Seed};

/// Beside the blob.
const FILE: &str = "blob.decoded";

const FIRST_LINE: &str = "imgforge-decoded 1";

/// Writes down what the blocks of `blob` decoded to.
pub(super) fn write(blob: &Path, blocks: &[BlockDigests]) -> std::io::Result<()> {
    let mut text = format!("{FIRST_LINE}\n");
    for BlockDigests { stored, decoded } in blocks {
        if let Some(decoded) = decoded {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{stored} {decoded}");
        }
    }
    std::fs::write(blob.with_file_name(FILE), text)
}

/// The disk at the output, and what is known of blocks that may be on it.
pub(super) fn find(session: &Session<'_>, image: &Image, output: &Output<'_>) -> Seed {
    let same = image.format.as_deref().unwrap_or("raw") == output.format.as_str();
    let Some(disk) = opened::open(output.path).ok().filter(|_| same) else {
        return Seed::default();
    };
    let earlier = download::earlier(session.store, &image.name, |blob| {
        parse(&std::fs::read_to_string(blob.with_file_name(FILE)).ok()?)
    });
    Seed {
        disk: Some(disk),
        decoded: earlier.into_iter().flatten().collect(),
    }
}

/// Reads what [`write`] wrote; nothing when it is damaged, or of a later version.
fn parse(text: &str) -> Option<HashMap<blake3::Hash, blake3::Hash>> {
    let mut lines = text.lines();
    let pair = |line: &str| {
        let (stored, decoded) = line.split_once(' ')?;
        let hash = |hex: &str| blake3::Hash::from_hex(hex).ok();
        Some((hash(stored)?, hash(decoded)?))
    };
    lines.next().filter(|first| *first == FIRST_LINE)?;
    lines.map(pair).collect()
}
