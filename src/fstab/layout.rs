//! Which file system is mounted where.

use std::collections::BTreeMap;

use super::{Line, Spec, parse};

/// What is known of a file system on the disks; what it has not got is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// Its device, such as `/dev/sda2` or `/dev/vg/root`.
    pub name: String,
    /// Its disk, counted from 0, and its partition, counted from 1; 0 is the whole disk. Nothing
    /// of a logical volume.
    pub place: Option<(usize, u32)>,
    /// Its type, such as `ext4`.
    pub kind: String,
    pub(crate) uuid: String,
    pub(crate) label: String,
    /// The unique id of its partition.
    pub partuuid: String,
    /// The name of its partition.
    pub partlabel: String,
    /// The type of its GPT partition.
    pub part_type: String,
    /// Whether the partition says that nothing is to mount it by itself.
    pub no_auto: bool,
}

/// A subvolume of btrfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subvolume {
    /// By its path, without slashes at the ends.
    Path(String),
    /// By its number.
    Id(u64),
}

/// A file system with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount point.
    pub at: String,
    /// The file system's place in the list.
    pub system: usize,
    /// The part of it that is mounted, where one is named.
    pub subvolume: Option<Subvolume>,
}

/// What a machine mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The root first, parents before what is in them.
    pub mounts: Vec<Mount>,
    /// What fstab names and is not mounted here, a sentence each.
    pub notes: Vec<String>,
}

impl Layout {
    /// Where a file system is mounted first.
    pub fn at(&self, system: usize) -> Option<&str> {
        let mut mounts = self.mounts.iter();
        let found = mounts.find(|mount| mount.system == system);
        found.map(|mount| mount.at.as_str())
    }
}

/// A machine whose file systems are to be laid out.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// Its file systems.
    pub systems: &'a [FileSystem],
    /// Which of them is the root.
    pub root: usize,
    /// The text of `/etc/fstab`.
    pub fstab: &'a str,
    /// The text of `/etc/crypttab`.
    pub crypttab: &'a str,
}

/// Types of partitions of the Discoverable Partitions Specification, and where they are mounted:
/// the first that is a directory, if it is empty.
const DISCOVERABLE: &[(&str, &[&str])] = &[
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", &["/home"]),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", &["/srv"]),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", &["/var"]),
    ("7ec6f557-3bc5-4aca-b293-16ef5df639d1", &["/var/tmp"]),
    // The program files, on x86-64 and on 64-bit ARM.
    ("8484680c-9521-48c6-9c11-b0720656f69e", &["/usr"]),
    ("b0e01050-ee5f-4390-949a-9101b17104e9", &["/usr"]),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", &["/boot"]),
    (ESP, &["/efi", "/boot"]),
];

/// The type of EFI system partitions.
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

impl FileSystem {
    /// Whether it is the firmware's.
    pub fn is_esp(&self) -> bool {
        self.part_type.eq_ignore_ascii_case(ESP)
    }

    /// Its name for people, such as `/dev/sda3 (ext4, label "data")`.
    pub fn shown(&self) -> String {
        match self.label.as_str() {
            "" => format!("{} ({})", self.name, self.kind),
            label => format!("{} ({}, label \"{label}\")", self.name, self.kind),
        }
    }
}

