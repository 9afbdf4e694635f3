//! Archives of tar, where a file has its content at the first of its names.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::error::{Context as _, Result};
use crate::scan::stream::behind_zeroes;
use crate::scan::{FileEntry, Kind, Scanner};

/// How a file with holes is called in an archive of pax; the header has another name.
const SPARSE: &str = "GNU.sparse.name";

/// Where that is what is found behind the archive's end.
const BEHIND: &str = "/(behind the archive's end)";

/// Shows every member of a tar archive to the scanner, and what follows them.
pub(crate) fn tar(archive: impl Read, scanner: &mut Scanner<'_>) -> Result<()> {
    let doing = || "reading the archive".to_owned();
    let mut archive = tar::Archive::new(archive);
    let mut firsts = Firsts::default();
    for member in archive.entries().doing(doing)? {
        let mut member = member.doing(doing)?;
        let header = member.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => 0o040_000,
            tar::EntryType::Symlink => 0o120_000,
            tar::EntryType::Block | tar::EntryType::Char => 0o060_000,
            tar::EntryType::Fifo => 0o010_000,
            _ => 0o100_000,
        };
        let is_other_name = header.entry_type() == tar::EntryType::Link;
        let mode = kind | header.mode().unwrap_or(0) & 0o7777;
        let owner = (
            header.uid().unwrap_or(0) as u32,
            header.gid().unwrap_or(0) as u32,
        );
        let mut path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        for record in member.pax_extensions().ok().flatten().into_iter().flatten() {
            if let Ok(record) = record
                && record.key() == Ok(SPARSE)
            {
                path = String::from_utf8_lossy(record.value_bytes()).into_owned();
            }
        }
        let entry = FileEntry::new(rooted(&path), mode, owner, member.size());
        if is_other_name {
            let target = member.link_name_bytes().unwrap_or_default();
            let target = rooted(&String::from_utf8_lossy(&target));
            firsts.show(entry, &target, scanner)?;
        } else if matches!(entry.kind, Kind::Link | Kind::File) && entry.size <= SMALL {
            let mut content = vec![];
            let doing = || format!("reading {} of the image", entry.path);
            member.read_to_end(&mut content).doing(doing)?;
            scanner.take(&entry, &mut content.as_slice())?;
            firsts.keep(entry, Some(content));
        } else {
            scanner.take(&entry, &mut member)?;
            firsts.keep(entry, None);
        }
    }
    let mut rest = archive.into_inner();
    if let Some(mut rest) = behind_zeroes(&mut rest).doing(doing)? {
        // How much it is nobody knows.
        scanner.take_bytes(BEHIND, 1, None, &mut rest)?;
        io::copy(&mut rest, &mut io::sink()).doing(doing)?;
    }
    Ok(())
}

/// The path in the image of a member that is called so.
fn rooted(name: &str) -> String {
    format!(
        "/{}",
        name.strip_prefix('.').unwrap_or(name).trim_matches('/')
    )
}

/// How large a file may be that is kept, in bytes. What rules know by its path is small.
const SMALL: u64 = 16 << 10;

/// How much is kept of one archive, in bytes, and about what it takes to keep a file.
const KEPT: usize = 128 << 20;
const RECORD: usize = 160;

