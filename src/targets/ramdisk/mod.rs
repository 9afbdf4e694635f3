//! A machine without a disk: a kernel, an initrd and the root as a squashfs, in memory.
//!
//! The root is fetched over HTTP or part of the initrd, checked by its SHA-256, and mounted with an
//! overlay for changes. [`boot_test`] boots the very files with the memory that [`initrd::memory`]
//! computes, and no disk.

mod boot_test;
mod cpio;
pub(crate) mod initrd;
pub(crate) mod kernel;
mod options;
mod squashfs;
pub(crate) mod words;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use super::tree::Tree;
use super::{Format, MadeFile, Options, PassedCheck, Target, TargetContext, described};
use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::space::Frugal;
use crate::host::tools::Tool;
use crate::machine::Arch;
use crate::steps::Step;
use crate::units::Size;
use crate::yaml::checker::Checker;
use crate::yaml::node::Node;
use initrd::{Member, Memory, Root};
use kernel::Kernel;
pub use options::{Ramdisk, RootForm, StateDisk};
use words::Names;

pub(super) const TARGET: Target = Target {
    writable: false,
    files: "`.vmlinuz`, `.initrd`, `.squashfs`; `.boot.ipxe`, `.grub.cfg`, `.SHA256SUMS`, `.ramdisk.json`",
    proven_by: "`unsquashfs`; the leftover scan; a boot without a disk, with the minimum of memory",
    tools: &[
        Tool::QemuImg,
        Tool::Sfdisk,
        Tool::Qemu(Arch::DEFAULT),
        Tool::Sqfstar,
        Tool::Unshare,
        Tool::Unsquashfs,
        Tool::Busybox,
    ],
    // The cards of virtual machines; those of others are taken along as the kernel has them.
    modules: &[
        &["squashfs"],
        &["overlay"],
        &["loop"],
        &["virtio_net", "e1000"],
    ],
    memory: Size::mib(2048),
    ..Target::new("ramdisk", 5)
};

impl Options for Ramdisk {
    fn own_steps(&self) -> &[Step] {
        &self.configure
    }

    fn check(&self, cx: &mut Checker<'_>, node: &Node) {
        options::check(cx, self, node);
    }

    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let tree = site.source.tree(site.ui)?;
        let modules = self.modules.iter().map(String::as_str);
        let wanted: Vec<&str> = kernel::ROOT.iter().copied().chain(modules).collect();
        let kernel = Kernel::choose(&tree, site.machine.arch, "the target `ramdisk`", &wanted)?;
        if kernel.is_of_clouds() {
            let text = format!(
                "the kernel {} drives virtual machines only; others need the generic kernel",
                kernel.release
            );
            site.ui.ui().warning(text);
        }
        // What the kernel's modules lack is told before the long work.
        let members = initrd::members(&tree, site.machine.arch, &kernel, self)?;
        let (root, nodes) = root(site, &tree, &kernel, self)?;
        let names = Names {
            kernel: site.file(site.machine.arch.kernel),
            initrd: site.file("initrd"),
            root: (self.root == RootForm::Squashfs).then(|| site.file("squashfs")),
        };
        copy(
            tree.open(kernel.image),
            LARGEST_KERNEL,
            &site.dir.join(&names.kernel),
        )?;
        let memory = initrd(site, &kernel, self, &names, &members, &root)?;
        let cmdline = words::cmdline(self, site.machine.arch, selinux(&tree));
        let mut proof = vec![];
        if site.proving {
            proof.push(squashfs::complete(&nodes, &root)?);
            proof.extend(squashfs::scanned(site, &tree, &nodes)?);
            if let Some(gate) = &site.gate {
                gate.judge(crate::scan::tar(&scannable(&members)?[..], gate.subject)?)?;
            }
            let systemd = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];
            proof.push(boot_test::boot(
                site,
                &boot_test::Boot {
                    files: [&names.kernel, &names.initrd],
                    cmdline: &cmdline,
                    memory: memory.minimum,
                    systemd: systemd.iter().any(|path| tree.get(path).is_some()),
                    virtio: kernel.has("virtio_net"),
                },
            )?);
        }
        if names.root.is_none() {
            std::fs::remove_file(&root).doing(|| format!("removing {}", root.display()))?;
        }
        written(site, self, &names, &kernel, &cmdline, memory, proof)
    }
}

/// The largest kernel, in bytes: one that is unpacked has a tenth of it.
pub(crate) const LARGEST_KERNEL: u64 = 512 << 20;

/// Whether the image's policy wants labels, which no squashfs of ours has.
fn selinux(tree: &Tree) -> bool {
    let config = tree.text("etc/selinux/config").unwrap_or_default();
    let mut lines = config.lines().map(str::trim);
    lines.any(|line| matches!(line, "SELINUX=enforcing" | "SELINUX=permissive"))
}

/// Makes the squashfs: among the files, or, as a part of the initrd, aside.
fn root(
    site: &TargetContext<'_>,
    tree: &Tree,
    kernel: &Kernel<'_>,
    options: &Ramdisk,
) -> Result<(PathBuf, Vec<super::tree::Node>)> {
    let nodes = squashfs::nodes(tree, kernel, options.state.as_ref(), site.ui);
    let path = match options.root {
        RootForm::Squashfs => site.dir.join(site.file("squashfs")),
        RootForm::Initrd => site.scratch.join("root.squashfs"),
    };
    site.ui.step("compressing the root");
    squashfs::write(site, tree, &nodes, kernel.squashfs(tree), &path)?;
    Ok((path, nodes))
}

