//! A medium as one file: BIOS and UEFI boot it as a CD and as a USB disk.
//!
//! GRUB's own program makes it. A machine may see several media; its RAM disk looks for the label of its own.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::tools::{self, Tool};
use crate::machine::Arch;
use crate::targets::ramdisk::initrd::File;

/// Where GRUB's own files are, by platform.
const GRUB: &str = "/usr/lib/grub";

/// The directory of the repository on it.
const REPOSITORY: &str = "imgforge";

/// The drivers with which the RAM disk reads it, beside those of disks.
pub(super) const DRIVERS: &[&str] = &["isofs", "sr_mod", "uhci_hcd", "ohci_pci"];

/// What is on it.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    /// The image, as the menu names it.
    pub(super) title: &'a str,
    /// The volume's label.
    pub(super) label: &'a str,
    /// The kernel, which is moved.
    pub(super) kernel: &'a Path,
    /// The RAM disk, which is moved.
    pub(super) initrd: &'a Path,
    /// The kernel's command line.
    pub(super) cmdline: &'a str,
    /// Files of the repository, where the image is on it.
    pub(super) files: &'a [File],
}

/// Whether this host has what makes one.
///
/// # Errors
/// When it has not.
pub(super) fn check_tools(arch: Arch) -> Result<()> {
    tools::need([Tool::GrubMkrescue, Tool::Xorriso, Tool::Mcopy])?;
    let mut platforms = arch.grub_bios.into_iter().chain([arch.grub_efi]);
    let there = |platform: &str| Path::new(GRUB).join(platform).join("moddep.lst").exists();
    match platforms.find(|platform| !there(platform)) {
        None => Ok(()),
        Some(missing) => Err(Error::host(format!(
            "GRUB for {missing} is needed on a medium, and is not installed"
        ))
        .hint(format!(
            "install it: {}",
            tools::install_line(arch.boot_loader)
        ))),
    }
}

/// A label that no other medium has.
pub(super) fn label() -> String {
    // A volume's has 32 characters, in upper case.
    let id = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    format!("IMGFORGE_{}", &id[..23])
}

/// Writes one, with the help of the directory `scratch`.
///
/// # Errors
/// When a file cannot be written, or a program fails.
pub(super) fn write(contents: &Contents<'_>, arch: Arch, scratch: &Path) -> Result<PathBuf> {
    let (tree, made) = (scratch.join("iso"), scratch.join("medium.iso"));
    let boot = tree.join("boot");
    let doing = || format!("writing {}", tree.display());
    std::fs::create_dir_all(boot.join("grub")).doing(doing)?;
    std::fs::write(boot.join("grub/grub.cfg"), menu(contents, arch)).doing(doing)?;
    for (file, name) in [(contents.kernel, "kernel"), (contents.initrd, "initrd")] {
        std::fs::rename(file, boot.join(name)).doing(doing)?;
    }
    let mut make = Program::new("grub-mkrescue")
        .env("TMPDIR", scratch)
        .args(["--fonts=", "--locales=", "--themes="])
        .arg("-o")
        .arg(&made)
        .arg(&tree)
        .args(["--", "-volid", contents.label]);
    for File { path, content } in contents.files {
        make = make
            .arg("-map")
            .arg(content)
            .arg(format!("/{REPOSITORY}/{path}"));
    }
    make.run()?;
    Ok(made)
}

/// What GRUB does: it waits for a moment, in which people can change the command line. A machine without a
/// serial port has a screen.
fn menu(contents: &Contents<'_>, arch: Arch) -> String {
    let Contents { title, cmdline, .. } = contents;
    let serial = match arch.grub_bios {
        None => "",
        Some(_) => {
            "if serial --unit=0 --speed=115200; then\n  terminal_input console serial\n  \
             terminal_output console serial\nfi\n"
        }
    };
    let cmdline: String = cmdline
        .split_whitespace()
        .map(|word| format!(" '{word}'"))
        .collect();
    format!(
        "{serial}set timeout=3\nmenuentry 'Install {title}' {{\n  linux /boot/kernel{cmdline}\n  \
         initrd /boot/initrd\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_a_volume_can_have_and_no_other_one() {
        let labels = [label(), label()];
        assert_ne!(labels[0], labels[1]);
        for label in labels {
            assert_eq!(label.len(), 32);
            let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(label.chars().all(allowed), "{label}");
        }
    }

    #[test]
    fn grub_understands_its_menu() {
        let contents = Contents {
            title: "web revision 3",
            label: "",
            kernel: Path::new(""),
            initrd: Path::new(""),
            cmdline: "console=tty0 root=ramdisk imgforge.disk=size>=1GiB,by-id=[ab]*{}$;|&#",
            files: &[],
        };
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let check = Program::new("grub-script-check");
            check.input(menu(&contents, arch)).run().unwrap();
        }
    }
}
