//! The stream-optimised form of VMware's disks, as "Virtual Disk Format 5.0" defines it.
//!
//! A stream is read from front to back: a header that promises its directory for the end, the
//! description, compressed grains by place, behind each 512 of them their table, then the
//! directory, a footer (the header with the directory's place) and the end-of-stream marker. All
//! numbers are little-endian, places count sectors. QEMU's own stream has its directory in front and
//! neither footer nor end: `findings/qemu-img-stream-optimised-vmdk.sh`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::{Compress, Compression, FlushCompress};

use crate::error::{Context as _, Result};
use crate::host::space::Frugal;
use crate::targets::identity::pieces;
use crate::ui::{StageUi, Unit};

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Bytes of a grain, the piece that is compressed by itself.
pub(super) const GRAIN: u64 = 64 << 10;
/// Grains of a table.
const GRAINS: u64 = 512;
/// Sectors of a table: four bytes a grain.
const TABLE: u64 = GRAINS * 4 / SECTOR;
/// Sectors of the description.
const DESCRIPTION: u64 = 20;
/// Where grains begin, in sectors.
const OVERHEAD: u64 = 128;
/// In place of the directory's, where that is at the end.
const AT_END: u64 = u64::MAX;

/// What a marker announces.
#[derive(Debug, Clone, Copy)]
enum Marker {
    End = 0,
    Table = 1,
    Directory = 2,
    Footer = 3,
}

/// Writes the raw disk, whose size is a multiple of [`GRAIN`], to `to`; `name` is its file's.
pub(super) fn write(raw: &Path, to: &Path, name: &str, ui: &StageUi) -> Result<()> {
    let file = File::open(raw).doing(|| format!("reading {}", raw.display()))?;
    let doing = || format!("writing {}", to.display());
    let size = file.metadata().doing(doing)?.len();
    let mut stream = Stream::new(Frugal::create(to).doing(doing)?, size / SECTOR).doing(doing)?;
    pieces(&file, GRAINS * GRAIN, |at, piece| {
        ui.progress(at, size, Unit::Bytes);
        stream.table(at, piece)
    })?;
    stream.finish(name).doing(doing)
}

struct Stream {
    to: BufWriter<Frugal>,
    /// Where the next byte goes.
    at: u64,
    /// Sectors of the disk.
    capacity: u64,
    directory: Vec<u32>,
    identity: blake3::Hasher,
}

impl Stream {
    fn new(file: Frugal, capacity: u64) -> io::Result<Self> {
        let tables = capacity.div_ceil(GRAINS * GRAIN / SECTOR);
        let mut stream = Stream {
            to: BufWriter::with_capacity(1 << 20, file),
            at: 0,
            capacity,
            directory: vec![0; tables as usize],
            identity: blake3::Hasher::new(),
        };
        stream.put(&header(capacity, AT_END))?;
        stream.put(&vec![0; ((OVERHEAD - 1) * SECTOR) as usize])?;
        Ok(stream)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Fills the sector.
    fn pad(&mut self) -> io::Result<()> {
        let rest = self.at.next_multiple_of(SECTOR) - self.at;
        self.put(&[0; SECTOR as usize][..rest as usize])
    }

    fn sector(&self) -> io::Result<u32> {
        let sector = u32::try_from(self.at / SECTOR);
        sector.map_err(|_| io::Error::other("a stream ends at 2 TiB"))
    }

    fn marker(&mut self, sectors: u64, kind: Marker) -> io::Result<()> {
        let mut marker = [0; SECTOR as usize];
        marker[..8].copy_from_slice(&sectors.to_le_bytes());
        marker[12..16].copy_from_slice(&(kind as u32).to_le_bytes());
        self.put(&marker)
    }

    /// The grains of one table, which begin at the disk's byte `from`, and the table.
    fn table(&mut self, from: u64, bytes: &[u8]) -> io::Result<()> {
        let mut table = [0u32; GRAINS as usize];
        for (index, grain) in compressed(bytes)?.into_iter().enumerate() {
            let Some(Grain { bytes, hash }) = grain else {
                continue;
            };
            let first = (from + index as u64 * GRAIN) / SECTOR;
            self.identity.update(&first.to_le_bytes());
            self.identity.update(hash.as_bytes());
            table[index] = self.sector()?;
            self.put(&first.to_le_bytes())?;
            self.put(&(bytes.len() as u32).to_le_bytes())?;
            self.put(&bytes)?;
            self.pad()?;
        }
        if table == [0; GRAINS as usize] {
            return Ok(());
        }
        self.marker(TABLE, Marker::Table)?;
        self.directory[(from / (GRAINS * GRAIN)) as usize] = self.sector()?;
        self.numbers(&table)
    }

    fn numbers(&mut self, numbers: &[u32]) -> io::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.put(&bytes)?;
        self.pad()
    }

