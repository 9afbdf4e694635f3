//! Clears blocks that files have and never wrote (`fallocate`): they hold what lay there before, and
//! no trim reaches them, since they are not free.
//!
//! Such blocks are given back, trimmed with the free ones, and reserved again. Files whose path has a
//! line break are told, and file systems without extents, which know no such blocks, are passed over.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::guest::Guestfs;
use crate::host::exec::quote;

/// Prints filefrag(8)'s two kinds of lines for each file below `$at` that has such blocks: one with
/// the path and the size, and one for each piece. All whose path has a line break are one that is nowhere.
const LIST: &str = r#"
command -v filefrag >/dev/null && command -v fallocate >/dev/null || { echo missing; exit 0; }
pieces='^ *[0-9][0-9]*:.*unwritten'
find "$at" $within -type f ! -path '*
*' -print0 | xargs -0 -r filefrag -v -b1 2>/dev/null |
  sed -n -e '/^File size of /{h;d}' -e "/$pieces/{x;/./p;s/.*//;x;p}"
find "$at" $within -type f -path '*
*' -print0 | xargs -0 -r filefrag -v -b1 2>/dev/null | grep -q "$pieces" &&
  printf '%s\n' "File size of $at/(a path with a line break) is 0 (0" ' 0: 0.. 0: 0'; true
"#;

/// The capabilities of the file `$f`, which every change of a file takes from it, in hexadecimal.
const CAPABILITIES: &str =
    r#"getfattr -e hex -n security.capability "$f" | sed -n 's/^security.capability=//p'"#;

/// How long a script is, in bytes, unless one file needs more: Linux gives a program no argument of 128 KiB.
const SCRIPT: usize = 64 << 10;

/// How many pieces of a file one script changes.
const PIECES: usize = 256;

/// A file with such blocks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// As the appliance sees it, below `/sysroot`.
    path: String,
    /// In bytes.
    size: u64,
    /// Start and length in bytes of each piece.
    pieces: Vec<(u64, u64)>,
}

/// The files with such blocks on the file system that is mounted at `at`; nothing when the appliance
/// has no means to find them.
pub(super) fn files(guest: &Guestfs, at: &str, kind: &str) -> Result<Option<Vec<File>>> {
    // Data on the way to the disk are in such blocks, too.
    guest.sync()?;
    let at = quote(&format!("/sysroot{at}"));
    // Each subvolume has a device of its own, and snapshots share such blocks.
    let within = if kind == "btrfs" { "" } else { "-xdev" };
    let printed = guest.debug("sh", &[&format!("at={at} within={within}\n{LIST}")])?;
    Ok((printed.trim() != "missing").then(|| parse(&printed)))
}

/// Gives the blocks back. Returns the files, and the paths of those of which that failed.
pub(super) fn give_back(guest: &Guestfs, mut files: Vec<File>) -> Result<(Vec<File>, Vec<String>)> {
    let failed = change(guest, &files, |file, (start, count)| {
        format!(
            "fallocate -p -o {start} -l {count} \"$f\" && truncate -s {} \"$f\"",
            file.size
        )
    })?;
    files.retain(|file| !failed.iter().any(|path| path == file.shown()));
    Ok((files, failed))
}

/// Reserves them again, up to the end of each file.
///
/// # Errors
/// When one could not be: what needs its blocks, such as a swap file, would not work.
pub(super) fn reserve(guest: &Guestfs, files: &[File]) -> Result<()> {
    let failed = change(guest, files, |file, (start, count)| {
        if start < file.size {
            format!("fallocate -n -o {start} -l {count} \"$f\"")
        } else {
            "true".into()
        }
    })?;
    match failed.first() {
        Some(path) => Err(Error::stage(format!(
            "the blocks that {path} had reserved could not be reserved again"
        ))),
        None => Ok(()),
    }
}

/// Runs a command for each piece of each file, and leaves capabilities and the time of the last change as
/// they were. Returns the files of which one failed.
fn change(
    guest: &Guestfs,
    files: &[File],
    command: impl Fn(&File, (u64, u64)) -> String,
) -> Result<Vec<String>> {
    let mut failed = BTreeSet::new();
    for script in scripts(files, command) {
        let printed = guest.debug("sh", &[&script])?;
        let numbers = printed.lines().filter_map(|line| line.parse().ok());
        failed.extend(numbers.filter(|number: &usize| *number < files.len()));
    }
    let shown = failed.iter().map(|number| files[*number].shown());
    Ok(shown.map(str::to_owned).collect())
}

