//! A file that somebody has: a disk of any format, compressed or not, an archive with disks or of
//! files, a directory.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use super::{Entry, Host, Report, Scanner, Subject, source};
use crate::error::{Context as _, Error, Result};
use crate::host::imagefile::{self, ImageFile, copy_sparse};
use crate::host::others;

/// How the bytes of a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Plain bytes of a disk
    Raw,
    /// QEMU's format
    Qcow2,
    /// VMware's format
    Vmdk,
    /// VirtualBox's format
    Vdi,
    /// Hyper-V's older format
    Vhd,
    /// Hyper-V's newer format
    Vhdx,
    /// An archive of files
    Tar,
    /// Files
    Directory,
}

/// How often something packed may be in something packed: an archive, a compressed disk in it.
const DEPTH: u32 = 4;

/// More members than this has no archive that holds disks.
const MEMBERS: usize = 64;

/// Scans a file. Without `form`, its content says what it is.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub(super) fn scan(
    file: &Path,
    form: Option<Form>,
    backing: &[PathBuf],
    subject: &Subject,
    host: &Host<'_>,
) -> Result<Report> {
    let doing = || format!("reading {}", file.display());
    let format = match form {
        None if file.is_dir() => return source_tree(file, subject, host),
        None => return any(file, Some(backing), subject, host, DEPTH),
        Some(Form::Directory) => return source_tree(file, subject, host),
        Some(Form::Tar) => return files(File::open(file).doing(doing)?, subject, host),
        Some(Form::Raw) => "raw",
        Some(Form::Qcow2) => "qcow2",
        Some(Form::Vmdk) => "vmdk",
        Some(Form::Vdi) => "vdi",
        Some(Form::Vhd) => "vpc",
        Some(Form::Vhdx) => "vhdx",
    };
    own_disk(file, format, backing, subject, host)
}

/// A user's disk; it may be on files that are named, too.
fn own_disk(
    file: &Path,
    format: &str,
    backing: &[PathBuf],
    subject: &Subject,
    host: &Host<'_>,
) -> Result<Report> {
    // A relative name could be an address to QEMU.
    let file = std::path::absolute(file).doing(|| format!("finding {}", file.display()))?;
    others::check(&file, format, backing)?;
    source::disk(&file, format, subject, host)
}

fn source_tree(root: &Path, subject: &Subject, host: &Host<'_>) -> Result<Report> {
    let mut scanner = Scanner::new(subject);
    scanner.tell(host.ui);
    source::tree(root, "", &mut scanner)?;
    Ok(scanner.finish())
}

fn files(archive: impl Read, subject: &Subject, host: &Host<'_>) -> Result<Report> {
    let mut scanner = Scanner::new(subject);
    scanner.tell(host.ui);
    source::tar(archive, &mut scanner)?;
    Ok(scanner.finish())
}

/// A file of unknown kind; with `backing` it is a user's, which may be on those files.
fn any(
    file: &Path,
    backing: Option<&[PathBuf]>,
    subject: &Subject,
    host: &Host<'_>,
    depth: u32,
) -> Result<Report> {
    let doing = || format!("reading {}", file.display());
    let kind = ImageFile::of(file).doing(doing)?;
    if let Some(format) = kind.qemu() {
        if let Some(backing) = backing {
            return own_disk(file, format, backing, subject, host);
        }
        others::check_unpacked(file, format)?;
        return source::disk(file, format, subject, host);
    }
    let opened = || File::open(file).map(BufReader::new).doing(doing);
    if depth == 0 || kind == ImageFile::Zip {
        return Err(Error::usage(format!(
            "{} is {}, which is not looked into",
            file.display(),
            kind.called()
        ))
        .hint(kind.remedy()));
    }
    let decoded = || kind.unpacked(opened()?).doing(doing);
    let mut head = Vec::new();
    let mut inner = decoded()?;
    (&mut inner)
        .take(imagefile::HEAD as u64)
        .read_to_end(&mut head)
        .doing(doing)?;
    if ImageFile::by_head(&head) == ImageFile::Tar {
        if has_disks(Cursor::new(head).chain(inner)).doing(doing)? {
            return disks(decoded()?, file, subject, host, depth - 1);
        }
        return files(decoded()?, subject, host);
    }
    host.ui.step("unpacking the disk");
    let dir = tempfile::tempdir_in(host.scratch).doing(|| "making a scratch directory".into())?;
    let plain = dir.path().join("unpacked");
    copy_sparse(Cursor::new(head).chain(inner), &plain)?;
    any(&plain, None, subject, host, depth - 1)
}

