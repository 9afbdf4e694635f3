//! The running system, as its kernel describes it: read from below a directory, which is `/`.

use std::path::{Path, PathBuf};

use crate::blockdev;
use crate::deployment::Disk;
use crate::error::{Context as _, Error, Result};
use crate::host::memory;
use crate::units::Size;

/// Kinds of file systems that other machines have.
const REMOTE: [&str; 8] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "9p",
    "fuse.sshfs",
    "fuse.glusterfs",
];

/// Kinds of file systems that may be on several devices.
const POOLS: [&str; 3] = ["btrfs", "zfs", "bcachefs"];

/// Signs of a container, whose kernel is another machine's.
const CONTAINERS: [&str; 3] = ["run/systemd/container", ".dockerenv", "run/.containerenv"];

/// What firmware and boot loaders are read from.
const BOOT: [&str; 3] = ["/boot", "/boot/efi", "/efi"];

/// What to do where a system is not to be replaced from within.
const RESCUE: &str = "start a rescue system, and run `imgforge deploy disk` there";

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Major and minor number: `8:1`.
    number: String,
    /// Where it is.
    pub(super) point: String,
    /// Kind of its file system.
    kind: String,
    /// What is mounted.
    pub(super) source: String,
}

/// A partition of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The kernel's name.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    /// Where it is mounted.
    pub(super) points: Vec<String>,
}

/// The running system.
#[derive(Debug, Clone)]
pub(super) struct System {
    /// The disk of its root.
    pub(super) disk: Disk,
    /// Conditions that fit this disk alone, as a kernel without udev sees the disks.
    pub(super) rule: String,
    /// The disk's partitions, all of which are lost.
    pub(super) parts: Vec<Part>,
    /// What is mounted from elsewhere, and stays there.
    pub(super) stays: Vec<Mount>,
    /// Whether UEFI starts the machine, or BIOS.
    pub(super) uefi: bool,
    /// All of the memory, and what of it programs can still have.
    pub(super) memory: (Size, Size),
    /// Why this kernel starts no other one.
    pub(super) no_kexec: Option<&'static str>,
}

/// A system that is left as it is.
pub(super) fn refused(why: impl Into<String>, hint: &str) -> Error {
    let error = Error::host("this system cannot be replaced, and nothing was changed");
    error.cause(why.into()).hint(hint)
}

impl System {
    /// Looks at the system below `root`.
    ///
    /// # Errors
    /// When it is one that is not understood, or that could not be replaced as a whole.
    pub(super) fn look(root: &Path) -> Result<System> {
        let [sys, proc] = ["sys", "proc"].map(|name| root.join(name));
        let environ = std::fs::read(proc.join("1/environ")).unwrap_or_default();
        let mut variables = environ.split(|byte| *byte == 0);
        if CONTAINERS.iter().any(|sign| root.join(sign).exists())
            || variables.any(|one| one.starts_with(b"container="))
        {
            return Err(refused(
                "it is a container, and shares its kernel with other systems",
                "run it on the machine itself",
            ));
        }
        let mounts = mounts(&proc)?;
        let name = disk_of_root(&sys, &mounts)?;
        check_holders(&sys, &name)?;
        let parts = parts(&sys, &name, &mounts);
        let own = |mount: &&Mount| on_disk(&sys, &mount.number).as_deref() == Some(&*name);
        check_pools(&mounts)?;
        // What is in a file (loop) belongs to the file system of that file.
        let elsewhere = mounts.iter().filter(|mount| {
            let device =
                mount.source.starts_with("/dev/") && !mount.source.starts_with("/dev/loop");
            (device || REMOTE.contains(&&*mount.kind)) && !own(mount)
        });
        let stays: Vec<Mount> = elsewhere.cloned().collect();
        if let Some(boot) = stays.iter().find(|mount| BOOT.contains(&&*mount.point)) {
            let Mount { point, source, .. } = boot;
            return Err(refused(
                format!(
                    "it starts from {point}, which is {source}, and its root is on /dev/{name}"
                ),
                RESCUE,
            ));
        }
        let (disk, rule) = rule(&sys, &name)?;
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let meminfo = text("proc/meminfo");
        let field = |name| {
            memory::field(&meminfo, name)
                .ok_or_else(|| refused(format!("the kernel does not say {name}"), RESCUE))
        };
        Ok(System {
            disk,
            rule,
            parts,
            stays,
            uefi: sys.join("firmware/efi").is_dir(),
            memory: (field("MemTotal")?, field("MemAvailable")?),
            no_kexec: no_kexec(root),
        })
    }
}

