//! Which disk of a machine an image is written to: a rule, and never a guess.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};

use crate::error::{Error, Result};
use crate::units::Size;

/// What a disk is connected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// NVMe, whatever carries it.
    Nvme,
    /// SATA, and what speaks ATA.
    Sata,
    /// SAS, and controllers that show disks as SCSI's.
    Scsi,
    /// USB.
    Usb,
    /// A virtual machine's.
    Virtio,
    /// Cards, and chips like them.
    Mmc,
}

impl Transport {
    /// Every one, with its word.
    pub const ALL: [(Transport, &str); 6] = [
        (Transport::Nvme, "nvme"),
        (Transport::Sata, "sata"),
        (Transport::Scsi, "scsi"),
        (Transport::Usb, "usb"),
        (Transport::Virtio, "virtio"),
        (Transport::Mmc, "mmc"),
    ];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(transport, _)| transport == self);
        f.write_str(word.map_or("", |(_, word)| word))
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, word)| *word == text);
        found.map(|(transport, _)| *transport).ok_or_else(|| {
            let words = Self::ALL.map(|(_, word)| word).join(", ");
            format!("`{text}` is not a transport; there are {words}")
        })
    }
}

/// A disk of a machine, as its kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name: `sda`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its serial number.
    pub serial: Option<String>,
    /// What its maker calls it.
    pub model: Option<String>,
    /// What it is connected by.
    pub transport: Transport,
    /// Its names in `/dev/disk/by-id`, and its WWID.
    pub ids: Vec<String>,
    /// Why nothing is to be written to it: it is in use, or cannot be written to.
    pub unfit: Option<&'static str>,
}

/// What a disk must be. All that is said must hold, and for one disk alone.
#[derive(Debug, Clone)]
pub enum DiskRule {
    /// The one at this path; it may be a file.
    Path(PathBuf),
    /// What the conditions fit; without any, the only disk.
    Fits(Conditions),
}

/// Conditions, of which each must hold.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    by_id: Option<GlobMatcher>,
    serial: Option<String>,
    transport: Option<Transport>,
    least: Option<Size>,
    most: Option<Size>,
}

const FORMS: &str = "write `only`, a path such as /dev/nvme0n1, or conditions with commas between: \
                     by-id=PATTERN, serial=TEXT, transport=nvme, size>=200GiB, size<=1TiB";

impl FromStr for DiskRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "only" {
            return Ok(DiskRule::Fits(Conditions::default()));
        }
        if text.starts_with(['/', '.']) {
            return Ok(DiskRule::Path(text.into()));
        }
        let mut rule = Conditions::default();
        for condition in text.split(',') {
            let twice = || format!("`{condition}` is there twice");
            let set = |there: bool| if there { Err(twice()) } else { Ok(()) };
            if let Some(size) = condition.strip_prefix("size>=") {
                set(rule.least.replace(size.parse()?).is_some())?;
            } else if let Some(size) = condition.strip_prefix("size<=") {
                set(rule.most.replace(size.parse()?).is_some())?;
            } else {
                let (key, value) = condition
                    .split_once('=')
                    .filter(|(_, value)| !value.is_empty())
                    .ok_or_else(|| format!("`{condition}` is not a condition; {FORMS}"))?;
                match key {
                    "by-id" => {
                        let glob = Glob::new(value).map_err(|error| error.to_string())?;
                        set(rule.by_id.replace(glob.compile_matcher()).is_some())?;
                    }
                    "serial" => set(rule.serial.replace(value.to_owned()).is_some())?,
                    "transport" => set(rule.transport.replace(value.parse()?).is_some())?,
                    _ => return Err(format!("`{condition}` is not a condition; {FORMS}")),
                }
            }
        }
        Ok(DiskRule::Fits(rule))
    }
}

impl DiskRule {
    /// Whether no disk fits but those of virtual machines.
    #[must_use]
    pub fn is_of_virtual_machines(&self) -> bool {
        match self {
            DiskRule::Path(path) => path.to_string_lossy().starts_with("/dev/vd"),
            DiskRule::Fits(conditions) => conditions.transport == Some(Transport::Virtio),
        }
    }
}

impl Conditions {
    /// The first condition that a disk does not fulfil, in words.
    fn against(&self, disk: &Disk) -> Option<String> {
        let Conditions {
            by_id,
            serial,
            transport,
            least,
            most,
        } = self;
        if let Some(why) = disk.unfit {
            return Some(why.into());
        }
        if let Some(glob) = by_id
            && !disk.ids.iter().any(|id| glob.is_match(id))
        {
            return Some("it has another id".into());
        }
        if let Some(serial) = serial
            && disk.serial.as_ref() != Some(serial)
        {
            return Some("it has another serial number".into());
        }
        if transport.is_some_and(|transport| transport != disk.transport) {
            return Some("it is connected otherwise".into());
        }
        let size = Size::bytes(disk.size);
        match (least, most) {
            (Some(least), _) if size < *least => Some("it is smaller".into()),
            (_, Some(most)) if size > *most => Some("it is larger".into()),
            _ => None,
        }
    }

