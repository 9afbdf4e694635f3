//! Partitions and file systems of a raw disk, made by the ordinary tools with offsets into the file.

use std::fs::File;
use std::path::Path;

use crate::error::{Context as _, Error, Result};
use crate::host::exec::{GuestTree, Program};
use crate::host::namespace::{as_guest_root, tree_size};
use crate::units::Size;

use super::{SMALLEST, system, too_small};
use crate::machine::Arch;

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// Where GRUB's BIOS image lies, in sectors.
pub(super) const BIOS_START: u64 = 2048;
/// Room for it, in sectors.
pub(super) const BIOS_SECTORS: u64 = 2048;
/// The EFI system partition, in sectors: 64 MiB, of which FAT32 needs 33.
const ESP_START: u64 = BIOS_START + BIOS_SECTORS;
const ESP_SECTORS: u64 = 131_072;
/// The root partition comes last, so that it can grow.
const ROOT_START: u64 = ESP_START + ESP_SECTORS;

/// What bookworm's mke2fs makes by default, for every suite and whatever the host's would. Trixie's
/// adds `metadata_csum_seed` and `orphan_file`: GRUB of every suite reads those, 2.06 of bookworm
/// among them, but an e2fsck before 1.47 does not check them.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
                        flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// Keeps the host's own defaults out.
const MKE2FS_CONFIG: &str = "[defaults]\n\tblocksize = 4096\n\tinode_size = 256\n\
                             \tinode_ratio = 16384\n[fs_types]\n\text4 = {\n\t}\n";

/// Where things lie on the disk and what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) arch: Arch,
    pub(super) size: Size,
    pub(super) disk_uuid: String,
    pub(super) root_uuid: String,
    pub(super) root_partuuid: String,
    pub(super) esp_partuuid: String,
    pub(super) esp_serial: String,
}

impl Layout {
    /// A layout for a disk of `size`; the same seed gives the same names.
    ///
    /// # Errors
    /// When no system fits on such a disk.
    pub(super) fn new(arch: Arch, size: Size, seed: &str) -> Result<Self> {
        if size < SMALLEST {
            return Err(too_small(size, SMALLEST));
        }
        let bytes = |what: &str| {
            let hash = blake3::hash(format!("{seed}\n{what}").as_bytes());
            let mut bytes = [0u8; 16];
            bytes.copy_from_slice(&hash.as_bytes()[..16]);
            bytes
        };
        let named = |what: &str| {
            uuid::Builder::from_random_bytes(bytes(what))
                .into_uuid()
                .to_string()
        };
        Ok(Layout {
            arch,
            size,
            disk_uuid: named("disk"),
            root_uuid: named("root"),
            root_partuuid: named("root partition"),
            esp_partuuid: named("esp"),
            esp_serial: hex::encode(&bytes("fat")[..4]),
        })
    }

    /// Bytes of the root file system: up to the last whole MiB, the backup table comes after it.
    fn root_bytes(&self) -> u64 {
        (self.size.as_bytes() / SECTOR - ROOT_START) * SECTOR / (1 << 20) * (1 << 20) - (1 << 20)
    }

    /// How libext2fs' programs address the root file system inside the disk.
    fn root_device(&self, raw: &Path) -> String {
        format!("{}?offset={}", raw.display(), ROOT_START * SECTOR)
    }
}

/// sfdisk's script.
fn script(layout: &Layout) -> String {
    let Layout {
        disk_uuid,
        esp_partuuid,
        root_partuuid,
        ..
    } = layout;
    let (root_sectors, root_type) = (layout.root_bytes() / SECTOR, layout.arch.root_partition);
    let bios = match layout.arch.has_bios() {
        true => format!(
            "start={BIOS_START}, size={BIOS_SECTORS}, type=21686148-6449-6E6F-744E-656564454649, name=bios\n"
        ),
        false => String::new(),
    };
    format!(
        "label: gpt\nlabel-id: {disk_uuid}\n{bios}\
         start={ESP_START}, size={ESP_SECTORS}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid={esp_partuuid}, name=esp\n\
         start={ROOT_START}, size={root_sectors}, type={root_type}, uuid={root_partuuid}, name=root\n"
    )
}

