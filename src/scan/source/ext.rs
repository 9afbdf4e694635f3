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
    let fstab = root
        .and_then(|(_, system)| system.read("/etc/fstab").ok())
        .unwrap_or_default();
    let fstab = String::from_utf8_lossy(&fstab).into_owned();
    let of = |volume: &Volume| {
        let system = systems.iter().find(|(v, _)| v.number == volume.number);
        if root.is_some_and(|(v, _)| v.number == volume.number) {
            return Some(String::new());
        }
        let (uuid, label) = match system {
            Some((_, system)) => (
                system.uuid().to_string(),
                system.label().to_str().unwrap_or_default().to_owned(),
            ),
            None => (volume.fat_uuid.clone(), String::new()),
        };
        mount_point(&fstab, volume, &uuid, &label)
    };
    volumes.iter().map(|v| (v.number, of(v))).collect()
}

pub(crate) fn mount_point(fstab: &str, volume: &Volume, uuid: &str, label: &str) -> Option<String> {
    let device = |text: &str| {
        let text = text.trim_matches('"');
        match text.split_once('=') {
            Some(("UUID", value)) => value.eq_ignore_ascii_case(uuid),
            Some(("LABEL", value)) => !label.is_empty() && value == label,
            Some(("PARTUUID", value)) => value.eq_ignore_ascii_case(&volume.partuuid),
            _ => ["/dev/vda", "/dev/sda", "/dev/xvda", "/dev/nvme0n1p"]
                .iter()
                .any(|disk| text == format!("{disk}{}", volume.number)),
        }
    };
    fstab.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let found = device(fields.next()?);
        let at = fields.next()?;
        (found && at.starts_with('/') && at != "/").then(|| at.trim_end_matches('/').to_owned())
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::source::parts::Content as Kind;

    #[test]
    fn fstab_says_where_a_volume_is() {
        let volume = Volume {
            number: 2,
            start: 0,
            size: 0,
            partuuid: "ab-2".into(),
            fat_uuid: String::new(),
            content: Kind::Ext,
        };
        for (line, point) in [
            ("UUID=1-2 /boot ext4 defaults 0 2", Some("/boot")),
            ("LABEL=data /srv/ ext4", Some("/srv")),
            ("PARTUUID=AB-2 /home ext4", Some("/home")),
            ("/dev/vda2 /var ext4", Some("/var")),
            ("# UUID=1-2 /boot ext4", None),
            ("UUID=1-2 none swap", None),
            ("UUID=9-9 /x ext4", None),
        ] {
            let found = mount_point(line, &volume, "1-2", "data");
            assert_eq!(found.as_deref(), point, "{line}");
        }
    }
}