impl Machine<'_> {
    /// Lays the file systems out. `is_free` says of a path without a line whether it is an empty
    /// directory; `None` when there is none.
    pub fn layout(&self, is_free: impl Fn(&str) -> Option<bool>) -> Layout {
        let lines = parse(self.fstab);
        let mut layout = Layout::default();
        let mut mounts = BTreeMap::from([("/".to_owned(), (self.root, None))]);
        for line in &lines {
            let Some(at) = line.at.as_ref().filter(|at| !mounts.contains_key(*at)) else {
                continue;
            };
            match self.find(&line.spec, line, &lines) {
                Some(system) => {
                    layout.notes.extend(elsewhere(line));
                    mounts.insert(at.clone(), (system, subvolume(line)));
                }
                None => layout.notes.extend(missing(line, at)),
            }
        }
        let swaps = lines.iter().filter(|line| line.is_swap());
        layout.notes.extend(swaps.filter_map(elsewhere));
        self.discover(&mut mounts, is_free);
        let mount = |(at, (system, subvolume))| Mount {
            at,
            system,
            subvolume,
        };
        // By name, a parent comes before what is in it.
        layout.mounts = mounts.into_iter().map(mount).collect();
        layout
    }

    /// What a machine mounts without a line: partitions on the root's disk, by their types.
    fn discover(
        &self,
        mounts: &mut BTreeMap<String, (usize, Option<Subvolume>)>,
        is_free: impl Fn(&str) -> Option<bool>,
    ) {
        let disk = self.systems.get(self.root).and_then(|root| root.place);
        let Some((disk, _)) = disk else {
            return;
        };
        for (kind, places) in DISCOVERABLE {
            let found = self.systems.iter().position(|system| {
                system.part_type.eq_ignore_ascii_case(kind)
                    && !system.no_auto
                    && system.place.is_some_and(|(other, _)| other == disk)
            });
            let Some(found) =
                found.filter(|found| !mounts.values().any(|(system, _)| system == found))
            else {
                continue;
            };
            let there = places.iter().find(|at| is_free(at).is_some());
            if let Some(at) = there
                && !mounts.contains_key(*at)
                && is_free(at) == Some(true)
            {
                mounts.insert((*at).to_owned(), (found, None));
            }
        }
    }

    fn find(&self, spec: &Spec, line: &Line, lines: &[Line]) -> Option<usize> {
        let same = |a: &str, b: &str| !a.is_empty() && a.eq_ignore_ascii_case(b);
        let by = |is: &dyn Fn(&FileSystem) -> bool| self.systems.iter().position(is);
        match spec {
            Spec::Uuid(value) => by(&|fs| same(&fs.uuid, value)),
            Spec::PartUuid(value) => by(&|fs| same(&fs.partuuid, value)),
            Spec::Label(value) => by(&|fs| !value.is_empty() && fs.label == *value),
            Spec::PartLabel(value) => by(&|fs| !value.is_empty() && fs.partlabel == *value),
            Spec::Device(path) => {
                let path = volume(&self.opened(path).unwrap_or_else(|| path.clone()));
                by(&|fs| volume(&fs.name) == path && kernel_name(&path).is_none()).or_else(|| {
                    let place = self.on_disk(kernel_name(&path)?, lines);
                    self.at_place(place, line)
                })
            }
            // There is nothing to tell disks by their hardware.
            Spec::Hardware(number) => {
                let mut places = self.systems.iter().filter_map(|fs| fs.place);
                let (disk, _) = places.next()?;
                let one = places.all(|(other, _)| other == disk);
                self.at_place((disk, number.unwrap_or(0)), line)
                    .filter(|_| one)
            }
            Spec::File(_) | Spec::Nothing(_) => None,
        }
    }

    /// What is at a place that only the order of disks tells: another disk may have been meant
    /// where the type is another one, or the root's own place is.
    fn at_place(&self, place: (usize, u32), line: &Line) -> Option<usize> {
        let found = self.systems.iter().position(|fs| fs.place == Some(place))?;
        let alike = line.kind == "auto" || family(&line.kind) == family(&self.systems[found].kind);
        (alike && (found != self.root || line.option("subvol").is_some())).then_some(found)
    }

    /// Where a disk by its order is: that of the root's line is the root's.
    fn on_disk(&self, (disk, number): (usize, u32), lines: &[Line]) -> (usize, u32) {
        let root = self.systems.get(self.root).and_then(|root| root.place);
        let named = lines.iter().find_map(|line| match &line.spec {
            Spec::Device(path) if line.at.as_deref() == Some("/") => kernel_name(path),
            _ => None,
        });
        match (root, named) {
            (Some((real, at)), Some((called, number_called))) if at == number_called => {
                let disk = match disk {
                    disk if disk == called => real,
                    disk if disk == real => called,
                    disk => disk,
                };
                (disk, number)
            }
            _ => (disk, number),
        }
    }

    /// The name here of an encrypted volume that crypttab names otherwise.
    fn opened(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix("/dev/mapper/")?;
        let mut lines = self
            .crypttab
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        lines.find_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (called, spec) = (fields.next()?, fields.next()?);
            match Spec::of(spec) {
                Spec::Uuid(uuid) if called == name => {
                    Some(format!("/dev/mapper/luks-{}", uuid.to_ascii_lowercase()))
                }
                _ => None,
            }
        })
    }
}

