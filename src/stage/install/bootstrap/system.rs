//! The configuration that every bootstrapped system gets.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::distro::{Apt, apt};
use crate::error::{Context as _, Result};

use super::disk::Layout;

/// Something in the tree, by its path without the leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeEntry {
    path: String,
    kind: EntryKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum EntryKind {
    File { mode: u32, text: String },
    Link { to: &'static str },
    Gone,
}

impl TreeEntry {
    pub(super) fn file(path: impl Into<String>, mode: u32, text: impl Into<String>) -> Self {
        let text = text.into();
        TreeEntry {
            path: path.into(),
            kind: EntryKind::File { mode, text },
        }
    }

    fn link(path: &str, to: &'static str) -> Self {
        TreeEntry {
            path: path.into(),
            kind: EntryKind::Link { to },
        }
    }

    fn gone(path: &str) -> Self {
        TreeEntry {
            path: path.into(),
            kind: EntryKind::Gone,
        }
    }
}

const DHCP: &str = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n";

/// A card without a network, or an unplugged one, holds nothing up: any card is enough.
const ANY_CARD: (&str, &str) = (
    "etc/systemd/system/systemd-networkd-wait-online.service.d/50-any.conf",
    "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-networkd-wait-online --any\n",
);

/// The files, for an image of this name.
pub(super) fn files(image: &str, distro: &Apt, sources: &str, layout: &Layout) -> Vec<TreeEntry> {
    let host = host_name(image);
    vec![
        TreeEntry::file("etc/fstab", 0o644, fstab(layout)),
        TreeEntry::file("etc/hostname", 0o644, format!("{host}\n")),
        TreeEntry::file("etc/hosts", 0o644, hosts(&host)),
        TreeEntry::file("etc/systemd/network/80-dhcp.network", 0o644, DHCP),
        TreeEntry::file(ANY_CARD.0, 0o644, ANY_CARD.1),
        TreeEntry::file("etc/locale.conf", 0o644, "LANG=C.UTF-8\n"),
        TreeEntry::file("etc/default/locale", 0o644, "LANG=C.UTF-8\n"),
        TreeEntry::file("etc/machine-id", 0o444, ""),
        TreeEntry::file(apt::sources_path(distro), 0o644, sources),
        TreeEntry::link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
        TreeEntry::link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
        TreeEntry::gone("var/lib/dbus/machine-id"),
        TreeEntry::gone("etc/apt/sources.list"),
        TreeEntry::gone("etc/apt/sources.list.d/0000build.sources"),
        TreeEntry::gone("etc/apt/apt.conf.d/99mmdebstrap"),
        TreeEntry::gone("etc/dpkg/dpkg.cfg.d/99mmdebstrap"),
    ]
}

/// A host name from an image's name: `.` and `_` do not belong into one.
fn host_name(image: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = image.chars().take(63).map(clean).collect();
    name.trim_matches('-').to_owned()
}

fn hosts(host: &str) -> String {
    format!("127.0.0.1 localhost\n127.0.1.1 {host}\n::1 localhost ip6-localhost ip6-loopback\n")
}

/// FAT has no UUID worth the name: the ESP goes by its partition's. Only who changes the boot loader
/// needs it, so a machine comes up without it, and does not wait for it.
pub(super) fn fstab(layout: &Layout) -> String {
    format!(
        "UUID={} / ext4 errors=remount-ro 0 1\nPARTUUID={} /boot/efi vfat umask=0077,nofail 0 0\n",
        layout.root_uuid, layout.esp_partuuid
    )
}

/// Empties `/dev`: the kernel fills it, and nodes need rights that an ordinary user has not.
pub(super) fn clear_devices(tree: &Path) -> Result<()> {
    let dev = tree.join("dev");
    let clear = || -> std::io::Result<()> {
        for entry in std::fs::read_dir(&dev)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    clear().doing(|| format!("emptying {}", dev.display()))
}

/// Writes entries into the tree; what is there already gives way, links are not followed.
pub(super) fn write(tree: &Path, entries: &[TreeEntry]) -> Result<()> {
    entries.iter().try_for_each(|entry| {
        let path = tree.join(&entry.path);
        put(&path, &entry.kind).doing(|| format!("writing {}", path.display()))
    })
}

fn put(path: &Path, kind: &EntryKind) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let (Some(parent), false) = (path.parent(), *kind == EntryKind::Gone) {
        std::fs::create_dir_all(parent)?;
    }
    match kind {
        EntryKind::Gone => Ok(()),
        EntryKind::Link { to } => std::os::unix::fs::symlink(to, path),
        EntryKind::File { mode, text } => {
            use std::io::Write as _;
            let mut options = std::fs::File::options();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(*mode)
                .open(path)?;
            file.write_all(text.as_bytes())?;
            file.set_permissions(std::fs::Permissions::from_mode(*mode))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Arch;

    #[test]
    fn entries_replace_what_is_there_and_follow_no_link() {
        let tree = tempfile::tempdir().unwrap();
        let outside = tree.path().join("outside");
        std::fs::write(&outside, "kept").unwrap();
        std::fs::create_dir(tree.path().join("etc")).unwrap();
        std::os::unix::fs::symlink(&outside, tree.path().join("etc/hosts")).unwrap();
        let entries = [
            TreeEntry::file("etc/hosts", 0o600, "new"),
            TreeEntry::link("etc/resolv.conf", "x"),
            TreeEntry::gone("etc/none"),
        ];
        write(tree.path(), &entries).unwrap();
        write(tree.path(), &entries).unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "kept");
        let hosts = tree.path().join("etc/hosts");
        assert_eq!(std::fs::read_to_string(&hosts).unwrap(), "new");
        assert_eq!(
            hosts.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn fstab_goes_by_uuid_and_partuuid() {
        let layout = Layout::new(Arch::default(), crate::units::Size::gib(2), "seed").unwrap();
        insta::assert_snapshot!(fstab(&layout).replace(&layout.root_uuid, "ROOT").replace(&layout.esp_partuuid, "ESP"), @r"
        UUID=ROOT / ext4 errors=remount-ro 0 1
        PARTUUID=ESP /boot/efi vfat umask=0077,nofail 0 0
        ");
    }

    #[test]
    fn image_names_become_host_names() {
        assert_eq!(host_name("web_node.v2-"), "web-node-v2");
    }
}
