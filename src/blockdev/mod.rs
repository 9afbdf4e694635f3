//! Disks, written to as such.

mod list;

use std::fmt::Debug;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};

use crate::error::{Context as _, Error, Result};
use crate::ext4::At;
use crate::host::sparse;
pub use list::disks;

/// Bytes of the sectors that images are made of.
pub const SECTOR: usize = 512;

/// Bytes read or written at once where a disk makes no zeros by itself.
const PIECE: usize = 1 << 20;

/// Where memory begins that goes to a disk without the page cache.
const ALIGNED: usize = 4096;

const LIST: &str = "see which disks there are: lsblk -o NAME,SIZE,SERIAL,TRAN,MODEL";

/// What is written to when a disk is: the disk itself, or what a test puts in its place.
pub trait Device: Debug + Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads all of `into` from byte `at` on.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, into: &mut [u8], at: u64) -> Result<()>;

    /// Writes; it lasts after the next [`Device::flush`].
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&self, bytes: &[u8], at: u64) -> Result<()>;

    /// Makes `len` bytes zeros.
    ///
    /// # Errors
    /// When they cannot be written.
    fn zero(&self, at: u64, len: u64) -> Result<()>;

    /// Makes all that was written last.
    ///
    /// # Errors
    /// When that fails: nobody knows then what has been written.
    fn flush(&self) -> Result<()>;

    /// Writes the first sector and nothing beside it, and makes it last.
    ///
    /// # Errors
    /// As [`Device::write`].
    fn write_first(&self, sector: &[u8; SECTOR]) -> Result<()>;
}

/// A disk of this host, or a file that stands for one. Nobody else writes to it by imgforge, and udev
/// keeps away, as long as this lives.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Has the lock.
    lock: File,
    file: File,
    size: u64,
    is_device: bool,
    /// Whether it makes zeros by itself, as far as is known.
    punches: AtomicBool,
}

impl Disk {
    /// Opens a disk to look at it: nothing is written.
    ///
    /// # Errors
    /// When it cannot be read, is no whole disk and no file, has sectors that no image has, or another
    /// imgforge works on it.
    pub fn open(path: &Path) -> Result<Disk> {
        let shown = path.display();
        if path.as_os_str().as_bytes().contains(&b'?') {
            // Programs of e2fsprogs would open what is named so up to there.
            return Err(Error::usage(format!("{shown} has a `?` in its name")).hint(LIST));
        }
        // Nobody waits for who writes into a pipe.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                return Err(Error::usage(format!("there is no disk {shown}")).hint(LIST));
            }
            Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
                return Err(Error::host(format!("{shown} cannot be read"))
                    .cause(cause)
                    .hint("run it as root"));
            }
            opened => opened.doing(|| format!("opening {shown}"))?,
        };
        let doing = || format!("reading {shown}");
        let about = file.metadata().doing(doing)?;
        let kind = about.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::usage(format!("{shown} is not a disk")).hint(LIST));
        }
        if kind.is_block_device() && is_partition(Path::new("/sys"), about.rdev()) {
            return Err(Error::usage(format!("{shown} is a partition, and not a disk"))
                .cause("an image has a partition table of its own: no machine would boot from there")
                .hint(LIST));
        }
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::host(format!("another program works on {shown}"))
                .hint(format!("look for it: fuser -v {shown}")));
        }
        let is_device = kind.is_block_device();
        if is_device {
            let sector = rustix::fs::ioctl_blksszget(&file).map_err(std::io::Error::from);
            let sector = sector.doing(doing)?;
            if sector as usize != SECTOR {
                return Err(Error::host(format!("{shown} has sectors of {sector} bytes"))
                    .cause("images are made for sectors of 512 bytes: firmware would not find their partitions")
                    .hint("choose another disk, or format it so: `nvme format --lbaf` where the disk can"));
            }
        }
        let size = (&file).seek(SeekFrom::End(0)).doing(doing)?;
        Ok(Disk {
            path: path.to_owned(),
            file: file.try_clone().doing(doing)?,
            lock: file,
            size: size / SECTOR as u64 * SECTOR as u64,
            is_device,
            punches: AtomicBool::new(true),
        })
    }

    /// From now on it may be written to.
    ///
    /// # Errors
    /// When it is in use, or cannot be written to.
    pub fn make_writable(&mut self) -> Result<()> {
        if self.is_device {
            // The kernel refuses what is mounted, or has something on it that is in use. It is not kept: the
            // programs that adapt a file system ask for the same.
            drop(self.open_as(OFlags::EXCL)?);
        }
        self.file = self.open_as(OFlags::empty())?;
        Ok(())
    }

    fn open_as(&self, flags: OFlags) -> Result<File> {
        let shown = self.path.display();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match options.custom_flags(flags.bits() as i32).open(&self.path) {
            Err(cause) if cause.kind() == ErrorKind::ResourceBusy => {
                Err(Error::host(format!("{shown} is in use"))
                    .cause(
                        "a file system or swap space of it is mounted, or a volume on it is active",
                    )
                    .hint(format!(
                        "see what: lsblk {shown}; unmount it, or choose another disk"
                    )))
            }
            Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
                Err(Error::host(format!("{shown} cannot be written to"))
                    .cause(cause)
                    .hint("run it as root"))
            }
            opened => {
                let doing = || format!("opening {shown}");
                let file = opened.doing(doing)?;
                let [was, now] = [&self.lock, &file].map(File::metadata);
                match is_same(&was.doing(doing)?, &now.doing(doing)?) {
                    true => Ok(file),
                    false => Err(Error::host(format!("{shown} is another disk meanwhile"))
                        .cause("nothing was written to that one")
                        .hint("see which disks there are, and run the command again")),
                }
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a disk, and not a file.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.is_device
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} {}", self.path.display())
    }

    /// Makes zeros where something else is, so that nothing is worn for what is there already.
    fn zero_by_hand(&self, at: u64, len: u64) -> Result<()> {
        let mut buffer = vec![0; PIECE.min(len as usize)];
        let (mut at, end) = (at, at + len);
        while at < end {
            let some = PIECE.min((end - at) as usize);
            self.read(&mut buffer[..some], at)?;
            if !sparse::is_zero(&buffer[..some]) {
                buffer[..some].fill(0);
                self.write(&buffer[..some], at)?;
            }
            at += some as u64;
        }
        Ok(())
    }
}

