//! What a file is that somebody says is an image, by its content and never by its name: the one
//! place where formats are told apart.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xz2::read::XzDecoder;
use xz2::stream::{CONCATENATED, Stream};

use super::opened;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFile {
    /// Nothing else that is known: a disk byte by byte, if it is one.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// An older one of QEMU's.
    Qed,
    /// VMware's, in one file.
    Vmdk,
    /// The text that describes VMware's in several files.
    VmdkText,
    /// VirtualBox's.
    Vdi,
    /// Hyper-V's older one, growing or of fixed size: a raw disk with a last sector of its own.
    Vhd,
    /// Hyper-V's newer one.
    Vhdx,
    /// Parallels'.
    Parallels,
    /// An archive of tar.
    Tar,
    /// A zip archive.
    Zip,
    /// Compressed by xz.
    Xz,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by Zstandard.
    Zstd,
    /// Compressed by bzip2.
    Bzip2,
}

/// What decoding xz may use, in bytes; `xz -9` needs 65 MiB, and a header may ask for 4 GiB.
const XZ_MEMORY: u64 = 512 << 20;

/// How much of the start says what a file is, in bytes.
pub const HEAD: usize = 512;

/// First bytes, and what they say.
const MAGIC: &[(&[u8], ImageFile)] = &[
    (b"QFI\xfb", ImageFile::Qcow2),
    (b"QED\0", ImageFile::Qed),
    (b"KDMV", ImageFile::Vmdk),
    (b"COWD", ImageFile::Vmdk),
    (b"# Disk DescriptorFile", ImageFile::VmdkText),
    (b"vhdxfile", ImageFile::Vhdx),
    (COOKIE, ImageFile::Vhd),
    (b"WithoutFreeSpace", ImageFile::Parallels),
    (b"WithouFreSpacExt", ImageFile::Parallels),
    (b"PK\x03\x04", ImageFile::Zip),
    (b"\xfd7zXZ\0", ImageFile::Xz),
    (b"\x1f\x8b\x08", ImageFile::Gzip),
    (b"\x28\xb5\x2f\xfd", ImageFile::Zstd),
    (b"BZh", ImageFile::Bzip2),
];

/// How the header or the last sector of a VHD begins.
const COOKIE: &[u8] = b"conectix";

/// Where VDI has its number; its first bytes are any text.
const VDI: (usize, [u8; 4]) = (64, [0x7f, 0x10, 0xda, 0xbe]);

impl ImageFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::of_open(&opened::open(path)?)
    }

    /// As [`ImageFile::of`], of a file that is open; where it is being read does not change.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_open(file: &File) -> io::Result<Self> {
        let mut head = vec![0; HEAD];
        let mut read = 0;
        while let some @ 1.. = file.read_at(&mut head[read..], read as u64)? {
            read += some;
        }
        head.truncate(read);
        let found = Self::by_head(&head);
        let mut last = [0; 512];
        let size = file.metadata()?.len();
        // Some writers of fixed disks leave out the sector's last byte.
        for sector in [512, 511] {
            if found == ImageFile::Raw && size > 2 * sector {
                let part = &mut last[..sector as usize];
                file.read_exact_at(part, size - sector)?;
                if part.starts_with(COOKIE) {
                    return Ok(ImageFile::Vhd);
                }
            }
        }
        Ok(found)
    }

    /// What the first [`HEAD`] bytes say.
    pub fn by_head(head: &[u8]) -> Self {
        let magic = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
        if let Some((_, kind)) = magic {
            return *kind;
        }
        if head.get(VDI.0..VDI.0 + 4) == Some(&VDI.1) {
            return ImageFile::Vdi;
        }
        match is_tar(head) {
            true => ImageFile::Tar,
            false => ImageFile::Raw,
        }
    }

    /// How people call it, and QEMU's word for the format of a disk.
    const fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            ImageFile::Raw => ("a raw disk", Some("raw")),
            ImageFile::Qcow2 => ("a qcow2 disk", Some("qcow2")),
            ImageFile::Qed => ("a QED file", Some("qed")),
            ImageFile::Vmdk => ("a VMDK file", Some("vmdk")),
            ImageFile::VmdkText => ("a VMDK description", Some("vmdk")),
            ImageFile::Vdi => ("a VDI file", Some("vdi")),
            ImageFile::Vhd => ("a VHD file", Some("vpc")),
            ImageFile::Vhdx => ("a VHDX file", Some("vhdx")),
            ImageFile::Parallels => ("a Parallels disk", Some("parallels")),
            ImageFile::Tar => ("a tar archive", None),
            ImageFile::Zip => ("a zip archive", None),
            ImageFile::Xz => ("an .xz file", None),
            ImageFile::Gzip => ("a .gz file", None),
            ImageFile::Zstd => ("a .zst file", None),
            ImageFile::Bzip2 => ("a .bz2 file", None),
        }
    }

    /// QEMU's word for the format of a disk.
    pub fn qemu(self) -> Option<&'static str> {
        self.words().1
    }

    /// How people call it.
    pub fn called(self) -> &'static str {
        self.words().0
    }

    /// How a raw or qcow2 disk is made of it.
    pub fn remedy(self) -> String {
        match self {
            ImageFile::Xz => "`imgforge disk unpack` unpacks it".into(),
            ImageFile::Gzip => "`gunzip` unpacks it".into(),
            ImageFile::Zstd => "`unzstd` unpacks it".into(),
            ImageFile::Bzip2 => "`bunzip2` unpacks it".into(),
            ImageFile::Tar => "`tar -xf` unpacks it; the disk is one of its files".into(),
            ImageFile::Zip => "`unzip` unpacks it; the disk is one of its files".into(),
            other => format!(
                "`qemu-img convert -f {} -O qcow2 FROM TO` makes a disk of it that imgforge knows",
                other.qemu().unwrap_or("FORMAT")
            ),
        }
    }

    /// The content of a compressed file; of every other, its bytes.
    ///
    /// # Errors
    /// When the decoder cannot be made.
    pub fn unpacked<'r>(self, from: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            ImageFile::Xz => {
                let decoder = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(XzDecoder::new_stream(from, decoder))
            }
            ImageFile::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
            ImageFile::Zstd => Box::new(zstd::stream::read::Decoder::new(from)?),
            ImageFile::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(from)),
            _ => Box::new(from),
        })
    }

    /// Whether [`ImageFile::unpacked`] unpacks something.
    pub fn is_compressed(self) -> bool {
        use ImageFile::{Bzip2, Gzip, Xz, Zstd};
        matches!(self, Xz | Gzip | Zstd | Bzip2)
    }
}