/// Files by their path, which may come again under another name, and the content of small ones.
#[derive(Default)]
struct Firsts {
    files: HashMap<String, (FileEntry, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Firsts {
    fn keep(&mut self, entry: FileEntry, mut content: Option<Vec<u8>>) {
        self.files.remove(&entry.path);
        let size = content.as_ref().map_or(0, Vec::len);
        let bytes = self.bytes + RECORD + 2 * entry.path.len() + size;
        if entry.kind != Kind::Dir && bytes <= KEPT {
            self.bytes = bytes;
            if let Some(content) = &mut content {
                content.shrink_to_fit();
            }
            self.files.insert(entry.path.clone(), (entry, content));
        }
    }

    /// Shows another name of the file `target`, as any file if its content is kept.
    fn show(&mut self, entry: FileEntry, target: &str, scanner: &mut Scanner<'_>) -> Result<()> {
        let Some((first, content)) = self.files.get(target).cloned() else {
            return scanner.take_name(&entry, target, false);
        };
        let path = entry.path;
        let entry = FileEntry { path, ..first };
        match &content {
            Some(content) => scanner.take(&entry, &mut content.as_slice())?,
            None => scanner.take_name(&entry, target, true)?,
        }
        self.keep(entry, content);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::scan::tests::{found, gzip, secret};
    use crate::scan::{KNOWN_SECRET, Subject};

    /// An archive of files and of other names of files: path, content, target.
    fn archive(members: &[(&str, &[u8], &str)]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(vec![]);
        for (path, content, target) in members {
            let mut header = ::tar::Header::new_gnu();
            header.set_mode(0o644);
            if target.is_empty() {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, *content).unwrap();
            } else {
                header.set_entry_type(::tar::EntryType::Link);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    /// What an archive has, as `rule path`.
    fn found_in(archive: &[u8], subject: &Subject) -> Vec<String> {
        let report = crate::scan::tar(archive, subject).unwrap();
        let said = report.findings.iter();
        said.map(|f| format!("{} {}", f.rule, f.path)).collect()
    }

    /// As `cp -al` makes them, and an archive has the backup first.
    #[test]
    fn the_other_name_of_a_file_is_judged_as_its_first() {
        let id: &[u8] = b"0123456789abcdef0123456789abcdef\n";
        let line = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{} ops\n", "A".repeat(48));
        let large = "x\n".repeat(1 << 20);
        let members: &[(&str, &[u8], &str)] = &[
            ("./backup/id", id, ""),
            ("./backup/keys", line.as_bytes(), ""),
            ("./backup/history", b"mount /dev/sdb /mnt\n", ""),
            ("./backup/large", large.as_bytes(), ""),
            ("./etc/machine-id", b"", "./backup/id"),
            ("./root/.ssh/authorized_keys", b"", "./backup/keys"),
            ("./root/.bash_history", b"", "backup/history"),
            ("./home/ann/.ssh/authorized_keys", b"", "./backup/large"),
            ("./var/lib/large", b"", "./backup/large"),
        ];
        let all = found_in(&archive(members), &Subject::default());
        let expected = [
            "authorized-keys /root/.ssh/authorized_keys",
            "machine-id /etc/machine-id",
            "not-searched /home/ann/.ssh/authorized_keys",
            "shell-history /root/.bash_history",
        ];
        assert_eq!(all, expected);
        // Where the first name is the secret's place, the other is not.
        let mut subject = Subject::default();
        subject
            .known
            .add("hash", b"$6$saltsalt$0123456789", &["/etc/shadow"]);
        let shadow = b"ops:$6$saltsalt$0123456789:1::::::\n";
        let members: &[(&str, &[u8], &str)] = &[
            ("etc/shadow", shadow, ""),
            ("srv/shadow", b"", "etc/shadow"),
        ];
        let all = found_in(&archive(members), &subject);
        assert!(
            all.contains(&format!("{KNOWN_SECRET} /srv/shadow")),
            "{all:?}"
        );
    }

    #[test]
    fn what_follows_the_end_of_an_archive_is_searched() {
        let value = "correct/horse battery+staple";
        let subject = secret(value);
        let packed = gzip(value.as_bytes());
        let second = archive(&[("a.gz", &packed, "")]);
        let plain = archive(&[("plain", b"nothing", "")]);
        for rest in [value.as_bytes(), &packed, &second] {
            let both = [&plain, &[0; 5120][..], rest, &[0; 1024]].concat();
            let all = found_in(&both, &subject);
            assert_eq!(all, [format!("{KNOWN_SECRET} /(behind the archive's end)")]);
            assert_eq!(
                found(&[("a.tar", &both)], &subject),
                [format!("{KNOWN_SECRET} /a.tar")]
            );
        }
        assert_eq!(found_in(&plain, &subject), [] as [String; 0]);
    }
}