    /// The one disk that fits.
    ///
    /// # Errors
    /// When none does, or several do: all are shown, with why they do not.
    pub fn choose<'a>(&self, disks: &'a [Disk]) -> Result<&'a Disk> {
        let judged: Vec<_> = disks
            .iter()
            .map(|disk| (disk, self.against(disk)))
            .collect();
        let fits = |judged: &&(&'a Disk, Option<String>)| judged.1.is_none();
        let mut fitting = judged.iter().filter(fits).map(|(disk, _)| *disk);
        let first = fitting.next();
        let (message, hint) = match (first, fitting.count()) {
            (Some(only), 0) => return Ok(only),
            (Some(first), more) => {
                let same = |disk: &&Disk| disk.serial == first.serial;
                let one = match &first.serial {
                    Some(serial) if disks.iter().filter(same).count() == 1 => {
                        format!("serial={serial}")
                    }
                    _ => format!("/dev/{}", first.name),
                };
                let message = format!("{} disks fit the rule, and it must be one", more + 1);
                (message, format!("name the one that is meant: --disk {one}"))
            }
            (None, _) if judged.is_empty() => {
                let hint = "look what the kernel has found: lsblk; a driver may be missing";
                ("this machine has no disk".into(), hint.into())
            }
            (None, _) => {
                let hint = "choose another rule, or free the disk that is meant";
                ("no disk fits the rule".into(), hint.into())
            }
        };
        let lines = judged.iter().map(|(disk, why)| {
            let why = why.as_deref().unwrap_or("it fits");
            format!("{disk}: {why}")
        });
        Err(Error::host(message).evidence(lines).hint(hint))
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, transport) = (Size::bytes(self.size).human(), self.transport);
        write!(f, "/dev/{}, {size}, {transport}", self.name)?;
        if let Some(serial) = &self.serial {
            write!(f, ", serial {serial}")?;
        }
        match &self.model {
            Some(model) => write!(f, ", {model}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, gib: u64, transport: Transport, serial: &str) -> Disk {
        Disk {
            name: name.into(),
            size: gib << 30,
            serial: Some(serial.into()),
            model: None,
            transport,
            ids: vec![format!("nvme-Vendor_{serial}")],
            unfit: None,
        }
    }

    fn chosen(rule: &str, disks: &[Disk]) -> Result<String> {
        let DiskRule::Fits(conditions) = rule.parse().unwrap() else {
            panic!("{rule} is a path");
        };
        conditions.choose(disks).map(|disk| disk.name.clone())
    }

    #[test]
    fn a_rule_finds_one_disk_or_says_what_each_is() {
        let mut disks = [
            disk("nvme0n1", 512, Transport::Nvme, "N1"),
            disk("sda", 2048, Transport::Sata, "S1"),
            disk("sdb", 2048, Transport::Sata, "S2"),
            disk("sdc", 8, Transport::Usb, "U1"),
        ];
        disks[3].unfit = Some("it is mounted");
        for (rule, name) in [
            ("serial=S2", "sdb"),
            ("transport=nvme", "nvme0n1"),
            ("by-id=nvme-*_S1", "sda"),
            ("size<=1TiB", "nvme0n1"),
            ("transport=sata,size>=1TiB,serial=S1", "sda"),
        ] {
            assert_eq!(chosen(rule, &disks).unwrap(), name, "{rule}");
        }
        assert_eq!(chosen("only", &disks[..1]).unwrap(), "nvme0n1");
        let error = chosen("transport=sata", &disks).unwrap_err();
        assert_eq!(
            error.render(),
            "error: 2 disks fit the rule, and it must be one\n  \
             | /dev/nvme0n1, 512.0 GiB, nvme, serial N1: it is connected otherwise\n  \
             | /dev/sda, 2.0 TiB, sata, serial S1: it fits\n  \
             | /dev/sdb, 2.0 TiB, sata, serial S2: it fits\n  \
             | /dev/sdc, 8.0 GiB, usb, serial U1: it is mounted\n\
             hint: name the one that is meant: --disk serial=S1\n"
        );
        disks[2].serial = Some("S1".into());
        let error = chosen("transport=sata", &disks).unwrap_err();
        let hint = "name the one that is meant: --disk /dev/sda";
        assert_eq!(error.hint_text(), Some(hint));
        let none = chosen("serial=U1", &disks).unwrap_err();
        assert_eq!(none.message(), "no disk fits the rule");
        let nothing = chosen("only", &[]).unwrap_err();
        assert_eq!(nothing.message(), "this machine has no disk");
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        for text in [
            "first",
            "smallest",
            "serial=",
            "size=10GiB",
            "size>=ten",
            "transport=scsi2",
            "serial=A,serial=B",
            "by-id=[",
            "",
        ] {
            assert!(text.parse::<DiskRule>().is_err(), "{text}");
        }
    }
}