/// Why this kernel starts no other one.
fn no_kexec(root: &Path) -> Option<&'static str> {
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let lockdown = text("sys/kernel/security/lockdown");
    let secure = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    // Four bytes of attributes come first.
    let secure = std::fs::read(root.join(secure)).unwrap_or_default();
    match () {
        () if !root.join("sys/kernel/kexec_loaded").exists() => {
            Some("its kernel was built without kexec")
        }
        () if text("proc/sys/kernel/kexec_load_disabled").trim() == "1" => {
            Some("kexec is disabled until the next start (kernel.kexec_load_disabled=1)")
        }
        () if !lockdown.is_empty() && !lockdown.contains("[none]") => {
            Some("its kernel is locked down, and starts no other one")
        }
        () if secure.get(4) == Some(&1) => {
            Some("Secure Boot is on, and only signed systems start by kexec then")
        }
        () => None,
    }
}

/// What is mounted, the later over the earlier.
fn mounts(proc: &Path) -> Result<Vec<Mount>> {
    let path = proc.join("self/mountinfo");
    let text = std::fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(2);
        let number = before.next()?.to_owned();
        let point = unescape(before.nth(1)?);
        let mut after = after.split(' ');
        Some(Mount {
            number,
            point,
            kind: after.next()?.to_owned(),
            source: unescape(after.next()?),
        })
    };
    Ok(text.lines().filter_map(mount).collect())
}

/// The kernel writes blanks and the like as three digits.
fn unescape(text: &str) -> String {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n")];
    let text = pairs.iter().fold(text.to_owned(), |text, (code, char)| {
        text.replace(code, char)
    });
    text.replace("\\134", "\\")
}

/// The disk that a device is a part of, or is; `None` where that is not a device of its own.
fn on_disk(sys: &Path, number: &str) -> Option<String> {
    let place = sys.join("dev/block").join(number).canonicalize().ok()?;
    let disk = match place.join("partition").exists() {
        true => place.parent()?,
        false => &place,
    };
    Some(disk.file_name()?.to_string_lossy().into_owned())
}

/// The kernel's name of the disk that has the root.
fn disk_of_root(sys: &Path, mounts: &[Mount]) -> Result<String> {
    let root = mounts.iter().rfind(|mount| mount.point == "/");
    let root = root.ok_or_else(|| refused("no root is mounted", RESCUE))?;
    let Mount {
        number,
        kind,
        source,
        ..
    } = root;
    if REMOTE.contains(&&**kind) {
        return Err(refused(
            format!("its root is on the network ({kind}, {source})"),
            "change what the machine gets when it starts: no disk of it has its system",
        ));
    }
    if matches!(
        &**kind,
        "overlay" | "tmpfs" | "ramfs" | "rootfs" | "squashfs"
    ) {
        return Err(refused(
            format!("its root is in memory, or in layers ({kind})"),
            "on a live or rescue system, `imgforge deploy disk` writes to a disk",
        ));
    }
    let name = on_disk(sys, number).ok_or_else(|| {
        refused(
            format!("its root is {source} ({kind}), which is not a partition of one disk"),
            RESCUE,
        )
    })?;
    match volume(sys, &name) {
        None => Ok(name),
        Some(what) => Err(refused(format!("its root is on {what}, {source}"), RESCUE)),
    }
}

/// What a device is made of, in words, if it is not a disk.
fn volume(sys: &Path, name: &str) -> Option<String> {
    let dir = sys.join("block").join(name);
    let uuid = std::fs::read_to_string(dir.join("dm/uuid")).unwrap_or_default();
    let what = match () {
        () if uuid.starts_with("LVM-") => "a volume of LVM",
        () if uuid.starts_with("CRYPT-") => "an encrypted volume (LUKS)",
        () if uuid.starts_with("mpath-") => "a disk with several ways to it (multipath)",
        () if name.starts_with("dm-") => "a volume of the device mapper",
        () if name.starts_with("md") => "a RAID (MD)",
        () if name.starts_with("loop") => "a file of another file system (loop)",
        () if name.starts_with("nbd") || name.starts_with("rbd") || name.starts_with("drbd") => {
            "a disk of the network"
        }
        () if name.starts_with("ram") || name.starts_with("zram") => "a disk in memory",
        () if name.starts_with("bcache") => "a disk with a cache (bcache)",
        () => return None,
    };
    Some(what.into())
}

