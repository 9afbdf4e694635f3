//! Clears blocks that files have and never wrote (`fallocate`): they hold what lay there before, and
//! no trim reaches them, since they are not free.
//!
//! Such blocks are given back, trimmed with the free ones, and reserved again. Files whose path has a
//! line break are passed over, and so are file systems without extents, which know no such blocks.

use crate::error::{Error, Result};
use crate::guest::Guestfs;
use crate::host::exec::quote;

/// Prints filefrag(8)'s two kinds of lines for each file below `$at` that has such blocks: one with
/// the path and the size, and one for each piece.
const LIST: &str = r#"
command -v filefrag >/dev/null && command -v fallocate >/dev/null || { echo missing; exit 0; }
find "$at" -xdev -type f ! -path '*
*' -print0 | xargs -0 -r filefrag -v -b1 2>/dev/null |
  sed -n -e '/^File size of /{h;d}' -e '/^ *[0-9][0-9]*:.*unwritten/{x;/./p;s/.*//;x;p}'; true
"#;

/// How many files one command of the appliance changes.
const BATCH: usize = 64;

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
pub(super) fn files(guest: &Guestfs, at: &str) -> Result<Option<Vec<File>>> {
    // Data on the way to the disk are in such blocks, too.
    guest.sync()?;
    let at = quote(&format!("/sysroot{at}"));
    let printed = guest.debug("sh", &[&format!("at={at}\n{LIST}")])?;
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

/// Runs a command for each piece of each file, and leaves the time of the last change as it was.
fn change(
    guest: &Guestfs,
    files: &[File],
    command: impl Fn(&File, (u64, u64)) -> String,
) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for batch in files.chunks(BATCH) {
        let mut script = String::new();
        for (number, file) in batch.iter().enumerate() {
            let commands = file.pieces.iter().map(|piece| command(file, *piece));
            let commands: Vec<String> = commands.collect();
            script += &format!(
                "f={}; t=$(stat -c %y \"$f\") && {{ {} || echo {number}; }}; touch -m -d \"$t\" \"$f\"\n",
                quote(&file.path),
                commands.join(" && "),
            );
        }
        let printed = guest.debug("sh", &[&format!("exec 2>/dev/null\n{script}true")])?;
        let numbers = printed
            .lines()
            .filter_map(|line| line.parse::<usize>().ok());
        failed.extend(numbers.filter_map(|number| Some(batch.get(number)?.shown().to_owned())));
    }
    Ok(failed)
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
}
