//! Where a FAT has what: its clusters, and the chains of them.

use std::io;
use std::ops::Range;

use super::super::at::At;

/// More clusters than this are not counted: the table would take too much memory.
const CLUSTERS: u64 = 1 << 24;

/// What the table says of the last cluster of a chain.
const END: u32 = u32::MAX;

/// A FAT of any size, whose chains are taken once each.
#[derive(Debug)]
pub(super) struct System {
    /// Whether it is FAT32.
    pub(super) wide: bool,
    /// How many bytes a cluster has.
    pub(super) cluster: u64,
    /// The first byte of the first cluster on the disk.
    data: u64,
    /// FAT32 has its root directory in clusters, others here.
    root: Result<u32, Range<u64>>,
    /// What follows each cluster in its chain: 0 where it is free, bad or taken.
    next: Vec<u32>,
}

/// The clusters of a file or directory.
#[derive(Debug)]
pub(super) struct Chain {
    /// Where they are on the disk, in bytes.
    pub(super) runs: Vec<Range<u64>>,
    /// Whether all that were wanted are there.
    pub(super) whole: bool,
}

impl System {
    /// Reads the table of the volume that begins at `start`; nothing where the boot sector says what
    /// Linux does not take, too much, or that one of several tables is used alone.
    pub(super) fn read(file: &dyn At, start: u64) -> io::Result<Option<Self>> {
        let mut boot = [0; 512];
        file.fill(&mut boot, start)?;
        let short = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let either = |first: usize, second: usize| match short(first) {
            0 => short(second) | short(second + 2) << 16,
            number => number,
        };
        let (sector, per, reserved) = (short(11), u64::from(boot[13]), short(14));
        let (copies, in_root) = (u64::from(boot[16]), short(17));
        let (sectors, table, wide) = (either(19, 32), either(22, 36), short(22) == 0);
        let sane = sector.is_power_of_two() && (512..=4096).contains(&sector);
        if !sane || !per.is_power_of_two() || reserved == 0 || copies == 0 || table == 0 {
            return Ok(None);
        }
        if wide && short(40) & 0x80 != 0 {
            return Ok(None);
        }
        let root = reserved + copies * table;
        let data = root + (in_root * 32).div_ceil(sector);
        let clusters = sectors.saturating_sub(data) / per;
        let bits = match clusters {
            _ if wide => 32,
            0..4085 => 12,
            _ => 16,
        };
        let clusters = clusters.min((table * sector * 8 / bits).saturating_sub(2));
        if clusters == 0 || clusters > CLUSTERS {
            return Ok(None);
        }
        let mut table = vec![0; ((clusters + 2) * bits).div_ceil(8) as usize];
        file.fill(&mut table, start + reserved * sector)?;
        let of = |sectors: u64| start + sectors * sector;
        Ok(Some(System {
            wide,
            cluster: sector * per,
            data: of(data),
            root: match wide {
                true => Ok((short(44) | short(46) << 16) as u32),
                false => Err(of(root)..of(root) + in_root * 32),
            },
            next: entries(&table, bits, clusters as usize + 2),
        }))
    }

    /// Takes the root directory.
    pub(super) fn root(&mut self, most: u64) -> Chain {
        match self.root.clone() {
            Ok(first) => self.directory(first, most),
            Err(place) => Chain {
                runs: vec![place],
                whole: true,
            },
        }
    }

    /// Takes the chain of a directory, at most so many bytes of it.
    pub(super) fn directory(&mut self, first: u32, most: u64) -> Chain {
        let (runs, broken) = self.take(first, most.div_ceil(self.cluster));
        Chain {
            runs,
            whole: !broken,
        }
    }

    /// Takes as many clusters as a file of so many bytes has.
    pub(super) fn file(&mut self, first: u32, size: u64) -> Chain {
        let wanted = size.div_ceil(self.cluster);
        let (runs, _) = self.take(first, wanted);
        let bytes: u64 = runs.iter().map(|run| run.end - run.start).sum();
        Chain {
            runs,
            whole: bytes == wanted * self.cluster,
        }
    }

    /// Takes at most so many clusters of a chain; and whether it goes on where nothing is, or what
    /// is taken.
    fn take(&mut self, first: u32, most: u64) -> (Vec<Range<u64>>, bool) {
        let (mut runs, mut at) = (Vec::<Range<u64>>::new(), first);
        for _ in 0..most {
            let next = match self.next.get_mut(at as usize) {
                Some(next) if at >= 2 && *next != 0 => std::mem::take(next),
                _ => return (runs, true),
            };
            let start = self.place(at);
            match runs.last_mut() {
                Some(last) if last.end == start => last.end += self.cluster,
                _ => runs.push(start..start + self.cluster),
            }
            if next == END {
                break;
            }
            at = next;
        }
        (runs, false)
    }

    /// The first byte of a cluster on the disk.
    pub(super) fn place(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster - 2) * self.cluster
    }

    /// How many clusters are in use that nobody has taken.
    pub(super) fn lost(&self) -> usize {
        let used = self.next.iter().skip(2);
        used.filter(|next| **next != 0).count()
    }
}

fn entries(table: &[u8], bits: u64, count: usize) -> Vec<u32> {
    let two = |at: usize| u32::from(u16::from_le_bytes([table[at], table[at + 1]]));
    let entry = |n: usize| match bits {
        12 => two(n * 3 / 2) >> (n % 2 * 4) & 0xfff,
        16 => two(n * 2),
        _ => (two(n * 4) | two(n * 4 + 2) << 16) & 0x0fff_ffff,
    };
    let end = match bits {
        12 => 0xff8,
        16 => 0xfff8,
        _ => 0x0fff_fff8,
    };
    let known = |entry: u32| match entry {
        entry if entry >= end => END,
        // A bad one, which is nobody's.
        entry if entry == end - 1 => 0,
        entry => entry,
    };
    (0..count).map(|n| known(entry(n))).collect()
}