/// Scripts that print the number of each file for which a command failed, or that is not there by
/// this name: what is no UTF-8 came here as another one.
fn scripts(files: &[File], command: impl Fn(&File, (u64, u64)) -> String) -> Vec<String> {
    const BEGIN: &str = "exec 2>/dev/null\n";
    let mut scripts = vec![BEGIN.to_owned()];
    for (number, file) in files.iter().enumerate() {
        for pieces in file.pieces.chunks(PIECES) {
            let commands = pieces.iter().map(|piece| command(file, *piece));
            let commands: Vec<String> = commands.collect();
            let part = format!(
                "f={}; {{ t=$(stat -c %y \"$f\") && c=$({CAPABILITIES}) && {} &&\n\
                 {{ [ -z \"$c\" ] || setfattr -n security.capability -v \"$c\" \"$f\"; }}; }} || echo {number}\n\
                 touch -c -m -d \"$t\" \"$f\"\n",
                quote(&file.path),
                commands.join(" && "),
            );
            match scripts
                .last_mut()
                .filter(|last| last.len() + part.len() < SCRIPT)
            {
                Some(last) => *last += &part,
                None => scripts.push(format!("{BEGIN}{part}")),
            }
        }
    }
    scripts.iter_mut().for_each(|script| *script += "true");
    scripts
}

impl File {
    /// The path in the guest.
    fn shown(&self) -> &str {
        self.path.strip_prefix("/sysroot").unwrap_or(&self.path)
    }
}

/// Reads what [`LIST`] prints.
fn parse(printed: &str) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for line in printed.lines() {
        if let Some(file) = header(line) {
            files.push(file);
        } else if let (Some(file), Some(piece)) = (files.last_mut(), piece(line)) {
            file.pieces.push(piece);
        }
    }
    files
}

/// `File size of PATH is SIZE (N blocks of 1 bytes)`
fn header(line: &str) -> Option<File> {
    let (path, size) = line.strip_prefix("File size of ")?.rsplit_once(" is ")?;
    let path = path.replacen("/sysroot//", "/sysroot/", 1);
    let size = size.split_once(' ')?.0.parse().ok()?;
    Some(File {
        path,
        size,
        pieces: vec![],
    })
}

/// `NUMBER: START.. LAST: PHYSICAL START.. LAST: LENGTH: …`, all in bytes.
fn piece(line: &str) -> Option<(u64, u64)> {
    let (start, last) = line.split(':').nth(1)?.split_once("..")?;
    let start: u64 = start.trim().parse().ok()?;
    let last: u64 = last.trim().parse().ok()?;
    Some((start, last.checked_sub(start)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn files_and_their_pieces_are_read() {
        let printed = "File size of /sysroot//var/a is b is 20000 (20480 blocks of 1 bytes)\n   \
             0:        0..   20479: 165545103360..165545123839:  20480:             last,unwritten,eof\n\
             File size of /sysroot/c is 9000 (12288 blocks of 1 bytes)\n   \
             1:     4096..    8191: 128479182848..128479195135:   4096: 128479182900: unwritten\n   \
             2:    12288..   16383: 128479182848..128479195135:   4096:             last,unwritten\n";
        let file = |path: &str, size, pieces: &[_]| File {
            path: path.into(),
            size,
            pieces: pieces.to_vec(),
        };
        let wanted = [
            file("/sysroot/var/a is b", 20000, &[(0, 20480)]),
            file("/sysroot/c", 9000, &[(4096, 4096), (12288, 4096)]),
        ];
        assert_eq!(parse(printed), wanted);
        assert_eq!(wanted[1].shown(), "/c");
        assert_eq!(parse("nonsense\n 0: 5..2: 1\n"), []);
    }

    fn file(path: &str, pieces: usize) -> File {
        File {
            path: path.into(),
            size: 9000,
            pieces: (0..pieces as u64).map(|at| (at * 8192, 4096)).collect(),
        }
    }

    #[test]
    fn a_file_that_is_not_there_by_its_name_failed_and_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let [here, gone] = ["it's here", "gone"].map(|name| dir.path().join(name));
        std::fs::write(&here, "x").unwrap();
        let files = [&here, &gone].map(|path| file(path.to_str().unwrap(), 2));
        let scripts = scripts(&files, |_, _| "true".into());
        let sh = Program::new("sh").args(["-c", &scripts.concat()]);
        assert_eq!(sh.text().unwrap(), "1");
        assert!(!gone.exists());
    }

    #[test]
    fn many_pieces_and_long_paths_make_no_long_script() {
        let mut files = vec![file("/torn", 3000)];
        files.extend((0..70).map(|_| file(&"/'".repeat(2000), 1)));
        let scripts = scripts(&files, |_, (at, len)| {
            format!("fallocate -p -o {at} -l {len} \"$f\" && truncate -s 9000000000000 \"$f\"")
        });
        assert!(scripts.iter().all(|script| script.len() < 128 << 10));
        let count = scripts.concat().matches("fallocate").count();
        assert_eq!(count, 3000 + 70);
    }
}
