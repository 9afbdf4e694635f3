//! GRUB on a disk image: the guest's own tools make the images, we put them where firmware looks.
//!
//! `grub-install` wants block devices. An image in a file needs three numbers instead: where
//! `boot.img` finds `core.img`, where `core.img` finds its own second sector, and (for buggy
//! BIOSes) no check of the boot drive. Offsets as in GRUB's `include/grub/i386/pc/boot.h`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::distro::Suite;
use crate::error::{Context as _, Error, Result};

use super::disk::{BIOS_SECTORS, BIOS_START, Layout, SECTOR};
use super::system::{TreeEntry, write};
use crate::machine::Arch;

/// What both core images carry: enough to read the configuration and to start Linux.
const MODULES: &str = "part_gpt ext2 fat search search_fs_uuid normal configfile linux boot \
                       serial terminal echo test ls all_video";
/// Kernel command line of the image; the last console is the one that `init` writes to.
fn cmdline(arch: Arch) -> String {
    format!("console=tty0 console={},115200", arch.serial)
}

/// What the kernel's packages are told by the environment, who would make their initrd twice: first of all, and
/// again when all else is there. The hook makes it then.
pub(super) const NO_INITRD: (&str, &str) = ("INITRD", "No");

/// mmdebstrap's customize hook: initrd, boot images and units, made with the guest's own programs.
pub(super) fn hook(layout: &Layout) -> String {
    let (uuid, efi, arch) = (&layout.root_uuid, layout.arch.grub_efi, layout.arch);
    let (bios, kernel) = (arch.grub_bios.unwrap_or_default(), arch.kernel);
    let bios_image = match arch.has_bios() {
        true => format!(
            r#"chroot "$1" grub-mkimage -O {bios} -o /boot/grub/{bios}/core.img -p /boot/grub \
    -c /boot/grub/load.cfg biosdisk {MODULES}
"#
        ),
        false => String::new(),
    };
    format!(
        r#"# Runs on the host as the guest's root; $1 is the guest's tree.
mkdir -p "$1/boot/grub" "$1/boot/efi"
for platform in {bios} {efi}; do
    mkdir -p "$1/boot/grub/$platform"
    cp "$1/usr/lib/grub/$platform"/*.mod "$1/usr/lib/grub/$platform"/*.lst "$1/boot/grub/$platform/"
done
cat > "$1/boot/grub/load.cfg" <<'END'
search.fs_uuid {uuid} root
set prefix=($root)/boot/grub
END
{bios_image}chroot "$1" grub-mkimage -O {efi} -o /boot/grub/{efi}/core.efi -p /boot/grub \
    -c /boot/grub/load.cfg efi_gop {MODULES}
for modules in "$1"/lib/modules/*; do
    version=${{modules##*/}}
    if [ -e "$1/boot/{kernel}-$version" ] && ! [ -e "$1/boot/initrd.img-$version" ]; then
        # As old as the kernel, whose package tells: an initrd has the times of the files in it.
        SOURCE_DATE_EPOCH=$(stat -c %Y "$1/boot/{kernel}-$version") \
            chroot "$1" update-initramfs -c -k "$version"
        INITRD=Yes chroot "$1" linux-update-symlinks install "$version" "/boot/{kernel}-$version"
    fi
done
chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service
rm "$1/boot/grub/load.cfg"
"#
    )
}

/// Writes the first menu. The guest's `update-grub` writes the next one, from the same settings.
pub(super) fn write_config(tree: &Path, suite: &Suite, layout: &Layout) -> Result<()> {
    let version = newest_kernel(tree, layout.arch)?;
    write(
        tree,
        &[
            TreeEntry::file("boot/grub/grub.cfg", 0o600, menu(suite, layout, &version)),
            TreeEntry::file(
                "etc/default/grub.d/50-console.cfg",
                0o644,
                defaults(layout.arch),
            ),
        ],
    )
}

fn newest_kernel(tree: &Path, arch: Arch) -> Result<String> {
    let boot = tree.join("boot");
    let doing = || format!("listing {}", boot.display());
    let start = format!("{}-", arch.kernel);
    let mut versions = vec![];
    for entry in std::fs::read_dir(&boot).doing(doing)? {
        let name = entry
            .doing(doing)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if let Some(version) = name.strip_prefix(&start)
            && boot.join(format!("initrd.img-{version}")).is_file()
        {
            versions.push(version.to_owned());
        }
    }
    versions.sort();
    versions.pop().ok_or_else(|| {
        Error::stage("the bootstrapped system has no kernel with an initrd")
            .hint("name a kernel package with `kernel:` in the recipe")
    })
}

