//! The initrd: busybox, a script, modules, and, if nothing is fetched, the root itself.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::cpio::{self, Cpio, LARGEST, padding};
use super::kernel::{CARDS, Kernel, NETWORK, ROOT};
use super::options::{Ramdisk, RootForm, Verify};
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::exec::find;
use crate::host::space::Frugal;
use crate::machine::Arch;
use crate::targets::gzip::Gzip;
use crate::targets::tree::{self, Tree};
use crate::units::Size;

/// What all begin with.
const START: &str = include_str!("start.sh");
const INIT: &str = include_str!("init.sh");
const DHCP: &str = include_str!("dhcp.sh");

/// BIOSes and the kernel's own boot protocol give an initrd less than this, in bytes.
const HIGHEST: u64 = 0x7fff_0000;

/// Memory of the running kernel itself.
const OF_KERNEL: Size = Size::mib(80);

/// Memory that the running system has beside the image, if the recipe does not say.
const OF_SYSTEM: Size = Size::mib(256);

/// Memory is sold in larger steps than this.
const STEP: u64 = 16 << 20;

/// The largest busybox, in bytes: it has 2 MiB.
const LARGEST_BUSYBOX: u64 = 64 << 20;

/// A file of an initrd.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A file of a medium, or of an initrd, whose content lies in a file of this host.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path, without a slash at its start.
    pub(crate) path: String,
    /// Where its content is.
    pub(crate) content: PathBuf,
}

impl File {
    pub(crate) fn new(path: impl Into<String>, content: impl Into<PathBuf>) -> File {
        File {
            path: path.into(),
            content: content.into(),
        }
    }
}

/// What the script knows of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// The image.
    pub(super) title: String,
    /// The squashfs' name where it is fetched from.
    pub(super) file: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its SHA-256, in hex.
    pub(super) sha256: String,
}

/// The files of the initrd, without the settings that depend on its own size.
pub(super) fn members(
    tree: &Tree,
    arch: Arch,
    kernel: &Kernel<'_>,
    options: &Ramdisk,
) -> Result<Vec<Member>> {
    let mut all = base(tree, arch, INIT)?;
    let mut names = first(kernel, options);
    if options.root == RootForm::Squashfs {
        names.extend(kernel.loadable(CARDS.iter().copied()));
    }
    let modules = kernel.members(tree, &names)?;
    all.extend(
        modules
            .into_iter()
            .map(|(path, bytes)| member(&path, 0o644, &bytes)),
    );
    Ok(all)
}

/// What runs first, and then `script`: busybox, and what it does for the hardware and the network.
pub(crate) fn base(tree: &Tree, arch: Arch, script: &str) -> Result<Vec<Member>> {
    let busybox = match arch.is_foreign() {
        false => busybox()?,
        true => busybox_of(tree, arch)?,
    };
    Ok(vec![
        member("init", 0o755, [START, script].concat().as_bytes()),
        member("dhcp", 0o755, DHCP.as_bytes()),
        member("bin/busybox", 0o755, &busybox),
    ])
}

/// The modules that the script loads before it looks for hardware.
fn first(kernel: &Kernel<'_>, options: &Ramdisk) -> Vec<String> {
    let fetches = options.root == RootForm::Squashfs;
    let network: &[&str] = if fetches { NETWORK } else { &[] };
    let names = ROOT.iter().chain(network).copied();
    kernel.loadable(names.chain(options.modules.iter().map(String::as_str)))
}

fn member(path: &str, mode: u32, bytes: &[u8]) -> Member {
    Member {
        path: path.to_owned(),
        mode,
        bytes: bytes.to_vec(),
    }
}

/// The host's busybox, which runs in an initrd only if it needs no library.
fn busybox() -> Result<Vec<u8>> {
    let hint = "apt-get install busybox-static";
    let path = find("busybox").ok_or_else(|| Error::host("`busybox` is needed").hint(hint))?;
    let bytes = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
    match is_static(&bytes) {
        true => Ok(bytes),
        false => Err(
            Error::host("a busybox without libraries is needed to boot a ramdisk")
                .cause(format!("{} is linked dynamically", path.display()))
                .hint(hint),
        ),
    }
}

