//! The qcow2 chain as one sparse raw file.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Context as _, Result};
use crate::host::exec::Program;
use crate::host::qemu_img::{self, percent};
use crate::ui::{StageUi, Unit};
use crate::units::Size;

/// What [`flatten`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flattened {
    /// The disk's size as a guest sees it.
    pub virtual_size: Size,
    /// What the raw file takes on the host.
    pub allocated: Size,
}

/// Writes the disk (of a format that QEMU knows, with its backing files) to a sparse raw file, synced.
///
/// Runs of 4 KiB of zeros become holes. Progress goes to `ui` in hundredths.
///
/// # Errors
/// When `qemu-img` is missing or fails, or nearly all of the room there was taken; then nothing is
/// left at `raw`.
pub fn flatten(disk: &Path, format: &str, raw: &Path, ui: &StageUi) -> Result<Flattened> {
    let result = convert(disk, format, raw, ui);
    if result.is_err() {
        drop(std::fs::remove_file(raw));
    }
    result
}

fn convert(disk: &Path, format: &str, raw: &Path, ui: &StageUi) -> Result<Flattened> {
    let shown = ui.clone();
    arguments(disk, format, raw)?.lines(move |line| {
        if let Some(percent) = percent(line) {
            shown.progress(percent, 100, Unit::Percent);
        }
    })?;
    let doing = || format!("writing {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    file.sync_all().doing(doing)?;
    let metadata = file.metadata().doing(doing)?;
    Ok(Flattened {
        virtual_size: Size::bytes(metadata.len()),
        allocated: Size::bytes(metadata.blocks() * 512),
    })
}

fn arguments(disk: &Path, format: &str, raw: &Path) -> Result<Program> {
    let words = ["-p", "-S", "4k", "-t", "unsafe"];
    qemu_img::convert((disk, format), (raw, "raw"), &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_documented_one() {
        let line = arguments(Path::new("a b.qcow2"), "qcow2", Path::new("out"));
        let line = line.unwrap().line();
        assert_eq!(
            line,
            "qemu-img convert -f qcow2 -O raw -p -S 4k -t unsafe -- 'a b.qcow2' out"
        );
    }

    #[test]
    fn progress_lines_are_understood_and_others_ignored() {
        assert_eq!(percent("    (42.17/100%)"), Some(42));
        assert_eq!(percent("(100.00/100%)"), Some(100));
        assert_eq!(percent("qemu-img: error"), None);
    }
}
