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
        // A bridge's own is the one that is on the label. Hubs above it have their own.
        let mut parents = place.ancestors().skip(1);
        let bridge = parents.find(|parent| parent.join("idVendor").exists());
        return bridge.and_then(|bridge| read(&bridge.join("serial")));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file, and what it lies in.
    fn put(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn every_disk_is_told_with_what_it_is_and_why_it_does_not_fit() {
        let root = tempfile::tempdir().unwrap();
        let [sys, dev, proc] = ["sys", "dev", "proc"].map(|name| root.path().join(name));
        std::fs::create_dir_all(sys.join("block")).unwrap();
        // A hub has a serial number, one of the two bridges on it has none.
        let hub = "devices/pci0/usb1";
        put(&sys, &format!("{hub}/idVendor"), "1d6b");
        put(&sys, &format!("{hub}/serial"), "0000:00:14.0");
        put(&sys, &format!("{hub}/1-1/idVendor"), "0951");
        put(&sys, &format!("{hub}/1-2/idVendor"), "0951");
        put(&sys, &format!("{hub}/1-2/serial"), "U2\n");
        for (name, place) in [
            ("loop0", "devices/virtual/block"),
            ("mmcblk0boot0", "devices/platform/mmc0"),
            ("nvme0n1", "devices/pci0/nvme/nvme0"),
            ("nvme0c0n1", "devices/pci0/nvme/nvme1"),
            ("sda", "devices/pci0/ata1/0:0:0:0/block"),
            ("sdb", "devices/pci0/usb1/1-1/1-1:1.0/host6/block"),
            ("sdc", "devices/pci0/usb1/1-2/1-2:1.0/host7/block"),
            ("sdd", "devices/pci0/host8/block"),
            ("sr0", "devices/pci0/ata2/block"),
            ("vda", "devices/pci0/virtio1/block"),
        ] {
            let size = if name == "sdd" { "0\n" } else { "2048\n" };
            put(&sys, &format!("{place}/{name}/size"), size);
            let to = sys.join(place).join(name);
            std::os::unix::fs::symlink(to, sys.join("block").join(name)).unwrap();
        }
        let block = |name: &str, text: &str| put(&sys.join("block"), name, text);
        block("mmcblk0boot0/ro", "1\n");
        block("nvme0n1/device/serial", "N1   \n");
        block("nvme0n1/wwid", "eui.1\n");
        block("nvme0c0n1/hidden", "1\n");
        block("sda/device/vpd_pg80", "\0\u{1}\0\u{4}  S1");
        block("sda/sda1/partition", "1\n");
        block("sda/sda1/dev", "8:1\n");
        block("vda/serial", "V1");
        block("vda/vda2/partition", "2\n");
        block("vda/vda2/holders/dm-0", "");
        put(
            &proc,
            "self/mountinfo",
            "24 1 8:1 / / rw - ext4 /dev/root rw\n",
        );
        put(&proc, "swaps", "Filename Type\n/dev/sdc file\n");
        std::fs::create_dir_all(dev.join("disk/by-id")).unwrap();
        std::os::unix::fs::symlink("../../nvme0n1", dev.join("disk/by-id/nvme-X")).unwrap();

        let found = disks(&sys, &dev, &proc).unwrap();
        let told = found.iter().map(|disk| {
            let serial = disk.serial.as_deref().unwrap_or("-");
            let unfit = disk.unfit.unwrap_or("-");
            format!("{} {} {serial} {unfit}", disk.name, disk.transport)
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "mmcblk0boot0 mmc - it can only be read",
                "nvme0n1 nvme N1 -",
                "sda sata S1 it is mounted",
                "sdb usb - -",
                "sdc usb U2 it is mounted",
                "vda virtio V1 a volume on it is active",
            ]
        );
        assert_eq!(found[1].ids, ["nvme-X", "eui.1"]);
        assert_eq!(found[1].size, 1 << 20);
    }
}