/// Makes a sparse disk with its partition table.
pub(super) fn partition(raw: &Path, layout: &Layout) -> Result<()> {
    let doing = || format!("making {}", raw.display());
    let file = File::create(raw).doing(doing)?;
    file.set_len(layout.size.as_bytes()).doing(doing)?;
    Program::new("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(raw)
        .input(script(layout))
        .hint("apt-get install fdisk")
        .run()
}

/// Checks that the tree fits, with room to work in.
pub(super) fn check_fit(tree: &GuestTree, layout: &Layout) -> Result<()> {
    let used = tree_size(tree.data())?;
    // Inode tables and the journal take about 3 %; the configuration needs some room of its own.
    let needed = used + used / 4 + (192 << 20);
    if needed <= layout.root_bytes() {
        return Ok(());
    }
    Err(too_small(
        layout.size,
        Size::bytes(needed + ROOT_START * SECTOR),
    ))
}

/// Makes the root file system from the tree, straight into the disk.
pub(super) fn make_root(
    scratch: &Path,
    tree: &GuestTree,
    raw: &Path,
    layout: &Layout,
) -> Result<()> {
    let config = scratch.join("mke2fs.conf");
    std::fs::write(&config, MKE2FS_CONFIG).doing(|| format!("writing {}", config.display()))?;
    as_guest_root("mke2fs")
        .args(root_arguments(layout))
        .arg("-d")
        .arg(tree.data())
        .arg(raw)
        .arg(format!("{}k", layout.root_bytes() / 1024))
        .env("MKE2FS_CONFIG", &config)
        .hint("apt-get install e2fsprogs")
        .run()?;
    index_directories(raw, layout)
}

/// Gives directories of several blocks their hash trees: `mke2fs -d` writes plain lists, and a
/// kernel makes a tree only of a directory that outgrows its first block.
fn index_directories(raw: &Path, layout: &Layout) -> Result<()> {
    Program::new("e2fsck")
        .args(["-fyD", &layout.root_device(raw)])
        // "File system errors corrected": the directories.
        .done_with(1)
        .hint("apt-get install e2fsprogs")
        .run()
}

fn root_arguments(layout: &Layout) -> Vec<String> {
    let offset = ROOT_START * SECTOR;
    let uuid = &layout.root_uuid;
    // Everything is initialised now: no first boot spends time and blocks on it. Metadata at the
    // front keeps most blocks of the disk unchanged when files change.
    let extended = format!(
        "offset={offset},lazy_itable_init=0,lazy_journal_init=0,nodiscard,packed_meta_blocks=1,\
         hash_seed={uuid}"
    );
    let words = [
        "-q", "-F", "-t", "ext4", "-L", "root", "-m", "1", "-U", uuid,
    ];
    let more = ["-O", FEATURES, "-E", &extended];
    words.iter().chain(&more).map(|w| (*w).to_owned()).collect()
}

/// Makes the EFI system partition with GRUB at the path that firmware tries by itself.
pub(super) fn make_esp(tree: &GuestTree, raw: &Path, layout: &Layout) -> Result<()> {
    Program::new("mkfs.fat")
        .args(["-F", "32", "-s", "1", "-n", "ESP", "-i", &layout.esp_serial])
        .args([
            "--offset",
            &ESP_START.to_string(),
            "-h",
            &ESP_START.to_string(),
        ])
        .arg(raw)
        .arg((ESP_SECTORS / 2).to_string())
        .hint("apt-get install dosfstools")
        .run()?;
    let image = format!("{}@@{}", raw.display(), ESP_START * SECTOR);
    let mtool = |name: &'static str| {
        Program::new(name)
            .args(["-i", &image])
            .hint("apt-get install mtools")
    };
    mtool("mmd").args(["::/EFI", "::/EFI/BOOT"]).run()?;
    mtool("mcopy")
        .arg(
            tree.data()
                .join(format!("boot/grub/{}/core.efi", layout.arch.grub_efi)),
        )
        .arg(format!("::/EFI/BOOT/{}", layout.arch.efi_file))
        .run()
}

