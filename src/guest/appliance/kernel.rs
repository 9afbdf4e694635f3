//! The kernel in a bzImage, as a bootloader of x86 need not unpack it.
//!
//! The formats: Documentation/arch/x86/boot.rst and pvh.rst of Linux.

use std::io::Read;

/// The largest kernel that is unpacked, in bytes.
const LARGEST: u64 = 512 << 20;

/// The ELF file that a bzImage has packed, if QEMU starts it as it is: by the entry point that
/// Linux has for PVH. None where there is no such entry, or the packing is another one.
pub(super) fn unpacked(image: &[u8]) -> Option<Vec<u8>> {
    if image.get(0x202..0x206)? != b"HdrS" || u16_at(image, 0x206)? < 0x208 {
        return None;
    }
    let sectors = match image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(*sectors),
    };
    let begin = (sectors + 1) * 512 + u32_at(image, 0x248)? as usize;
    let length = u32_at(image, 0x24c)? as usize;
    let packed = image.get(begin..begin.checked_add(length)?)?;
    let reader: Box<dyn Read + '_> = match packed {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(packed)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(xz2::read::XzDecoder::new(packed)),
        // What follows its frame is the size of the kernel.
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(packed).ok()?.single_frame()),
        _ => return None,
    };
    let mut elf = vec![];
    reader.take(LARGEST).read_to_end(&mut elf).ok()?;
    starts_by_pvh(&elf).then_some(elf)
}

/// Whether an ELF file of 64 bits has the note `XEN_ELFNOTE_PHYS32_ENTRY`.
fn starts_by_pvh(elf: &[u8]) -> bool {
    /// Type of a segment with notes.
    const NOTES: u32 = 4;
    const PHYS32_ENTRY: u32 = 18;
    let notes_of = |number: usize| {
        let size = usize::from(u16_at(elf, 0x36)?);
        let headers = elf.get(usize::try_from(u64_at(elf, 0x20)?).ok()?..)?;
        let header = headers.get(number * size..)?;
        if u32_at(header, 0)? != NOTES {
            return Some(&elf[..0]);
        }
        let begin = usize::try_from(u64_at(header, 8)?).ok()?;
        let length = usize::try_from(u64_at(header, 0x20)?).ok()?;
        elf.get(begin..begin.checked_add(length)?)
    };
    let has_entry = |mut notes: &[u8]| {
        // Name and content are padded to four bytes.
        while let (Some(name), Some(content), Some(kind)) =
            (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
        {
            let padded = |length: u32| (length as usize).next_multiple_of(4);
            if kind == PHYS32_ENTRY && notes.get(12..16) == Some(b"Xen\0") {
                return true;
            }
            let Some(rest) = notes.get(12 + padded(name) + padded(content)..) else {
                return false;
            };
            notes = rest;
        }
        false
    };
    elf.starts_with(b"\x7fELF\x02\x01")
        && (0..u16_at(elf, 0x38).unwrap_or(0)).any(|n| notes_of(n.into()).is_some_and(has_entry))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// An ELF file of one segment, with one note of this type.
    fn elf(note: u32) -> Vec<u8> {
        let mut elf = vec![0; 0x78];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[0x20] = 0x40;
        elf[0x36] = 0x38;
        elf[0x38] = 1;
        elf[0x40] = 4;
        elf[0x48] = 0x78;
        // Another note comes first.
        for (kind, content) in [(6, &b"linux\0\0\0"[..]), (note, &[0; 4])] {
            elf.extend(4_u32.to_le_bytes());
            elf.extend((content.len() as u32).to_le_bytes());
            elf.extend(u32::to_le_bytes(kind));
            elf.extend(b"Xen\0");
            elf.extend(content);
        }
        elf[0x60] = (elf.len() - 0x78) as u8;
        elf
    }

    /// A bzImage with one sector of set-up, and this in it.
    fn image(packed: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x248] = 16;
        image[0x24c..0x250].copy_from_slice(&(packed.len() as u32 + 4).to_le_bytes());
        image.extend(packed);
        image.extend([1, 2, 3, 4, 5]);
        image
    }

    #[test]
    fn a_kernel_of_every_packing_is_unpacked_if_qemu_can_start_it() {
        let good = elf(18);
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(&good).unwrap();
        let mut xz = xz2::write::XzEncoder::new(vec![], 1);
        xz.write_all(&good).unwrap();
        let packings = [
            gzip.finish().unwrap(),
            xz.finish().unwrap(),
            zstd::encode_all(&good[..], 1).unwrap(),
        ];
        for packed in &packings {
            assert_eq!(unpacked(&image(packed)).as_ref(), Some(&good));
            for end in 0..image(packed).len() - 5 {
                assert_eq!(unpacked(&image(packed)[..end]), None, "{end} bytes");
            }
        }
        let other = zstd::encode_all(&elf(17)[..], 1).unwrap();
        assert_eq!(unpacked(&image(&other)), None);
        assert_eq!(unpacked(&image(b"\x02\x21\x4c\x18")), None);
        assert_eq!(unpacked(&good), None);
    }
}
