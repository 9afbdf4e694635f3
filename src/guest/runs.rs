//! Whether machines of an architecture run what is on a disk.

use super::{Guestfs, Os};
use crate::error::{Error, Result};
use crate::machine::{Arch, KERNEL_HEAD};

impl Os {
    /// Asks whether machines of this architecture run its programs.
    ///
    /// # Errors
    /// A usage error when it is of another one that imgforge knows.
    fn runs_on(&self, arch: Arch) -> Result<()> {
        match Arch::named(&self.arch).filter(|own| *own != arch) {
            None => Ok(()),
            Some(own) => Err(Error::usage(format!(
                "the disk has a system of {}, and the recipe's machine is {}",
                own.as_str(),
                arch.as_str()
            ))
            .hint(format!(
                "`machine: {{arch: {}}}` is its machine",
                own.as_str()
            ))),
        }
    }
}

impl Guestfs {
    /// Asks whether machines of this architecture start the mounted system and its kernels, before one is
    /// started that never answers.
    ///
    /// # Errors
    /// A usage error when they do not; libguestfs' own text.
    pub fn runs_on(&self, os: &Os, arch: Arch) -> Result<()> {
        os.runs_on(arch)?;
        for prefix in ["/boot/vmlinuz-", "/boot/vmlinux-", "/boot/Image-"] {
            for kernel in self.glob(&format!("{prefix}*"))? {
                let version = kernel.trim_start_matches(prefix);
                // One without modules is another machine's, as on a server of kernels.
                if self.is_file(&kernel)? && self.is_dir(&format!("/lib/modules/{version}"))? {
                    let head = self.read_part(&kernel, KERNEL_HEAD.into(), 0)?;
                    started_by(arch, &kernel, &head)?;
                }
            }
        }
        Ok(())
    }
}

/// Asks whether machines of an architecture start the kernel with this beginning. A boot loader lists
/// whatever lies in `/boot`, and starts the newest.
fn started_by(arch: Arch, path: &str, head: &[u8]) -> Result<()> {
    match Arch::of_kernel(head).filter(|own| *own != arch) {
        None => Ok(()),
        Some(own) => Err(Error::usage(format!(
            "the disk's kernel {path} is for {}, and the recipe's machine is {}",
            own.as_str(),
            arch.as_str()
        ))
        .hint(format!(
            "remove its package from the image; one for this machine is {} (Debian)",
            arch.generic_kernel()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_runs_on_its_own_architecture_or_on_one_that_nobody_knows() {
        let os = |arch: &str| Os {
            root: "/dev/sda1".into(),
            distro: "debian".into(),
            major: 13,
            minor: 0,
            arch: arch.into(),
            package_format: "deb".into(),
            mountpoints: vec![],
            osinfo: "debian13".into(),
            product: "Debian".into(),
            filesystems: vec![],
            notes: vec![],
        };
        os("aarch64").runs_on(Arch::Aarch64).unwrap();
        os("unknown").runs_on(Arch::Aarch64).unwrap();
        let error = os("x86_64").runs_on(Arch::Aarch64).unwrap_err();
        assert_eq!(
            error.render(),
            "error: the disk has a system of x86_64, and the recipe's machine is aarch64\n\
             hint: `machine: {arch: x86_64}` is its machine\n"
        );
    }

    #[test]
    fn a_kernel_of_another_architecture_is_named() {
        let mut head = [0; 0x80];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x40;
        head[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        started_by(Arch::X86_64, "/boot/vmlinuz-6.12", &head).unwrap();
        started_by(Arch::Aarch64, "/boot/vmlinuz-6.12", b"nobody's").unwrap();
        let error = started_by(Arch::Aarch64, "/boot/vmlinuz-6.12", &head).unwrap_err();
        assert_eq!(
            error.render(),
            "error: the disk's kernel /boot/vmlinuz-6.12 is for x86_64, and the recipe's machine is aarch64\n\
             hint: remove its package from the image; one for this machine is linux-image-arm64 (Debian)\n"
        );
    }
}