fn menu(suite: &Suite, layout: &Layout, version: &str) -> String {
    let (uuid, file) = (&layout.root_uuid, layout.arch.kernel);
    let cmdline = cmdline(layout.arch);
    // UEFI's console is on the serial port, too, where there is no other way to start.
    let terminal = if layout.arch.has_bios() {
        "serial --unit=0 --speed=115200\n\
         terminal_input console serial\n\
         terminal_output console serial\n"
    } else {
        ""
    };
    format!(
        "{terminal}set timeout=1\n\
         menuentry '{}' {{\n\
         \tsearch --no-floppy --fs-uuid --set=root {uuid}\n\
         \tlinux /boot/{file}-{version} root=UUID={uuid} ro {cmdline}\n\
         \tinitrd /boot/initrd.img-{version}\n\
         }}\n",
        suite.product
    )
}

fn defaults(arch: Arch) -> String {
    let cmdline = cmdline(arch);
    let terminal = if arch.has_bios() {
        "GRUB_TERMINAL=\"console serial\"\n\
         GRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n"
    } else {
        "GRUB_TERMINAL=console\n"
    };
    format!(
        "GRUB_TIMEOUT=1\n\
         GRUB_TIMEOUT_STYLE=menu\n\
         GRUB_RECORDFAIL_TIMEOUT=1\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n\
         GRUB_CMDLINE_LINUX=\"{cmdline}\"\n\
         {terminal}\
         GRUB_DISABLE_OS_PROBER=true\n"
    )
}

/// Puts `boot.img` and `core.img` where a BIOS finds them.
pub(super) fn write_boot_code(tree: &Path, raw: &Path, layout: &Layout) -> Result<()> {
    let Some(platform) = layout.arch.grub_bios else {
        return Ok(());
    };
    let read = |path: &str| {
        let path = tree.join(path);
        std::fs::read(&path).doing(|| format!("reading {}", path.display()))
    };
    let (boot, core) = link(
        read(&format!("usr/lib/grub/{platform}/boot.img"))?,
        read(&format!("boot/grub/{platform}/core.img"))?,
        BIOS_START,
    )?;
    let doing = || format!("writing {}", raw.display());
    let disk = File::options().write(true).open(raw).doing(doing)?;
    disk.write_all_at(&boot, 0).doing(doing)?;
    disk.write_all_at(&core, BIOS_START * SECTOR).doing(doing)?;
    debug_assert!(layout.size.as_bytes() > BIOS_START * SECTOR);
    Ok(())
}

/// Size of the code in the first sector; the partition table follows it.
const BOOT_CODE: usize = 440;

/// Tells each part where the next one lies, in sectors from the start of the disk.
fn link(mut boot: Vec<u8>, mut core: Vec<u8>, start: u64) -> Result<(Vec<u8>, Vec<u8>)> {
    let sectors = core.len().div_ceil(SECTOR as usize) as u64;
    let plausible = boot.len() == SECTOR as usize && boot[510..] == [0x55, 0xaa];
    // mkimage has put the default "sector 2, all that follows" into the list of blocks.
    let listed = core.get(0x1f4..0x1fc) == Some(2u64.to_le_bytes().as_slice())
        && core.get(0x1fc..0x1fe) == Some(((sectors - 1) as u16).to_le_bytes().as_slice());
    if !plausible || !listed || sectors > BIOS_SECTORS {
        return Err(Error::stage(
            "the guest's GRUB made a boot image of an unknown shape",
        ));
    }
    boot[0x5c..0x64].copy_from_slice(&start.to_le_bytes());
    boot[0x66..0x68].copy_from_slice(&[0x90, 0x90]);
    boot.truncate(BOOT_CODE);
    core[0x1f4..0x1fc].copy_from_slice(&(start + 1).to_le_bytes());
    Ok((boot, core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_and_core_are_linked_by_sector_numbers() {
        let mut boot = vec![0u8; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut core = vec![7u8; 512 * 3 - 100];
        core[0x1f4..0x1fc].copy_from_slice(&2u64.to_le_bytes());
        core[0x1fc..0x1fe].copy_from_slice(&2u16.to_le_bytes());
        let (linked, core2) = link(boot.clone(), core.clone(), 2048).unwrap();
        assert_eq!(linked.len(), 440);
        assert_eq!(linked[0x5c..0x64], 2048u64.to_le_bytes());
        assert_eq!(core2[0x1f4..0x1fc], 2049u64.to_le_bytes());
        assert!(link(boot, vec![0; 2000], 2048).is_err());
        assert!(link(vec![0; 512], core, 2048).is_err());
    }

    #[test]
    fn the_menu_names_file_systems_by_uuid() {
        let layout = Layout::new(Arch::default(), crate::units::Size::gib(2), "seed").unwrap();
        let (_, suite) = crate::distro::suite("trixie").unwrap();
        let menu = menu(suite, &layout, "6.12.1-cloud-amd64");
        assert!(menu.contains(&format!(
            "linux /boot/vmlinuz-6.12.1-cloud-amd64 root=UUID={} ro console=tty0 console=ttyS0,115200\n",
            layout.root_uuid
        )));
        assert!(!menu.contains("/dev/"));
    }
}
