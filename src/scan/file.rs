//! A file that somebody has: a disk of any format, compressed or not, an archive with disks or of
//! files, a directory.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek as _};
use std::path::{Component, Path, PathBuf};

use super::{FileEntry, Host, ScanReport, Scanner, Subject, source};
use crate::error::{Context as _, Error, Result};
use crate::host::imagefile::{self, ImageFile};
use crate::host::taken::PinnedFile;
use crate::host::{opened, others, sparse, vmdk};

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
) -> Result<ScanReport> {
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
) -> Result<ScanReport> {
    let taken = PinnedFile::disk(file, format, backing)?;
    source::disk(taken.path(), format, subject, host)
}

fn source_tree(root: &Path, subject: &Subject, host: &Host<'_>) -> Result<ScanReport> {
    let mut scanner = Scanner::new(subject);
    scanner.tell(host.ui);
    source::tree(root, "", &mut scanner)?;
    Ok(scanner.finish())
}

fn files(archive: impl Read, subject: &Subject, host: &Host<'_>) -> Result<ScanReport> {
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
) -> Result<ScanReport> {
    let doing = || format!("reading {}", file.display());
    let opened = opened::open(file).doing(doing)?;
    let kind = ImageFile::of_open(&opened).doing(doing)?;
    if let Some(format) = kind.qemu() {
        if let Some(backing) = backing {
            return own_disk(file, format, backing, subject, host);
        }
        others::check_unpacked(file, format)?;
        return source::disk(file, format, subject, host);
    }
    if depth == 0 || kind == ImageFile::Zip {
        return Err(Error::usage(format!(
            "{} is {}, which is not looked into",
            file.display(),
            kind.called()
        ))
        .hint(kind.remedy()));
    }
    let decoded = || {
        (&opened).rewind().doing(doing)?;
        kind.unpacked(BufReader::new(&opened)).doing(doing)
    };
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
    sparse::fill(&plain, Cursor::new(head).chain(inner), u64::MAX)?;
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

/// A file of an archive, unpacked. Its name is what the archive says: no file of this host has it.
struct Member {
    name: String,
    path: PathBuf,
    is_disk: bool,
    /// Of a disk that is described by another member.
    is_part: bool,
}

/// What a description of a VMDK is called once it is unpacked.
const DESCRIPTION: &str = ".description.vmdk";

/// Unpacks an archive that [`has_disks`] into a directory of ours, each member into a file called by
/// its number. Who may write the archive may have done so meanwhile, so that all is asked again.
fn members(archive: impl Read, file: &Path, dir: &Path) -> Result<Vec<Member>> {
    let doing = || format!("unpacking {}", file.display());
    let mut all: Vec<Member> = vec![];
    for member in tar::Archive::new(archive).entries().doing(doing)? {
        let mut member = member.doing(doing)?;
        let Some(name) = name(&member) else {
            continue;
        };
        if all.len() == MEMBERS || name.contains('/') || !member.header().entry_type().is_file() {
            let changed = format!("{} changed while it was read", file.display());
            return Err(Error::stage(changed)
                .cause("it was an archive of disks a moment before")
                .hint("scan it again when nobody writes there"));
        }
        let mut head = vec![];
        (&mut member)
            .take(imagefile::HEAD as u64)
            .read_to_end(&mut head)
            .doing(doing)?;
        let is_disk = is_disk(&name, &head);
        let path = dir.join(all.len().to_string());
        sparse::fill(&path, Cursor::new(head).chain(member), u64::MAX)?;
        all.push(Member {
            name,
            path,
            is_disk,
            is_part: false,
        });
    }
    Ok(all)
}

/// Gives what a description of a VMDK names as its parts these names, in a directory of its own, and
/// the description, too: QEMU looks for them there. Parts are no disks by themselves.
fn assemble(members: &mut Vec<Member>, dir: &Path) -> Result<()> {
    for at in 0..members.len() {
        let parts = match members[at].is_disk && !members[at].is_part {
            true => vmdk::parts(&members[at].path)?,
            false => vec![],
        };
        if parts.is_empty() {
            continue;
        }
        let place = dir.join(format!("parts-{at}"));
        let doing = || format!("writing {}", place.display());
        std::fs::create_dir(&place).doing(doing)?;
        let moved = place.join(DESCRIPTION);
        std::fs::rename(&members[at].path, &moved).doing(doing)?;
        members[at].path = moved;
        for part in parts {
            let mut names = Path::new(&part).components();
            // A description that names anything else is refused when it is opened.
            let (Some(Component::Normal(name)), None) = (names.next(), names.next()) else {
                continue;
            };
            let found = members.iter().enumerate();
            let mut found = found.filter(|(number, member)| {
                // What is a disk by itself is scanned as one, whoever calls it a part.
                let kind = ImageFile::of(&member.path);
                let can = kind.is_ok_and(|kind| matches!(kind, ImageFile::Raw | ImageFile::Vmdk));
                *number != at && !member.is_part && can && member.name == part
            });
            let Some((number, _)) = found.next() else {
                continue;
            };
            let to = place.join(name);
            if to.symlink_metadata().is_err() {
                std::fs::rename(&members[number].path, &to).doing(doing)?;
                (members[number].path, members[number].is_part) = (to, true);
            }
        }
    }
    members.retain(|member| !member.is_part);
    Ok(())
}

/// An archive of disks: each is scanned, and so is what lies beside them.
fn disks(
    archive: impl Read,
    file: &Path,
    subject: &Subject,
    host: &Host<'_>,
    depth: u32,
) -> Result<ScanReport> {
    let doing = || format!("unpacking {}", file.display());
    host.ui.step("unpacking the archive");
    let dir = tempfile::tempdir_in(host.scratch).doing(|| "making a scratch directory".into())?;
    let mut members = members(archive, file, dir.path())?;
    assemble(&mut members, dir.path())?;
    let (disks, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|one| one.is_disk);
    let mut all = beside(&others, file, subject)?;
    for disk in &disks {
        let report = any(&disk.path, None, subject, host, depth)?;
        all.add(report, (disks.len() > 1).then_some(&*disk.name));
        std::fs::remove_file(&disk.path).doing(doing)?;
    }
    Ok(all)
}

/// What lies beside the disks: descriptions, a Vagrantfile, lists of digests.
fn beside(others: &[Member], file: &Path, subject: &Subject) -> Result<ScanReport> {
    let mut scanner = Scanner::new(subject);
    let archive = file.file_name().unwrap_or_default().to_string_lossy();
    scanner.enter(&format!("/({archive})"));
    for Member { name, path, .. } in others {
        let doing = || format!("reading {name}");
        let mut content = File::open(path).doing(doing)?;
        let size = content.metadata().doing(doing)?.len();
        let entry = FileEntry::new(format!("/{name}"), 0o100_644, (0, 0), size);
        scanner.take(&entry, &mut content)?;
    }
    let mut report = scanner.finish();
    // Files of the archive are none of the image.
    report.files = 0;
    Ok(report)
}

impl ScanReport {
    /// Adds what was found in a part that is called `name`.
    fn add(&mut self, other: ScanReport, name: Option<&str>) {
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

#[cfg(test)]
mod tests;
