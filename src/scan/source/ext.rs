//! ext file systems, read by imgforge itself: an appliance without hardware acceleration reads
//! ten megabytes a second.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};

use super::parts::Volume;
use crate::error::{Error, Result};
use crate::fstab::{FileSystem, Machine};
use crate::scan::{Entry, Scanner};

struct Window {
    file: File,
    start: u64,
}

impl Ext4Read for Window {
    fn read(
        &mut self,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.file.read_exact_at(into, self.start + at)?)
    }
}

/// Opens the file system of a partition; an unfinished journal is taken into account.
pub(super) fn open(raw: &Path, volume: &Volume) -> Result<Ext4, Ext4Error> {
    let file = File::open(raw).map_err(|cause| Ext4Error::Io(Box::new(cause)))?;
    let start = volume.start;
    Ext4::load(Box::new(Window { file, start }))
}

/// Where each volume is mounted, by the fstab of the one that has one: `""` is the root, nothing
/// means nowhere.
pub(super) fn mounts(
    systems: &[(&Volume, Ext4)],
    volumes: &[Volume],
) -> HashMap<u32, Option<String>> {
    let root = systems
        .iter()
        .find(|(_, system)| system.exists("/etc/os-release").unwrap_or(false))
        .or_else(|| {
            let has_etc = |system: &Ext4| system.exists("/etc").unwrap_or(false);
            systems.iter().find(|(_, system)| has_etc(system))
        })
        .or_else(|| systems.first());
    let Some((first, root)) = root else {
        return HashMap::new();
    };
    let fstab = root.read("/etc/fstab").unwrap_or_default();
    let listed: Vec<FileSystem> = volumes.iter().map(|v| v.system.clone()).collect();
    let machine = Machine {
        systems: &listed,
        root: volumes.iter().position(|v| v == *first).unwrap_or(0),
        fstab: &String::from_utf8_lossy(&fstab),
        crypttab: "",
    };
    let layout = machine.layout(|at| is_free(root, at));
    let of = |index| {
        layout
            .at(index)
            .map(|at| at.trim_end_matches('/').to_owned())
    };
    let numbered = volumes.iter().enumerate();
    numbered.map(|(index, v)| (v.number, of(index))).collect()
}

/// Whether a directory is empty; nothing where there is none.
fn is_free(system: &Ext4, at: &str) -> Option<bool> {
    let mut items = system.read_dir(at).ok()?.flatten();
    let used = items.any(|item| !matches!(item.file_name().as_ref(), b"." | b".."));
    Some(!used)
}

/// Shows every file of the file system to the scanner.
pub(super) fn walk(system: &Ext4, at: &str, scanner: &mut Scanner<'_>) -> Result<()> {
    let mut dirs = vec![ext4_view::PathBuf::new("/")];
    while let Some(dir) = dirs.pop() {
        let failed = |cause: Ext4Error| {
            Error::stage(format!("reading {at}{} of the image failed", dir.display()))
                .cause(cause)
                .hint("`e2fsck -n` says whether the file system is damaged")
        };
        for item in system.read_dir(&dir).map_err(failed)? {
            let item = item.map_err(failed)?;
            let name = item.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let meta = item.metadata().map_err(failed)?;
            let path = item.path();
            let shown = format!("{at}{}", String::from_utf8_lossy(path.as_ref()));
            let owner = (meta.uid(), meta.gid());
            let size = meta.len();
            let mode = type_bits(meta.file_type()) | u32::from(meta.mode()) & 0o7777;
            let mut entry = Entry::new(shown, mode, owner, size);
            if meta.is_dir() {
                scanner.take(&entry, &mut io::empty())?;
                if entry.path != format!("{at}/lost+found") {
                    dirs.push(path);
                }
            } else if meta.file_type().is_regular_file() {
                let file = system.open(&path).map_err(failed)?;
                scanner.take(&entry, &mut Content(file))?;
            } else {
                entry.size = 0;
                scanner.take(&entry, &mut io::empty())?;
            }
        }
    }
    Ok(())
}

/// The type as stat(2) has it.
fn type_bits(kind: FileType) -> u32 {
    match kind {
        FileType::Regular => 0o100_000,
        FileType::Directory => 0o040_000,
        FileType::Symlink => 0o120_000,
        FileType::BlockDevice => 0o060_000,
        FileType::CharacterDevice => 0o020_000,
        FileType::Fifo | FileType::Socket => 0o010_000,
    }
}

struct Content(ext4_view::File);

impl io::Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_bytes(buffer).map_err(io::Error::other)
    }
}
