//! The disks of a machine, as its kernel describes them in sysfs: without udev, too.

use std::io;
use std::path::{Path, PathBuf};

use crate::deployment::{Disk as Seen, Transport};

/// Names of what is no disk that a machine boots from: made of files or memory, of other disks, or not for
/// keeps.
const NO_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];

/// The disks below `sys` (`/sys`), named as below `dev` (`/dev`). `proc` is `/proc`, which tells what is
/// mounted.
///
/// # Errors
/// When the kernel does not list them.
pub fn disks(sys: &Path, dev: &Path, proc: &Path) -> io::Result<Vec<Seen>> {
    let used = Used::read(proc);
    let ids = by_id(dev);
    let mut names = vec![];
    for entry in std::fs::read_dir(sys.join("block"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.retain(|name| !NO_DISKS.iter().any(|other| name.starts_with(other)));
    let found = names.into_iter().filter_map(|name| {
        let dir = sys.join("block").join(&name);
        let text = |path: &str| read(&dir.join(path));
        let size = text("size")?.parse::<u64>().ok()? * 512;
        if size == 0 || text("hidden").as_deref() == Some("1") {
            return None;
        }
        let place = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let transport = transport(&name, &place);
        let mut ids: Vec<String> = ids
            .iter()
            .filter(|(_, target)| *target == name)
            .map(|(id, _)| id.clone())
            .collect();
        ids.extend(text("device/wwid").or_else(|| text("wwid")));
        let unfit = match text("ro").as_deref() {
            Some("1") => Some("it can only be read"),
            _ => used.why(&dir, &name),
        };
        Some(Seen {
            size,
            serial: serial(&dir, &place, transport),
            model: text("device/model"),
            transport,
            ids,
            unfit,
            name,
        })
    });
    Ok(found.collect())
}

/// A file of sysfs, without blanks at its ends; nothing where it is empty.
fn read(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

fn transport(name: &str, place: &Path) -> Transport {
    let place = place.to_string_lossy();
    let on = |part: &str| place.contains(part);
    match () {
        // Its place is `virtual/nvme-subsystem` where several ways lead to it.
        () if name.starts_with("nvme") => Transport::Nvme,
        () if on("/usb") => Transport::Usb,
        () if name.starts_with("mmcblk") => Transport::Mmc,
        () if on("/ata") => Transport::Sata,
        () if name.starts_with("vd") || on("/virtio") => Transport::Virtio,
        () => Transport::Scsi,
    }
}

fn serial(dir: &Path, place: &Path, transport: Transport) -> Option<String> {
    if transport == Transport::Usb {
        // A bridge's own is the one that is on the label.
        let parents = place.ancestors().skip(1);
        return parents
            .filter_map(|parent| read(&parent.join("serial")))
            .next();
    }
    let own = ["device/serial", "serial"];
    let own = own.iter().find_map(|file| read(&dir.join(file)));
    own.or_else(|| {
        // Four bytes of a header come first.
        let page = std::fs::read(dir.join("device/vpd_pg80")).ok()?;
        let text = String::from_utf8_lossy(page.get(4..)?).trim().to_owned();
        (!text.is_empty()).then_some(text)
    })
}

/// The names of `/dev/disk/by-id`, each with the kernel's name of what it leads to.
fn by_id(dev: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(dev.join("disk/by-id")) else {
        return vec![];
    };
    let mut ids: Vec<(String, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            let target = target.file_name()?.to_string_lossy().into_owned();
            Some((entry.file_name().to_string_lossy().into_owned(), target))
        })
        .collect();
    ids.sort();
    ids
}

/// What is mounted or swapped to.
struct Used {
    /// Major and minor numbers of mounted devices.
    mounted: Vec<String>,
    /// Paths of devices.
    named: Vec<PathBuf>,
}

impl Used {
    fn read(proc: &Path) -> Used {
        let text = |file: &str| std::fs::read_to_string(proc.join(file)).unwrap_or_default();
        let (mounts, swaps) = (text("self/mountinfo"), text("swaps"));
        let numbers = mounts.lines().filter_map(|line| line.split(' ').nth(2));
        let swaps = swaps.lines().skip(1);
        let swaps = swaps.filter_map(|line| line.split_whitespace().next());
        let sources = mounts.lines().filter_map(|line| {
            let (_, rest) = line.split_once(" - ")?;
            rest.split(' ').nth(1)
        });
        Used {
            mounted: numbers.map(str::to_owned).collect(),
            // btrfs shows numbers of its own.
            named: swaps.chain(sources).map(PathBuf::from).collect(),
        }
    }

    fn why(&self, dir: &Path, name: &str) -> Option<&'static str> {
        let mut devices = vec![(dir.to_owned(), name.to_owned())];
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().join("partition").exists() {
                let name = entry.file_name().to_string_lossy().into_owned();
                devices.push((entry.path(), name));
            }
        }
        for (dir, name) in devices {
            let number = read(&dir.join("dev")).unwrap_or_default();
            if self.mounted.contains(&number) || self.named.contains(&Path::new("/dev").join(&name))
            {
                return Some("it is mounted");
            }
            let mut holders = std::fs::read_dir(dir.join("holders")).into_iter().flatten();
            if holders.next().is_some() {
                return Some("a volume on it is active");
            }
        }
        None
    }
}
