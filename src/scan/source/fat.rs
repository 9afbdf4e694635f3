//! FAT, copied out by mtools.

use std::path::Path;

use super::parts::Volume;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::scan::Scanner;

/// Shows every file of the file system to the scanner; owners and modes are the host's, and so
/// not judged.
///
/// # Errors
/// When not all of it can be read by mtools.
pub(super) fn walk(
    raw: &Path,
    volume: &Volume,
    at: &str,
    scanner: &mut Scanner<'_>,
    scratch: &Path,
) -> Result<()> {
    let dir = tempfile::tempdir_in(scratch).doing(|| "making a scratch directory".into())?;
    let image = format!("{}@@{}", raw.display(), volume.start);
    let tool = |name: &'static str| Program::new(name).env("MTOOLS_SKIP_CHECK", "1");
    // With hidden files and those of the system, which are left out otherwise.
    let list = tool("mdir").args(["-a", "-b", "-/", "-i", &image, "::/"]);
    let list = list.text()?;
    let listed = list.lines().filter(|line| !line.is_empty()).count();
    if listed == 0 {
        return Ok(());
    }
    tool("mcopy")
        .args(["-s", "-n", "-Q", "-i", &image, "::*"])
        .arg(dir.path())
        .run()?;
    let copied = count(dir.path()).doing(|| "reading the copied files".into())?;
    if copied != listed {
        return Err(Error::stage(format!(
            "mcopy copied {copied} files and directories of {listed}"
        )));
    }
    super::tree(dir.path(), at, scanner)
}

/// How many files and directories there are.
fn count(dir: &Path) -> std::io::Result<usize> {
    let mut all = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        all += 1;
        if entry.file_type()?.is_dir() {
            all += count(&entry.path())?;
        }
    }
    Ok(all)
}