/// Devices below a disk: itself, and its partitions.
fn devices(sys: &Path, disk: &str) -> Vec<PathBuf> {
    let dir = sys.join("block").join(disk);
    let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut all: Vec<PathBuf> = paths
        .filter(|path| path.join("partition").exists())
        .collect();
    all.sort();
    all.insert(0, dir);
    all
}

/// File systems over several devices do not say which: one of those may be a partition of this disk.
fn check_pools(mounts: &[Mount]) -> Result<()> {
    match mounts.iter().find(|mount| POOLS.contains(&&*mount.kind)) {
        None => Ok(()),
        Some(Mount {
            point,
            kind,
            source,
            ..
        }) => Err(refused(
            format!("{source} at {point} is of kind {kind}, and may be on several disks"),
            RESCUE,
        )),
    }
}

/// Volumes may have further disks, which would lose their data.
fn check_holders(sys: &Path, disk: &str) -> Result<()> {
    for device in devices(sys, disk) {
        let mut holders = std::fs::read_dir(device.join("holders"))
            .into_iter()
            .flatten();
        if let Some(Ok(holder)) = holders.next() {
            let holder = holder.file_name().to_string_lossy().into_owned();
            let what = volume(sys, &holder).unwrap_or_else(|| "a volume".into());
            let name = device.file_name().unwrap_or_default().display();
            return Err(refused(
                format!("{what}, /dev/{holder}, is active on /dev/{name} of the same disk"),
                RESCUE,
            ));
        }
    }
    Ok(())
}

/// The partitions of a disk.
fn parts(sys: &Path, disk: &str, mounts: &[Mount]) -> Vec<Part> {
    let part = |dir: PathBuf| {
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let number = text("dev").trim().to_owned();
        let mounted = mounts.iter().filter(|mount| mount.number == number);
        Part {
            name: dir.file_name().unwrap_or_default().display().to_string(),
            size: text("size").trim().parse::<u64>().unwrap_or(0) * 512,
            points: mounted.map(|mount| mount.point.clone()).collect(),
        }
    };
    devices(sys, disk).into_iter().skip(1).map(part).collect()
}

/// The disk with this name, and conditions that fit it alone. A kernel's names may be others at the next
/// start.
fn rule(sys: &Path, name: &str) -> Result<(Disk, String)> {
    // As they are seen where nothing is mounted and no udev runs.
    let none = Path::new("/nonexistent");
    let mut disks = blockdev::disks(sys, none, none).doing(|| "listing the disks".into())?;
    disks.iter_mut().for_each(|disk| disk.unfit = None);
    let own = disks.iter().find(|disk| disk.name == name).cloned();
    let own = own.ok_or_else(|| refused(format!("/dev/{name} is not a known disk"), RESCUE))?;
    let plain = |text: &&String| !text.contains([',', '\0', '\n']);
    let serial = own.serial.iter().filter(plain);
    let ids = own.ids.iter().filter(plain).map(|id| globset::escape(id));
    let size = Size::bytes(own.size);
    let rules = serial
        .map(|serial| format!("serial={serial}"))
        .chain(ids.map(|id| format!("by-id={id}")))
        .chain([
            format!("size>={size},size<={size}"),
            format!("transport={},size>={size},size<={size}", own.transport),
        ]);
    for rule in rules {
        if let Ok(crate::deployment::DiskRule::Fits(conditions)) = rule.parse()
            && conditions
                .choose(&disks)
                .is_ok_and(|disk| disk.name == name)
        {
            return Ok((own, rule));
        }
    }
    Err(refused(
        format!(
            "no serial number, WWID or size tells /dev/{name} from the other disks, \
             and its name may be another one at the next start"
        ),
        RESCUE,
    ))
}