/// Proves that the disk holds what was written: the file system is sound and its files read back.
pub(super) fn prove(tree: &Path, raw: &Path, layout: &Layout) -> Result<()> {
    let device = layout.root_device(raw);
    Program::new("e2fsck")
        .args(["-fn", &device])
        .run()
        .doing(|| "checking the root file system".into())?;
    for (path, expected) in [
        ("/etc/fstab", system::fstab(layout)),
        (
            "/boot/grub/grub.cfg",
            read(&tree.join("boot/grub/grub.cfg"))?,
        ),
    ] {
        let found = Program::new("debugfs")
            .args(["-R", &format!("cat {path}"), &device])
            .output()?;
        if found != expected.as_bytes() {
            return Err(Error::stage(format!(
                "the finished disk does not hold {path} as it was written"
            )));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).doing(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_partition_is_last_and_leaves_room_for_the_second_table() {
        let layout = Layout::new(Arch::default(), Size::gib(2), "seed").unwrap();
        let Layout {
            disk_uuid,
            esp_partuuid,
            root_partuuid,
            ..
        } = &layout;
        let script = script(&layout)
            .replace(disk_uuid, "DISK")
            .replace(esp_partuuid, "ESP")
            .replace(root_partuuid, "ROOT");
        insta::assert_snapshot!(script, @r"
        label: gpt
        label-id: DISK
        start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios
        start=4096, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=ESP, name=esp
        start=135168, size=4057088, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=ROOT, name=root
        ");
        assert_eq!(
            layout,
            Layout::new(Arch::default(), Size::gib(2), "seed").unwrap()
        );
        assert_ne!(
            layout.root_uuid,
            Layout::new(Arch::default(), Size::gib(2), "other")
                .unwrap()
                .root_uuid
        );
        let odd = Layout::new(Arch::default(), Size::bytes((2 << 30) + 513), "seed").unwrap();
        assert!(odd.root_bytes() + ROOT_START * SECTOR + 34 * SECTOR <= odd.size.as_bytes());
    }

    #[test]
    fn a_disk_that_nothing_fits_on_is_refused() {
        let error = Layout::new(Arch::default(), Size::mib(512), "seed").unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
        assert!(error.hint_text().unwrap().contains("machine"));
    }

    /// Real kernels look a name up in a tree, or read the whole list.
    #[test]
    fn directories_of_several_blocks_have_hash_trees_and_equal_ones_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let tree = GuestTree::new(dir.path().join("tree")).unwrap();
        let layout = Layout::new(Arch::default(), Size::gib(1), "seed").unwrap();
        let many = tree.data().join("many");
        std::fs::create_dir_all(&many).unwrap();
        for number in 0..500 {
            std::fs::write(many.join(format!("package-{number}.list")), "x").unwrap();
        }
        let made = |name: &str| {
            let raw = dir.path().join(name);
            partition(&raw, &layout).unwrap();
            make_root(dir.path(), &tree, &raw, &layout).unwrap();
            let ask = |what: &str| {
                let debugfs = Program::new("debugfs").args(["-R", what]);
                debugfs.arg(layout.root_device(&raw)).text().unwrap()
            };
            let sound = Program::new("e2fsck").args(["-fn", &layout.root_device(&raw)]);
            sound.run().unwrap();
            (ask("stat /many"), ask("htree_dump /many"))
        };
        let (stat, dumped) = made("disk.raw");
        // EXT4_INDEX_FL is 0x1000.
        assert!(stat.contains("Flags: 0x81000"), "{stat}");
        assert!(dumped.contains("Root node dump"), "{dumped}");
        assert_eq!(dumped, made("again.raw").1);
    }
}