/// Whether two open files are the same device, or the same file.
fn is_same(was: &Metadata, now: &Metadata) -> bool {
    match was.file_type().is_block_device() {
        true => now.file_type().is_block_device() && was.rdev() == now.rdev(),
        false => (was.dev(), was.ino()) == (now.dev(), now.ino()),
    }
}

/// Whether the block device with this number is a part of another one. `sys` is `/sys`.
fn is_partition(sys: &Path, number: u64) -> bool {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    sys.join(format!("dev/block/{major}:{minor}/partition"))
        .exists()
}

impl Device for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, into: &mut [u8], at: u64) -> Result<()> {
        let read = self.file.read_exact_at(into, at);
        read.doing(|| self.doing("reading"))
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, at);
        written.doing(|| self.doing("writing"))
    }

    fn zero(&self, at: u64, len: u64) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if self.punches.load(Ordering::Relaxed) {
            if fallocate(&self.file, flags, at, len).is_ok() {
                return Ok(());
            }
            self.punches.store(false, Ordering::Relaxed);
        }
        self.zero_by_hand(at, len)
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().doing(|| self.doing("writing"))
    }

    /// Through the page cache, the seven sectors behind it would go along.
    fn write_first(&self, sector: &[u8; SECTOR]) -> Result<()> {
        if !self.is_device {
            self.write(sector, 0)?;
            return self.flush();
        }
        let direct = self.open_as(OFlags::DIRECT)?;
        let mut room = [0; 2 * ALIGNED];
        let at = room.as_ptr().align_offset(ALIGNED);
        let bytes = &mut room[at..at + SECTOR];
        bytes.copy_from_slice(sector);
        let written = direct.write_all_at(bytes, 0);
        written.doing(|| self.doing("writing"))?;
        direct.sync_data().doing(|| self.doing("writing"))
    }
}

/// For what reads file systems.
impl At for Disk {
    fn fill(&self, into: &mut [u8], at: u64) -> std::io::Result<()> {
        self.file.read_exact_at(into, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_has_taken_the_place_of_the_chosen_one_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let [link, chosen, other] = ["link", "chosen", "other"].map(|name| dir.path().join(name));
        for file in [&chosen, &other] {
            std::fs::write(file, [7; 4096]).unwrap();
        }
        std::os::unix::fs::symlink(&chosen, &link).unwrap();
        let mut disk = Disk::open(&link).unwrap();
        disk.make_writable().unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let error = disk.make_writable().unwrap_err();
        assert!(
            error.message().ends_with("is another disk meanwhile"),
            "{}",
            error.render()
        );
    }

    #[test]
    fn a_partition_is_told_from_a_disk() {
        let sys = tempfile::tempdir().unwrap();
        let dir = |name: &str| sys.path().join("dev/block").join(name);
        std::fs::create_dir_all(dir("8:0")).unwrap();
        std::fs::create_dir_all(dir("8:1")).unwrap();
        std::fs::write(dir("8:1").join("partition"), "1\n").unwrap();
        let is = |minor| is_partition(sys.path(), rustix::fs::makedev(8, minor));
        assert_eq!((is(0), is(1)), (false, true));
    }
}