/// Whether an archive is one that a disk is shipped in: few members, in no directory, one of them
/// a disk.
fn has_disks(archive: impl Read) -> std::io::Result<bool> {
    let (mut all, mut any) = (0, false);
    for member in tar::Archive::new(archive).entries()? {
        let mut member = member?;
        let Some(name) = name(&member) else {
            continue;
        };
        all += 1;
        if all > MEMBERS || name.contains('/') || !member.header().entry_type().is_file() {
            return Ok(false);
        }
        let mut head = Vec::new();
        (&mut member)
            .take(imagefile::HEAD as u64)
            .read_to_end(&mut head)?;
        any |= is_disk(&name, &head);
    }
    Ok(any)
}

/// The path of a member without what leads nowhere; `None` is the directory itself.
fn name(member: &tar::Entry<'_, impl Read>) -> Option<String> {
    let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
    let path = path.trim_start_matches("./").trim_end_matches('/');
    (!path.is_empty() && path != ".").then(|| path.to_owned())
}

/// Plain bytes are a disk by their name, or where they are signed to be booted.
fn is_disk(name: &str, head: &[u8]) -> bool {
    match ImageFile::by_head(head) {
        ImageFile::Raw => {
            let named = [".raw", ".img", ".dd", ".vhd", ".hdd"];
            named.iter().any(|end| name.ends_with(end)) || head.get(510..512) == Some(&[0x55, 0xaa])
        }
        kind if kind.is_compressed() => [".vmdk.gz", ".raw.xz", ".img.xz", ".img.gz"]
            .iter()
            .any(|end| name.ends_with(end)),
        kind => kind.qemu().is_some(),
    }
}

/// An archive of disks: each is scanned, and so is what lies beside them.
fn disks(
    archive: impl Read,
    file: &Path,
    subject: &Subject,
    host: &Host<'_>,
    depth: u32,
) -> Result<Report> {
    let doing = || format!("unpacking {}", file.display());
    host.ui.step("unpacking the archive");
    let dir = tempfile::tempdir_in(host.scratch).doing(|| "making a scratch directory".into())?;
    let (mut disks, mut others) = (vec![], vec![]);
    for member in tar::Archive::new(archive).entries().doing(doing)? {
        let mut member = member.doing(doing)?;
        let Some(name) = name(&member) else {
            continue;
        };
        let path = dir.path().join(&name);
        copy_sparse(&mut member, &path)?;
        let mut head = Vec::new();
        let opened = File::open(&path).doing(doing)?;
        opened
            .take(imagefile::HEAD as u64)
            .read_to_end(&mut head)
            .doing(doing)?;
        match is_disk(&name, &head) {
            true => disks.push((name, path)),
            false => others.push((name, path)),
        }
    }
    let parts = disks.iter().map(|(_, path)| others::parts(path));
    let parts: Vec<String> = parts.collect::<Result<Vec<_>>>()?.concat();
    disks.retain(|(name, _)| !parts.contains(name));
    let mut all = beside(&others, file, subject)?;
    for (name, path) in &disks {
        let report = any(path, None, subject, host, depth)?;
        let several = disks.len() > 1;
        all.add(report, if several { Some(name.as_str()) } else { None });
        std::fs::remove_file(path).doing(doing)?;
    }
    Ok(all)
}

/// What lies beside the disks: descriptions, a Vagrantfile, lists of digests.
fn beside(others: &[(String, PathBuf)], file: &Path, subject: &Subject) -> Result<Report> {
    let mut scanner = Scanner::new(subject);
    let archive = file.file_name().unwrap_or_default().to_string_lossy();
    scanner.enter(&format!("/({archive})"));
    for (name, path) in others {
        let doing = || format!("reading {name}");
        let mut content = File::open(path).doing(doing)?;
        let size = content.metadata().doing(doing)?.len();
        let entry = Entry::new(format!("/{name}"), 0o100_644, (0, 0), size);
        scanner.take(&entry, &mut content)?;
    }
    let mut report = scanner.finish();
    // Files of the archive are none of the image.
    report.files = 0;
    Ok(report)
}

impl Report {
    /// Adds what was found in a part that is called `name`.
    fn add(&mut self, other: Report, name: Option<&str>) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.findings
            .extend(other.findings.into_iter().map(|mut found| {
                if let Some(name) = name {
                    found.path = format!("/({name}){}", found.path);
                }
                found
            }));
        self.findings.sort();
    }
}