/// Whether a program asks for no loader, which it says at its beginning.
fn is_static(program: &[u8]) -> bool {
    let head = &program[..program.len().min(4096)];
    memchr::memmem::find(head, b"ld-linux").is_none()
}

/// The image's own busybox, where this host has none that its machines run.
fn busybox_of(tree: &Tree, arch: Arch) -> Result<Vec<u8>> {
    let places = ["usr/bin/", "bin/", "usr/sbin/", "sbin/"];
    let nodes = places
        .iter()
        .filter_map(|place| tree.get(&format!("{place}busybox")));
    let fits = |node: &&tree::Node| node.kind == tree::Kind::File && node.size <= LARGEST_BUSYBOX;
    for node in nodes.filter(fits) {
        let bytes = tree.bytes(node, LARGEST_BUSYBOX);
        let bytes = bytes.doing(|| "reading the image's busybox".into())?;
        if is_static(&bytes) {
            return Ok(bytes);
        }
    }
    Err(Error::usage(format!(
        "a ramdisk of {} needs a busybox without libraries in the image",
        arch.as_str()
    ))
    .cause("the one of this host is for another architecture")
    .hint("`targets: {ramdisk: {configure: [{packages: [busybox-static]}]}}` installs it"))
}

/// Memory that the image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Of the machine, in MiB.
    pub(super) minimum: u64,
    /// What its kernel counts as memory then, at least, in MiB.
    pub(super) usable: u64,
}

/// Computes the memory: `unpacked` and `packed` are the initrd's bytes without the root.
pub(super) fn memory(options: &Ramdisk, packed: u64, unpacked: u64, root: u64) -> Memory {
    let system = options.memory.unwrap_or(OF_SYSTEM).as_bytes();
    let running = unpacked + root + system;
    // The loader's copy of an initrd goes only when it is unpacked.
    let unpacking = match options.root {
        RootForm::Squashfs => packed + unpacked,
        RootForm::Initrd => packed + unpacked + 2 * root,
    };
    let needed = running.max(unpacking) + OF_KERNEL.as_bytes();
    let minimum = needed.next_multiple_of(STEP) >> 20;
    // The kernel keeps a little for itself, and 1.6 % for its lists of pages.
    let usable = (minimum * 97 / 100).saturating_sub(80);
    Memory { minimum, usable }
}

/// What the script reads.
pub(super) fn settings(
    kernel: &Kernel<'_>,
    options: &Ramdisk,
    root: &Root,
    memory: Memory,
) -> String {
    let (form, verify) = match (options.root, options.verify) {
        (RootForm::Squashfs, Verify::Size) => ("squashfs", "size"),
        (RootForm::Squashfs, Verify::Sha256) => ("squashfs", "sha256"),
        (RootForm::Initrd, Verify::Size) => ("initrd", "size"),
        (RootForm::Initrd, Verify::Sha256) => ("initrd", "sha256"),
    };
    let modules = first(kernel, options).join(" ");
    let Memory { minimum, usable } = memory;
    let Root {
        title,
        file,
        size,
        sha256,
    } = root;
    format!(
        "NAME='{title}' FORM={form} FILE='{file}' SIZE={size} SHA256={sha256}\n\
         VERIFY={verify} MINIMUM={minimum} USABLE={usable} MODULES='{modules}'\n"
    )
}

/// The members as one compressed archive.
pub(crate) fn pack(members: &[Member]) -> Result<Vec<u8>> {
    let packed = || archive(members, Gzip::new(vec![])?)?.finish();
    packed().doing(|| "making the initrd".into())
}

/// The members as one archive.
pub(super) fn plain(members: &[Member]) -> Result<Vec<u8>> {
    archive(members, vec![]).doing(|| "making an archive".into())
}

fn archive<W: Write>(members: &[Member], to: W) -> io::Result<W> {
    let mut archive = Cpio::new(to);
    let mut known = vec![];
    for Member { path, mode, bytes } in members {
        directories(&mut archive, path, &mut known)?;
        archive.add(path, cpio::Kind::File, *mode, bytes)?;
    }
    archive.finish()
}

