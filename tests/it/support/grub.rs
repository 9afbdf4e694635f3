//! GRUB for made-up guests: a program for one platform that boots one system, and the partition in which
//! UEFI finds it.

use std::fs;
use std::path::{Path, PathBuf};

use imgforge::host::exec::Program;
use imgforge::machine::Arch;

use super::toy::System;

/// GRUB for a platform, in a file below `dir`: it boots the root `from` there.
pub(crate) fn core(
    dir: &Path,
    arch: Arch,
    platform: &str,
    from: &str,
    modules: &[&str],
) -> PathBuf {
    let (words, core) = (dir.join("grub.cfg"), dir.join("grub.img"));
    let serial = arch.serial;
    let text = format!(
        "linux {from}/boot/vmlinuz console={serial} quiet panic=0 no_timer_check toy=root\n\
         initrd {from}/boot/initrd.img\nboot\n"
    );
    fs::write(&words, text).unwrap();
    let files = match arch.is_foreign() {
        true => System::of(arch).grub,
        false => Path::new("/usr/lib/grub").join(platform),
    };
    Program::new("grub-mkimage")
        .args(["-O", platform, "-p", "/boot", "-d"])
        .arg(files)
        .arg("-o")
        .arg(&core)
        .arg("-c")
        .arg(&words)
        .args(modules)
        .run()
        .unwrap();
    core
}

/// A file system of UEFI of `size` bytes, which starts `core`.
pub(crate) fn esp(dir: &Path, arch: Arch, core: &Path, size: u64) -> Vec<u8> {
    let esp = dir.join("esp.img");
    let mkfs = Program::new("mkfs.fat").arg("-C").arg(&esp);
    mkfs.arg((size >> 10).to_string()).run().unwrap();
    let inside = |program: &'static str| Program::new(program).arg("-i").arg(&esp);
    inside("mmd").args(["::EFI", "::EFI/BOOT"]).run().unwrap();
    let to = format!("::EFI/BOOT/{}", arch.efi_file);
    inside("mcopy").arg(core).arg(to).run().unwrap();
    let bytes = fs::read(&esp).unwrap();
    fs::remove_file(esp).unwrap();
    bytes
}
