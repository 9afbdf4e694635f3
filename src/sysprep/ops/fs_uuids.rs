use crate::error::Result;
use crate::guest::SUBVOLUME;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::devices(
    "fs-uuids",
    "Give file systems new UUIDs",
    "Gives file systems and swap spaces new UUIDs and writes them into `/etc/fstab`, \
     `/etc/crypttab` and the configuration of boot loaders. FAT's cannot be changed. Off by \
     default: an initrd or a boot loader's own program may have kept an old one.",
    run,
)
.off();

/// Text files that name file systems by UUID.
const FILES: &[&str] = &[
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/default/grub",
    "/etc/default/grub.d/*",
    "/etc/kernel/cmdline",
    "/etc/initramfs-tools/conf.d/resume",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub2/grubenv",
    "/boot/loader/entries/*.conf",
    "/boot/extlinux/extlinux.conf",
    "/boot/efi/EFI/*/grub.cfg",
    "/boot/efi/loader/entries/*.conf",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let guest = root.guest;
    for (device, kind) in &root.os.filesystems {
        if kind == "unknown" || device.starts_with(SUBVOLUME) {
            continue;
        }
        let old = guest.vfs_uuid(device)?;
        let new = uuid::Uuid::new_v4().to_string();
        if kind.starts_with("ext") {
            // tune2fs insists on it.
            guest.e2fsck(device)?;
        }
        match guest.set_uuid(device, &new) {
            Ok(()) if !old.is_empty() => root.renamed.push((old, new)),
            Ok(()) => {}
            Err(error) => {
                let note = format!("{device} ({kind}) keeps its UUID: {error}");
                root.notes.push(note);
            }
        }
    }
    Ok(())
}

/// Writes the new UUIDs where the old ones are, once the file systems are mounted again.
pub(in crate::sysprep) fn follow(root: &GuestRoot<'_>) -> Result<()> {
    if root.renamed.is_empty() {
        return Ok(());
    }
    root.edit(FILES, |text| {
        let mut text = text.to_owned();
        for (old, new) in &root.renamed {
            text = text.replace(old, new);
        }
        text
    })
}