/// Writes the initrd: archives one after the other, and the root in a last one.
pub(crate) fn write(to: &Path, archives: &[&[u8]], root: Option<&Path>) -> Result<()> {
    let root = root.map(|root| File::new("image/root", root));
    let written = write_with(to, archives, root.as_slice());
    written.map_err(|error| match error.kind() {
        Kind::Usage => error.hint("`targets: {ramdisk: {root: squashfs}}` fetches it over HTTP"),
        _ => error,
    })
}

/// Writes the initrd: archives one after the other, and files in a last one.
///
/// # Errors
/// When a file is too large for it, which is a mistake of whoever asks for it, or cannot be read.
pub(crate) fn write_with(to: &Path, archives: &[&[u8]], files: &[File]) -> Result<()> {
    let doing = || format!("writing {}", to.display());
    let mut file = BufWriter::with_capacity(1 << 20, Frugal::create(to).doing(doing)?);
    for archive in archives {
        file.write_all(archive).doing(doing)?;
        let pad = padding(archive.len() as u64);
        file.write_all(&[0; 3][..pad]).doing(doing)?;
    }
    if !files.is_empty() {
        let mut archive = Cpio::new(file);
        let mut known = vec![];
        for File { path, content } in files {
            let from = fs::File::open(content).doing(doing)?;
            let size = from.metadata().doing(doing)?.len();
            if size > LARGEST.min(HIGHEST) {
                let has = Size::bytes(size).human();
                return Err(Error::usage(format!("{path} is too large for an initrd"))
                    .cause(format!("it has {has}; 2 GiB is the limit")));
            }
            directories(&mut archive, path, &mut known).doing(doing)?;
            archive
                .member(path, cpio::Kind::File, 0o600, size, from)
                .doing(doing)?;
        }
        file = archive.finish().doing(doing)?;
    }
    let file = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .doing(doing)?;
    file.sync_all().doing(doing)
}

/// What a path lies in, where it is not known yet.
fn directories<'m, W: Write>(
    archive: &mut Cpio<W>,
    path: &'m str,
    known: &mut Vec<&'m str>,
) -> io::Result<()> {
    for dir in path.match_indices('/').map(|(at, _)| &path[..at]) {
        if !known.contains(&dir) {
            known.push(dir);
            archive.add(dir, cpio::Kind::Directory, 0o755, b"")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busybox_of_any_size_is_not_read() {
        let mut tree = Tree::empty();
        let mut node = tree::Node::made("usr/bin/busybox", tree::Kind::File, 0o755, "x");
        (node.size, node.content) = (1 << 42, tree::Content::Runs(vec![]));
        tree.nodes.push(node);
        let error = busybox_of(&tree, Arch::Aarch64).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage, "{error}");
        let good = tree::Node::made("bin/busybox", tree::Kind::File, 0o755, "good");
        tree.nodes.insert(0, good);
        assert_eq!(busybox_of(&tree, Arch::Aarch64).unwrap(), b"good");
    }

    #[test]
    fn memory_is_for_the_larger_of_unpacking_and_running() {
        let mib = |n: u64| n << 20;
        let squashfs = Ramdisk::default();
        let got = memory(&squashfs, mib(5), mib(20), mib(200));
        assert_eq!(got.minimum, 20 + 200 + 256 + 80 + 4);
        let initrd = Ramdisk {
            root: RootForm::Initrd,
            ..Ramdisk::default()
        };
        let got = memory(&initrd, mib(5), mib(15), mib(500));
        assert_eq!(got.minimum, 5 + 15 + 1000 + 80 + 4);
        // Four fifths of the machine's memory are always too little, the minimum never is.
        for minimum in [336, 560, 1104, 4000] {
            let usable = minimum * 97 / 100 - 80;
            assert!(minimum * 98 / 100 - 70 > usable);
            assert!(minimum * 8 / 10 - 25 < usable, "{minimum}");
        }
    }
}