/// Whether it begins as tar's archives do: those before POSIX have nothing but a sum that is right.
pub fn is_tar(head: &[u8]) -> bool {
    if head.get(257..262) == Some(b"ustar") {
        return true;
    }
    let (Some(header), Some(sum)) = (head.get(..512), head.get(148..156)) else {
        return false;
    };
    let digits: String = String::from_utf8_lossy(sum)
        .trim_matches([' ', '\0'])
        .to_owned();
    let Ok(stated) = u64::from_str_radix(&digits, 8) else {
        return false;
    };
    let bytes = header.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let of_sum = sum.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    header[0] != 0 && bytes - of_sum + 8 * u64::from(b' ') == stated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn every_format_is_known_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("raw");
        let mut bytes = vec![0u8; 1 << 20];
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(&raw, bytes).unwrap();
        let made = dir.path().join("made");
        for (format, options, kind) in [
            ("raw", "size=1M", ImageFile::Raw),
            ("qcow2", "compat=1.1", ImageFile::Qcow2),
            ("qed", "cluster_size=64k", ImageFile::Qed),
            ("vmdk", "subformat=monolithicSparse", ImageFile::Vmdk),
            ("vmdk", "subformat=streamOptimized", ImageFile::Vmdk),
            ("vmdk", "subformat=monolithicFlat", ImageFile::VmdkText),
            ("vdi", "static=off", ImageFile::Vdi),
            ("vpc", "subformat=dynamic", ImageFile::Vhd),
            ("vpc", "subformat=fixed,force_size=on", ImageFile::Vhd),
            ("vhdx", "log_size=1M", ImageFile::Vhdx),
        ] {
            let convert = Program::new("qemu-img").args(["convert", "-O", format, "-o", options]);
            convert.args([&raw, &made]).run().unwrap();
            let found = ImageFile::of(&made).unwrap();
            assert_eq!(found, kind, "{format} {options}");
            let info = Program::new("qemu-img").args(["info", "-f", found.qemu().unwrap()]);
            info.arg(&made).run().unwrap();
        }
        for (tool, kind) in [
            ("xz", ImageFile::Xz),
            ("gzip", ImageFile::Gzip),
            ("zstd", ImageFile::Zstd),
            ("bzip2", ImageFile::Bzip2),
        ] {
            let packed = Program::new(tool).arg("-c").arg(&raw).output().unwrap();
            std::fs::write(&made, &packed).unwrap();
            assert_eq!(ImageFile::of(&made).unwrap(), kind);
            let mut back = vec![];
            let mut unpacked = kind.unpacked(packed.as_slice()).unwrap();
            unpacked.read_to_end(&mut back).unwrap();
            assert_eq!(back, std::fs::read(&raw).unwrap(), "{tool}");
        }
        for form in ["v7", "ustar", "gnu", "posix"] {
            let tar = Program::new("tar")
                .arg(format!("--format={form}"))
                .arg("-cf");
            tar.arg(&made)
                .arg("-C")
                .arg(dir.path())
                .arg("raw")
                .run()
                .unwrap();
            assert_eq!(ImageFile::of(&made).unwrap(), ImageFile::Tar, "{form}");
        }
    }
}
