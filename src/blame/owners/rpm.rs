//! What RPM knows: a header for each package (rpm's docs/manual/format_header.md), in a database of one
//! of three kinds.

mod bdb;
mod ndb;
mod sqlite;

use std::collections::BTreeMap;

use super::Known;
use crate::guest;
use crate::sbom::Package;

/// Where systems have them: Fedora and its relatives, openSUSE, older ones.
const DIRS: [&str; 2] = ["/usr/lib/sysimage/rpm/", "/var/lib/rpm/"];

/// What each is called there, and how it is read: the file, and SQLite's log beside it.
const KINDS: [(&str, Reader); 3] = [
    ("rpmdb.sqlite", sqlite::headers),
    ("Packages.db", ndb::headers),
    ("Packages", bdb::headers),
];

/// What SQLite's log is called.
const LOG: &str = "-wal";

/// The headers of a database; nothing of what is none.
type Reader = fn(&[u8], &[u8]) -> Option<Vec<Vec<u8>>>;

pub(super) fn is_database(path: &str) -> bool {
    let name = DIRS.iter().find_map(|dir| path.strip_prefix(dir));
    let name = name.map(|name| name.strip_suffix(LOG).unwrap_or(name));
    name.is_some_and(|name| KINDS.iter().any(|(kind, _)| *kind == name))
}

pub(super) fn learn(databases: &BTreeMap<String, Vec<u8>>, known: &mut Known) {
    for (path, file) in databases {
        let name = DIRS.iter().find_map(|dir| path.strip_prefix(dir));
        let Some((_, read)) = KINDS.iter().find(|(kind, _)| Some(*kind) == name) else {
            continue;
        };
        // rpm makes an empty one where it looks first.
        if file.is_empty() {
            continue;
        }
        let log = databases.get(&format!("{path}{LOG}"));
        let Some(headers) = read(file, log.map_or(&[], Vec::as_slice)) else {
            known.unread.push(format!(
                "{path}: it is no database of RPM's that is read here"
            ));
            continue;
        };
        let broken = headers.iter().filter(|header| add(header, known).is_none());
        let broken = broken.count();
        if broken > 0 {
            known
                .unread
                .push(format!("{path}: {broken} of its packages cannot be read"));
        }
    }
}

/// Adds the package of a header; nothing where it is damaged.
fn add(header: &[u8], known: &mut Known) -> Option<()> {
    let header = Header::new(header)?;
    let text = |tag| Some(String::from_utf8_lossy(header.texts(tag).next()?).into_owned());
    let number = known.packages.len();
    known.packages.push(Package::of(&guest::Package {
        name: text(NAME)?,
        epoch: header.numbers(EPOCH).next().unwrap_or(0),
        version: text(VERSION)?,
        release: text(RELEASE).unwrap_or_default(),
        arch: text(ARCH).unwrap_or_default(),
        source: text(SOURCE).unwrap_or_default(),
    }));
    let dirs: Vec<&[u8]> = header.texts(DIRECTORIES).collect();
    let (mut flags, mut states) = (header.numbers(FLAGS), header.bytes(STATES).iter());
    for (name, dir) in header.texts(NAMES).zip(header.numbers(DIRECTORY)) {
        let (flags, state) = (flags.next().unwrap_or(0), states.next().unwrap_or(&0));
        let dir = dirs.get(dir as usize)?;
        if ABSENT.contains(state) {
            continue;
        }
        if known.is_full() {
            break;
        }
        let path = String::from_utf8_lossy(&[dir, name].concat()).into_owned();
        // Of a directory, it ends with its name.
        let path = path.trim_end_matches('/').to_owned();
        if flags & CONFIG != 0 {
            known.conffiles.insert(path.clone());
        }
        known.list(path, number);
    }
    Some(())
}

/// Tags of a header (rpmtag.h).
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
const STATES: u32 = 1029;
const FLAGS: u32 = 1037;
const SOURCE: u32 = 1044;
const DIRECTORY: u32 = 1116;
const NAMES: u32 = 1117;
const DIRECTORIES: u32 = 1118;

/// A file that is a configuration file, of [`FLAGS`].
const CONFIG: u32 = 1;

/// Files that are another package's, or not there, of [`STATES`]: replaced, not installed, of another
/// architecture.
const ABSENT: [u8; 3] = [1, 2, 4];

/// How many entries of a header are looked at; a kernel's has a hundred.
const ENTRIES: usize = 1 << 12;

/// A header: how many entries it has, how many bytes of data, the entries, the data.
struct Header<'h> {
    entries: &'h [u8],
    data: &'h [u8],
}

impl<'h> Header<'h> {
    fn new(bytes: &'h [u8]) -> Option<Self> {
        let (count, length) = (big(bytes, 0)?, big(bytes, 4)?);
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= ENTRIES)?;
        let entries = bytes.get(8..8 + count * 16)?;
        let rest = &bytes[8 + count * 16..];
        let data = rest.get(..usize::try_from(length).ok()?)?;
        Some(Header { entries, data })
    }

    /// Where the values of a tag begin, and how many there are.
    fn find(&self, tag: u32) -> (&'h [u8], usize) {
        let mut entries = self.entries.chunks_exact(16);
        let found = entries.find(|entry| big(entry, 0) == Some(tag));
        let found = found.and_then(|entry| {
            let data = self.data.get(big(entry, 8)? as usize..)?;
            Some((data, big(entry, 12)? as usize))
        });
        found.unwrap_or_default()
    }

    fn bytes(&self, tag: u32) -> &'h [u8] {
        let (data, count) = self.find(tag);
        data.get(..count).unwrap_or_default()
    }

    fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> + use<'h> {
        let (data, count) = self.find(tag);
        let numbers = data.chunks_exact(4).take(count);
        numbers.map(|bytes| big(bytes, 0).unwrap_or_default())
    }

    fn texts(&self, tag: u32) -> impl Iterator<Item = &'h [u8]> + use<'h> {
        let (data, count) = self.find(tag);
        data.split(|byte| *byte == 0).take(count)
    }
}

/// The number of 32 bits at `at`, the highest byte first.
fn big(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The same, the lowest byte first.
fn little(bytes: &[u8], at: usize) -> Option<u32> {
    big(bytes, at).map(u32::swap_bytes)
}

#[cfg(test)]
mod tests;