    fn finish(mut self, name: &str) -> Result<()> {
        let doing = || "ending the stream".to_owned();
        let directory = std::mem::take(&mut self.directory);
        let sectors = (directory.len() as u64 * 4).div_ceil(SECTOR);
        self.marker(sectors, Marker::Directory).doing(doing)?;
        let place = u64::from(self.sector().doing(doing)?);
        self.numbers(&directory).doing(doing)?;
        self.marker(1, Marker::Footer).doing(doing)?;
        self.put(&header(self.capacity, place)).doing(doing)?;
        self.marker(0, Marker::End).doing(doing)?;
        let text = description(self.capacity, name, *self.identity.finalize().as_bytes());
        let file = self.to.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.doing(doing)?;
        std::os::unix::fs::FileExt::write_all_at(&*file, text.as_bytes(), SECTOR).doing(doing)?;
        file.sync_all().doing(doing)
    }
}

/// The header, and the footer, which differ in the directory's place only.
fn header(capacity: u64, directory: u64) -> [u8; SECTOR as usize] {
    let mut header = [0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDMV");
    put(4, &3u32.to_le_bytes());
    // Line ends can be tested, grains are compressed, there are markers.
    put(8, &0x3_0001u32.to_le_bytes());
    put(12, &capacity.to_le_bytes());
    put(20, &(GRAIN / SECTOR).to_le_bytes());
    put(28, &1u64.to_le_bytes());
    put(36, &DESCRIPTION.to_le_bytes());
    put(44, &(GRAINS as u32).to_le_bytes());
    put(56, &directory.to_le_bytes());
    put(64, &OVERHEAD.to_le_bytes());
    put(73, b"\n \r\n");
    // Deflate.
    put(77, &1u16.to_le_bytes());
    header
}

/// The text that tells of the disk. Its content's number is the disk's own.
fn description(capacity: u64, name: &str, identity: [u8; 32]) -> String {
    let content = hex::encode(&identity[..16]);
    // A number of only ones is that of no disk.
    let short = match &content[24..] {
        "ffffffff" | "fffffffe" => "fffffffd",
        short => short,
    };
    let cylinders = (capacity / (255 * 63)).clamp(1, 65_535);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={short}\nparentCID=ffffffff\n\
         createType=\"streamOptimized\"\n\n# Extent description\n\
         RW {capacity} SPARSE \"{name}\"\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.virtualHWVersion = \"13\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n\
         ddb.adapterType = \"lsilogic\"\nddb.toolsVersion = \"2147483647\"\n\
         ddb.longContentID = \"{}{short}\"\n",
        &content[..24]
    )
}

/// A grain that is not all zeroes.
struct Grain {
    /// In the form of zlib, RFC 1950.
    bytes: Vec<u8>,
    hash: blake3::Hash,
}

/// The grains of some bytes, by several processors; the same however many there are.
fn compressed(bytes: &[u8]) -> io::Result<Vec<Option<Grain>>> {
    let grains: Vec<&[u8]> = bytes.chunks(GRAIN as usize).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = grains.len().div_ceil(threads.min(8)).max(1);
    std::thread::scope(|scope| {
        let each = |grains: &[&[u8]]| grains.iter().map(|grain| deflate(grain)).collect();
        let workers: Vec<_> = grains
            .chunks(share)
            .map(|grains| scope.spawn(move || -> io::Result<Vec<_>> { each(grains) }))
            .collect();
        let mut all = Vec::with_capacity(grains.len());
        for worker in workers {
            let done = worker.join();
            all.extend(done.map_err(|_| io::Error::other("a compressor panicked"))??);
        }
        Ok(all)
    })
}

fn deflate(grain: &[u8]) -> io::Result<Option<Grain>> {
    if grain.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(grain.len() + 1024);
    let mut state = Compress::new(Compression::new(6), true);
    state
        .compress_vec(grain, &mut bytes, FlushCompress::Finish)
        .map_err(io::Error::other)?;
    match state.total_in() == grain.len() as u64 && bytes.len() < bytes.capacity() {
        true => Ok(Some(Grain {
            bytes,
            hash: blake3::hash(grain),
        })),
        false => Err(io::Error::other("deflate wants more room than there is")),
    }
}
