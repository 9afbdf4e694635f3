//! The architecture of a kernel, by how it begins.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::Arch;

/// As much of a kernel as tells its architecture, in bytes; more of it, where it is packed.
pub const KERNEL_HEAD: u16 = 4096;

impl Arch {
    /// The architecture whose UEFI starts the kernel that begins so, as it does any of its programs: some
    /// kernels are packed by gzip. `None` where that is not known, as without the part for UEFI.
    pub fn of_kernel(head: &[u8]) -> Option<Arch> {
        let mut plain = vec![];
        if head.starts_with(&[0x1f, 0x8b]) {
            // What there is of it: the end is missing.
            drop(
                GzDecoder::new(head)
                    .take(KERNEL_HEAD.into())
                    .read_to_end(&mut plain),
            );
        }
        let head = if plain.is_empty() { head } else { &plain };
        let at = u32::from_le_bytes(*head.get(0x3c..)?.first_chunk()?) as usize;
        let header: &[u8; 6] = head.get(at..)?.first_chunk()?;
        let machine = u16::from_le_bytes([header[4], header[5]]);
        let portable = head.starts_with(b"MZ") && header.starts_with(b"PE\0\0");
        let mut all = Self::ALL.iter();
        let found = all.find(|arch| portable && arch.pe_machine == machine);
        found.copied()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_kernel_tells_whose_it_is_packed_or_not() {
        // The beginning of Debian's kernel for arm64.
        let mut head = vec![0; 0x200];
        head[..2].copy_from_slice(b"MZ");
        head[0x38..0x40].copy_from_slice(b"ARMd\x40\0\0\0");
        head[0x40..0x46].copy_from_slice(b"PE\0\0\x64\xaa");
        assert_eq!(Arch::of_kernel(&head), Some(Arch::Aarch64));
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        packed.write_all(&head).unwrap();
        packed.write_all(&[7; 1 << 16]).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(
            Arch::of_kernel(&packed[..packed.len() - 20]),
            Some(Arch::Aarch64)
        );
        for (machine, arch) in [
            ([0x64, 0x86], Some(Arch::X86_64)),
            ([0x64, 0x50], Some(Arch::Riscv64)),
            // 32-bit x86, which is nobody's here.
            ([0x4c, 0x01], None),
        ] {
            head[0x44..0x46].copy_from_slice(&machine);
            assert_eq!(Arch::of_kernel(&head), arch);
        }
        for odd in [
            &b""[..],
            b"MZ",
            &[0x1f, 0x8b, 8],
            &[0xff; 0x60],
            &head[..0x44],
        ] {
            assert_eq!(Arch::of_kernel(odd), None);
        }
    }
}