fn subvolume(line: &Line) -> Option<Subvolume> {
    if let Some(path) = line.option("subvol") {
        return Some(Subvolume::Path(path.trim_matches('/').to_owned()));
    }
    let id = line.option("subvolid")?.parse().ok()?;
    Some(Subvolume::Id(id))
}

/// What is to be said of a line that is true of this machine only.
fn elsewhere(line: &Line) -> Option<String> {
    let named = match &line.spec {
        Spec::Device(path) => kernel_name(path).is_some(),
        Spec::Hardware(_) => true,
        _ => false,
    };
    let waits = line.at.as_deref() != Some("/") && !line.has("noauto");
    (named && waits).then(|| {
        format!(
            "{}, which fstab names, is called otherwise on a machine with other disks, which then \
             waits for it at each boot: name it by UUID=",
            line.spec
        )
    })
}

/// What is to be said of a line that no file system belongs to.
fn missing(line: &Line, at: &str) -> Option<String> {
    let spec = &line.spec;
    Some(match spec {
        Spec::Nothing(_) => return None,
        Spec::File(_) if line.is_bind() => {
            format!("fstab shows {spec} at {at} as well: its files are seen as {spec} only")
        }
        Spec::File(_) => {
            format!("{spec}, which fstab mounts at {at}, is a file: nothing looks into it")
        }
        // A drive is no part of a disk, and neither is what lies in it.
        Spec::Device(path) if is_drive(path) => return None,
        _ => format!("{spec}, which fstab mounts at {at}, is not on the disk"),
    })
}

fn is_drive(path: &str) -> bool {
    let name = path.trim_start_matches("/dev/");
    ["sr", "scd", "fd", "cdrom", "cdrw", "dvd", "floppy"]
        .iter()
        .any(|kind| name.starts_with(kind))
}

/// A device's name with that of a logical volume as libguestfs has it: `/dev/mapper/vg-my--root`
/// is `/dev/vg/my-root`.
fn volume(path: &str) -> String {
    let Some(mapped) = path.strip_prefix("/dev/mapper/") else {
        return path.to_owned();
    };
    let doubled = mapped.replace("--", "\0");
    match doubled.split_once('-') {
        Some((group, name)) => format!("/dev/{group}/{name}").replace('\0', "-"),
        None => path.to_owned(),
    }
}

/// Disk, counted from 0, and partition of a name such as `/dev/vda2`, `/dev/nvme0n1p2`.
pub(crate) fn kernel_name(path: &str) -> Option<(usize, u32)> {
    let name = path.strip_prefix("/dev/")?;
    let number = |text: &str| match text {
        "" => Some(0),
        text => text.parse().ok(),
    };
    for kind in ["nvme", "mmcblk"] {
        if let Some(rest) = name.strip_prefix(kind) {
            let (disk, part) = rest.split_once('p').unwrap_or((rest, ""));
            let disk = disk.split('n').next()?.parse().ok()?;
            return Some((disk, number(part)?));
        }
    }
    let rest = ["sd", "vd", "xvd", "hd"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind))?;
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let letters = &rest[..rest.len() - digits.len()];
    let disk = letters.bytes().try_fold(0usize, |all, letter| {
        let letter = usize::from(letter - b'a') + 1;
        all.checked_mul(26)?.checked_add(letter)
    });
    Some((disk?.checked_sub(1)?, number(digits)?))
}

/// Types that one driver reads have one name.
fn family(kind: &str) -> &str {
    match kind {
        "ext2" | "ext3" | "ext4" => "ext",
        "msdos" | "fat" | "vfat" => "vfat",
        "ntfs" | "ntfs3" | "ntfs-3g" => "ntfs",
        kind => kind,
    }
}

#[cfg(test)]
mod tests;
