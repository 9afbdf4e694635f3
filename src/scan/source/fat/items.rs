//! The entries of a FAT's directory.

/// How many bytes an entry has.
const ENTRY: usize = 32;

/// What entries are that hold a part of the long name of the one behind them.
const LONG: u8 = 0x0f;

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The long name, if it has one.
    pub(super) name: String,
    /// The name of 8 and 3 letters.
    pub(super) short: String,
    pub(super) is_dir: bool,
    /// Its first cluster.
    pub(super) first: u32,
    /// In bytes; nothing is said of directories.
    pub(super) size: u64,
}

/// A long name, of which the last part comes first.
struct Long {
    units: Vec<u16>,
    /// The number of the part that is next; 0 behind the last.
    next: u8,
    /// The sum of the short name that it is of.
    sum: u8,
}

/// All files and directories, as Linux reads them: an entry of zeroes is no end.
pub(super) fn items(content: &[u8], wide: bool) -> Vec<Item> {
    let (mut all, mut long) = (vec![], None::<Long>);
    for entry in content.chunks_exact(ENTRY) {
        let kind = entry[11];
        let before = long.take();
        // Deleted, or the label; the directory itself, and the one it is in.
        let free = matches!(entry[0], 0 | 0xe5);
        let dots = [&b".          "[..], b"..         "].contains(&&entry[..11]);
        if !free && kind == LONG {
            long = part(before, entry);
        } else if !free && kind & 0x08 == 0 && !dots {
            all.push(item(entry, before, wide));
        }
    }
    all
}

fn item(entry: &[u8], long: Option<Long>, wide: bool) -> Item {
    let short = short(entry);
    let long = long.filter(|long| long.next == 0 && long.sum == sum(&entry[..11]));
    let two = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
    let is_dir = entry[11] & 0x10 != 0;
    Item {
        name: long.map_or_else(|| short.clone(), |long| name(&long.units)),
        short,
        is_dir,
        first: two(26) | if wide { two(20) << 16 } else { 0 },
        size: match is_dir {
            true => 0,
            false => u64::from(two(28)) | u64::from(two(30)) << 16,
        },
    }
}

/// The long name with one part more.
fn part(long: Option<Long>, entry: &[u8]) -> Option<Long> {
    let number = entry[0] & 0x3f;
    let mut long = match entry[0] & 0x40 {
        0 => long?,
        _ => Long {
            units: vec![],
            next: number,
            sum: entry[13],
        },
    };
    if number == 0 || number != long.next || entry[13] != long.sum {
        return None;
    }
    let places = [&entry[1..11], &entry[14..26], &entry[28..32]].concat();
    let units = places.chunks_exact(2);
    let units = units.map(|two| u16::from_le_bytes([two[0], two[1]]));
    long.units = units.chain(long.units).collect();
    long.next -= 1;
    Some(long)
}

fn name(units: &[u16]) -> String {
    let end = units.iter().position(|unit| *unit == 0);
    String::from_utf16_lossy(&units[..end.unwrap_or(units.len())])
}

fn sum(short: &[u8]) -> u8 {
    let add = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
    short.iter().fold(0, add)
}

/// The short name, in the letters that Windows shows.
fn short(entry: &[u8]) -> String {
    let part = |bytes: &[u8], lower: bool| -> String {
        let letters = bytes.trim_ascii_end().iter().map(|byte| char::from(*byte));
        match lower {
            true => letters.map(|c| c.to_ascii_lowercase()).collect(),
            false => letters.collect(),
        }
    };
    let mut base = part(&entry[..8], entry[12] & 0x08 != 0);
    if entry[0] == 5 {
        base.replace_range(..1, "\u{e5}");
    }
    let end = part(&entry[8..11], entry[12] & 0x10 != 0);
    match end.is_empty() {
        true => base,
        false => format!("{base}.{end}"),
    }
}