/// Writes the initrd; the memory that a machine needs.
fn initrd(
    site: &TargetContext<'_>,
    kernel: &Kernel<'_>,
    options: &Ramdisk,
    names: &Names,
    members: &[Member],
    squashfs: &Path,
) -> Result<Memory> {
    site.ui.step(format!("writing {}", names.initrd));
    let packed = initrd::pack(members)?;
    let unpacked = members.iter().map(|member| member.bytes.len() as u64).sum();
    let size = squashfs
        .metadata()
        .doing(|| "reading the root".into())?
        .len();
    let memory = initrd::memory(options, packed.len() as u64, unpacked, size);
    let root = Root {
        title: site.about.stem(),
        file: site.file("squashfs"),
        size,
        sha256: digest::file_sha256(squashfs)?,
    };
    let settings = Member {
        path: "imgforge.conf".into(),
        mode: 0o644,
        bytes: initrd::settings(kernel, options, &root, memory).into_bytes(),
    };
    let plain = initrd::plain(&[settings])?;
    let inside = names.root.is_none().then_some(squashfs);
    initrd::write(&site.dir.join(&names.initrd), &[&packed, &plain], inside)?;
    Ok(memory)
}

/// The kernel, of no more than `most` bytes, as every boot loader starts it: some distributions compress one
/// that cannot unpack itself, and UEFI starts none that is.
pub(crate) fn copy(image: impl Read, most: u64, to: &Path) -> Result<()> {
    let doing = || format!("writing {}", to.display());
    let mut file = Frugal::create(to).doing(doing)?;
    let mut image = BufReader::new(image);
    let gzip = image.fill_buf().doing(doing)?.starts_with(&[0x1f, 0x8b]);
    let copied = match gzip {
        true => std::io::copy(&mut GzDecoder::new(image).take(most + 1), &mut file),
        false => std::io::copy(&mut image.take(most + 1), &mut file),
    };
    if copied.doing(doing)? > most {
        let most = Size::bytes(most).human();
        return Err(Error::usage(format!(
            "the image's kernel has more than {most}"
        )));
    }
    file.flush().and_then(|()| file.sync_all()).doing(doing)
}

/// The initrd's files as the scan reads them. Of the sealed disk there are modules and firmware.
fn scannable(members: &[Member]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(vec![]);
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(member.bytes.len() as u64);
        header.set_mode(member.mode);
        let added = archive.append_data(&mut header, &member.path, &member.bytes[..]);
        added.doing(|| format!("scanning {}", member.path))?;
    }
    archive.into_inner().doing(|| "scanning the initrd".into())
}

/// The words about the files, and everything that was made.
fn written(
    site: &TargetContext<'_>,
    options: &Ramdisk,
    names: &Names,
    kernel: &Kernel<'_>,
    cmdline: &str,
    memory: Memory,
    proof: Vec<PassedCheck>,
) -> Result<Vec<MadeFile>> {
    let title = site.about.stem();
    let sums: Result<Vec<(String, String)>> = names
        .all()
        .into_iter()
        .map(|name| Ok((name.to_owned(), digest::file_sha256(&site.dir.join(name))?)))
        .collect();
    let sums = sums?;
    let minimum = memory.minimum;
    let list: String = sums
        .iter()
        .map(|(name, sum)| format!("{sum}  {name}\n"))
        .collect();
    let manifest = words::manifest(&title, names, cmdline, minimum, &kernel.release, &sums);
    let texts = [
        ("SHA256SUMS", Format::Sha256sums, list),
        (
            "boot.ipxe",
            Format::Ipxe,
            words::ipxe(options, &title, names, cmdline, minimum),
        ),
        (
            "grub.cfg",
            Format::Grub,
            words::grub(options, &title, names, cmdline, minimum),
        ),
        (
            "ramdisk.json",
            Format::RamdiskManifest,
            format!("{manifest:#}\n"),
        ),
    ];
    let formats = [Format::Kernel, Format::Initrd, Format::Squashfs];
    let files = names.all().into_iter().zip(formats);
    let files = files.map(|(name, format)| {
        let file = MadeFile::new(name, format, proof.clone());
        match format {
            Format::Kernel => file.about([
                ("cmdline", cmdline.to_owned()),
                ("min-ram", minimum.to_string()),
            ]),
            _ => file,
        }
    });
    let mut made: Vec<MadeFile> = files.collect();
    for (end, format, text) in texts {
        let file = site.file(end);
        std::fs::write(site.dir.join(&file), text).doing(|| format!("writing {file}"))?;
        let described = described("imgforge");
        made.push(MadeFile::new(file, format, described));
    }
    let sums = site.file("SHA256SUMS");
    Program::new("sha256sum")
        .args(["--check", "--quiet", &sums])
        .dir(site.dir)
        .run()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_unpacked_as_far_as_one_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("kernel");
        let kernel = [b'k'; 2000];
        let mut packed = crate::targets::gzip::Gzip::new(vec![]).unwrap();
        packed.write_all(&kernel).unwrap();
        let packed = packed.finish().unwrap();
        for image in [&kernel[..], &packed] {
            copy(image, 2000, &to).unwrap();
            assert_eq!(std::fs::read(&to).unwrap(), kernel);
            let error = copy(image, 1999, &to).unwrap_err();
            assert!(error.message().contains("has more than"), "{error}");
        }
    }
}
