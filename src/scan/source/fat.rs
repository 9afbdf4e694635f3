//! FAT, copied out by mtools.

use std::path::Path;

use super::parts::Volume;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::scan::Scanner;

/// Shows every file of the file system to the scanner; owners and modes are the host's, and so
/// not judged.
///
/// # Errors
/// When not all of it can be read by mtools.
pub(super) fn walk(
    raw: &Path,
    volume: &Volume,
    at: &str,
    scanner: &mut Scanner<'_>,
    scratch: &Path,
) -> Result<()> {
    let dir = tempfile::tempdir_in(scratch).doing(|| "making a scratch directory".into())?;
    let image = format!("{}@@{}", raw.display(), volume.start);
    let tool = |name: &'static str| {
        let tool = Program::new(name).env("MTOOLS_SKIP_CHECK", "1");
        tool.on_foreign_file()
    };
    // With hidden files and those of the system, which are left out otherwise.
    let list = |how: &[&str]| {
        let mdir = tool("mdir").args(["-a", "-/"]).args(how);
        mdir.args(["-i", &image, "::/"]).text()
    };
    let listed = list(&["-b"])?.lines().filter(|l| !l.is_empty()).count();
    if listed == 0 {
        return Ok(());
    }
    let bytes = total(&list(&[])?)
        .ok_or_else(|| Error::stage("mdir says in a way of its own how large the files are"))?;
    // Names that share their clusters would fill the host.
    if bytes.max(listed as u64 * LEAST) > volume.size {
        return Err(
            Error::stage("the files of a FAT are larger than itself").cause(format!(
                "{listed} files and directories say that they have {bytes} bytes, and the volume \
                 has {}",
                volume.size
            )),
        );
    }
    tool("mcopy")
        .args(["-s", "-n", "-Q", "-i", &image, "::*"])
        .arg(dir.path())
        .run()?;
    let copied = count(dir.path()).doing(|| "reading the copied files".into())?;
    if copied != listed {
        return Err(Error::stage(format!(
            "mcopy copied {copied} files and directories of {listed}"
        )));
    }
    super::tree(dir.path(), at, scanner)
}

/// What a file takes at least of a volume that is no trap, in bytes: most have a cluster.
const LEAST: u64 = 512;

/// How many bytes all files have, by the last sum that mdir(1) prints: thousands are apart.
///
/// ```text
/// Total files listed:
///        10 files           6 000 000 bytes
///                           60 057 088 bytes free
/// ```
fn total(listed: &str) -> Option<u64> {
    let mut lines = listed.lines().rev();
    let sum = lines.find(|line| line.ends_with(" bytes"))?;
    let (_, bytes) = sum.split_once(" file")?;
    let digits: String = bytes.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// How many files and directories there are.
fn count(dir: &Path) -> std::io::Result<usize> {
    let mut all = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        all += 1;
        if entry.file_type()?.is_dir() {
            all += count(&entry.path())?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::super::parts;
    use super::*;
    use crate::scan::Subject;

    #[test]
    fn names_that_share_their_clusters_do_not_fill_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let [image, big] = ["image", "BIG.BIN"].map(|name| dir.path().join(name));
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(16 << 20).unwrap();
        std::fs::write(&big, vec![7u8; 3 << 20]).unwrap();
        let made = Program::new("mkfs.vfat").args(["-F", "16"]).arg(&image);
        made.run().unwrap();
        let copy = Program::new("mcopy").arg("-i").arg(&image).arg(&big);
        copy.arg("::").run().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let walked = || {
            let volumes = parts::volumes(&image).unwrap();
            let subject = Subject::default();
            let mut scanner = Scanner::new(&subject);
            let result = walk(&image, &volumes[0], "", &mut scanner, scratch.path());
            result.map(|()| scanner.finish().files)
        };
        assert_eq!(walked().unwrap(), 1);
        // The same entry of the directory again, under other names.
        let bytes = std::fs::read(&image).unwrap();
        let at = memchr::memmem::find(&bytes, b"BIG     BIN").unwrap();
        let mut entry = bytes[at..at + 32].to_vec();
        let file = std::fs::File::options().write(true).open(&image).unwrap();
        for number in 1..=8u8 {
            entry[3] = b'0' + number;
            let place = at + 32 * usize::from(number);
            file.write_all_at(&entry, place as u64).unwrap();
        }
        let why = walked().unwrap_err();
        assert!(why.message().contains("larger than itself"), "{why:?}");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
