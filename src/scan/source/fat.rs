//! FAT, copied out by mtools.

use std::path::Path;

use super::parts::Volume;
use crate::error::{Context as _, Result};
use crate::host::exec::Program;
use crate::scan::Scanner;

/// Shows every file of the file system to the scanner; owners and modes are the host's, and so
/// not judged.
pub(super) fn walk(
    raw: &Path,
    volume: &Volume,
    at: &str,
    scanner: &mut Scanner<'_>,
    scratch: &Path,
) -> Result<()> {
    let dir = tempfile::tempdir_in(scratch).doing(|| "making a scratch directory".into())?;
    let image = format!("{}@@{}", raw.display(), volume.start);
    let list = Program::new("mdir")
        .args(["-b", "-i", &image, "::/"])
        .output();
    if list.is_ok_and(|list| list.is_empty()) {
        return Ok(());
    }
    let copied = Program::new("mcopy")
        .env("MTOOLS_SKIP_CHECK", "1")
        .args(["-s", "-n", "-Q", "-i", &image, "::*"])
        .arg(dir.path())
        .run();
    if let Err(error) = copied {
        scanner.unsearched_file(&format!("{at}/"), format!("it cannot be read: {error}"));
    }
    super::tree(dir.path(), at, scanner)
}
