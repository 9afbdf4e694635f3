//! ext file systems, read by imgforge itself.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use super::parts::Volume;
use crate::error::{Error, Result};
use crate::ext4::{Fs, Inode, Walk, read_at};
use crate::fstab::{FileSystem, Machine};
use crate::scan::holes::{self, Condensed, Pieces};
use crate::scan::{FileEntry, Scanner};

/// The largest fstab that is read, in bytes.
const LARGEST_FSTAB: u64 = 16 << 20;

/// Where each volume is mounted, by the fstab of the one that has one: `""` is the root, nothing
/// means nowhere.
pub(crate) fn mounts(
    systems: &[(&Volume, Fs<'_>)],
    volumes: &[Volume],
) -> HashMap<u32, Option<String>> {
    let with = |path| {
        let has = move |system: &Fs<'_>| matches!(system.find(path), Ok(Some(_)));
        systems.iter().find(|(_, system)| has(system))
    };
    let root = with("/etc/os-release").or_else(|| with("/etc"));
    let Some((first, root)) = root.or(systems.first()) else {
        return HashMap::new();
    };
    let fstab = match root.find("/etc/fstab") {
        Ok(Some(fstab)) if fstab.is_file() => root.read(&fstab, LARGEST_FSTAB),
        _ => Ok(vec![]),
    };
    let fstab = fstab.unwrap_or_default();
    let listed: Vec<FileSystem> = volumes.iter().map(|v| v.system.clone()).collect();
    let machine = Machine {
        systems: &listed,
        root: volumes.iter().position(|v| v == *first).unwrap_or(0),
        fstab: &String::from_utf8_lossy(&fstab),
        crypttab: "",
    };
    let layout = machine.layout(|at| is_free(root, at));
    let of = |index| {
        layout
            .at(index)
            .map(|at| at.trim_end_matches('/').to_owned())
    };
    let numbered = volumes.iter().enumerate();
    numbered.map(|(index, v)| (v.number, of(index))).collect()
}

/// Whether a directory is empty; nothing where there is none.
fn is_free(system: &Fs<'_>, at: &str) -> Option<bool> {
    let dir = system.find(at).ok()?.filter(Inode::is_dir)?;
    Some(system.list(&dir).ok()?.is_empty())
}

/// Shows every file of a file system in `raw` to the scanner.
///
/// # Errors
/// When something of it cannot be read here.
pub(crate) fn walk(
    (raw, system): (&File, &Fs<'_>),
    at: &str,
    scanner: &mut Scanner<'_>,
) -> Result<()> {
    let size = raw
        .metadata()
        .map_err(|cause| failed(at, "/", cause))?
        .len();
    let mut budget = Budget::of(size);
    let mut files = Walk::new(system);
    while let Some(file) = files.next() {
        let (path, inode) = file.map_err(|cause| failed(at, &files.dir(), cause))?;
        let shown = format!("{at}/{}", String::from_utf8_lossy(&path));
        let owner = (inode.uid, inode.gid);
        let entry = FileEntry::new(shown, inode.mode, owner, inode.size);
        if inode.is_encrypted() && !inode.is_link() {
            // Only whoever has its key can read it.
            let what = if inode.is_dir() { "directory" } else { "file" };
            let why = format!("it is an encrypted {what} (fscrypt)");
            scanner.unsearched(&entry.path, why);
            files.pass_over(&inode);
        }
        if !inode.is_file() {
            scanner.take(&entry, &mut io::empty())?;
            continue;
        }
        let found = system.runs(&inode);
        let runs = found.map_err(|cause| failed("", &entry.path, cause))?;
        let data = runs.iter().map(|run| run.at..run.at + run.len);
        let sparse = Pieces::new(inode.size, data);
        let is_worth = sparse.saved() >= holes::WORTH;
        let pieces = match is_worth {
            true => sparse,
            false => Pieces::new(inode.size, std::iter::once(0..inode.size)),
        };
        budget.take(inode.size - pieces.saved(), &entry.path)?;
        let mut data = Condensed::new(&pieces, |at, into: &mut [u8]| read_at(raw, &runs, at, into));
        scanner.take_pieces(&entry, is_worth.then_some(&pieces), &mut data)?;
    }
    Ok(())
}

fn failed(at: &str, path: &str, cause: io::Error) -> Error {
    Error::stage(format!("reading {at}{path} of the image failed"))
        .cause(cause)
        .hint("`e2fsck -n` says whether the file system is damaged")
}

/// How many bytes of files may still be read: they can have several names, and be zeroes, of which
/// nothing is stored.
struct Budget(u64);

impl Budget {
    /// How often all of the disk may be read: files of more names are for the appliance, where each
    /// is read once.
    const TIMES: u64 = 4;

    /// For a disk of `size` bytes.
    fn of(size: u64) -> Self {
        Budget(size.saturating_mul(Self::TIMES))
    }

    fn take(&mut self, bytes: u64, path: &str) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let what = "the files of the image are larger than itself";
            Error::stage(what).cause(format!("at {path} too much was read"))
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;
    use crate::scan::Subject;
    use std::path::{Path, PathBuf};

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7Yc3zq9vXwB2k\n-----END PRIVATE KEY-----\n";

    /// An ext of this kind and size with `/d/file`, which is `content`, after `lines` of debugfs.
    fn made(dir: &Path, (kind, size): (&str, u64), content: &[u8], lines: &[&str]) -> PathBuf {
        let (disk, tree) = (dir.join("disk"), dir.join("tree"));
        std::fs::create_dir_all(tree.join("d")).unwrap();
        std::fs::write(tree.join("d/file"), content).unwrap();
        File::create(&disk).unwrap().set_len(size).unwrap();
        let make = Program::new("mke2fs").args(["-q", "-F", "-b", "1024", "-t", kind, "-d"]);
        make.arg(&tree).arg(&disk).run().unwrap();
        for line in lines {
            let debugfs = Program::new("debugfs").args(["-w", "-R", line]);
            debugfs.arg(&disk).run().unwrap();
        }
        disk
    }

    /// What is found, as `rule path`, and how many bytes were read for that.
    fn scanned(disk: &Path) -> Result<(Vec<String>, u64)> {
        let subject = Subject::default();
        let (raw, mut scanner) = (File::open(disk).unwrap(), Scanner::new(&subject));
        let system = Fs::open(&raw, 0).map_err(|cause| failed("", "/", cause))?;
        walk((&raw, &system), "", &mut scanner)?;
        let report = scanner.finish();
        let all = report.findings.iter();
        let all = all.map(|f| format!("{} {}", f.rule, f.path)).collect();
        Ok((all, report.bytes))
    }

    #[test]
    fn a_directory_that_is_in_itself_and_files_of_many_names_have_an_end() {
        let content = vec![b'x'; 400_000];
        let refused = |lines: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            let disk = made(dir.path(), ("ext4", 4 << 20), &content, lines);
            scanned(&disk).map_err(|error| error.render())
        };
        assert_eq!(refused(&[]).unwrap().1, 400_000);
        let within = refused(&["ln /d /d/one"]).unwrap_err();
        assert!(within.contains("/d/one is in two places"), "{within}");
        let names: Vec<String> = (0..60).map(|n| format!("ln /d/file /d/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let many = refused(&names).unwrap_err();
        assert!(many.contains("larger than itself"), "{many}");
    }

    /// What the blocks held before they were allocated is no part of the file; what is behind them is.
    #[test]
    fn a_preallocated_part_is_zeroes_and_what_lies_behind_it_is_found() {
        let mut content = vec![b'\n'; 9 << 10];
        content.extend(KEY.as_bytes());
        let punched = ["punch /d/file 1 7", "fallocate /d/file 1 7"];
        for (kind, lines) in [("ext4", &punched[..]), ("ext3", &[]), ("ext2", &[])] {
            let dir = tempfile::tempdir().unwrap();
            let disk = made(dir.path(), (kind, 16 << 20), &content, lines);
            let found = scanned(&disk).map_err(|error| error.render()).unwrap();
            assert_eq!(found.0, ["private-key /d/file"], "{kind}");
        }
    }

    #[test]
    fn what_is_encrypted_is_not_searched_and_told() {
        for path in ["/d", "/d/file"] {
            let dir = tempfile::tempdir().unwrap();
            let line = format!("sif {path} flags 0x80800");
            let disk = made(dir.path(), ("ext4", 4 << 20), b"cipher", &[&line]);
            let (found, _) = scanned(&disk).map_err(|error| error.render()).unwrap();
            assert_eq!(found, [format!("{} {path}", crate::scan::NOT_SEARCHED)]);
        }
    }

    #[test]
    fn holes_of_a_large_file_are_not_read() {
        for kind in ["ext4", "ext3", "ext2"] {
            let dir = tempfile::tempdir().unwrap();
            let lines = ["sif /d/file size 0x200000000"];
            let disk = made(dir.path(), (kind, 16 << 20), &[b'x'; 5000], &lines);
            let (_, read) = scanned(&disk).map_err(|error| error.render()).unwrap();
            assert!((5000..1 << 20).contains(&read), "{kind}: {read}");
        }
    }
}
