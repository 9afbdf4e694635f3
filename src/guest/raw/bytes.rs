//! Calls that take or give bytes with their number, which the table of calls has no form for.

use std::ffi::c_char;

use super::Raw;
use super::convert::Argument;
use crate::error::{Error, Result};
use crate::guest::Guestfs;

/// The largest file that is read whole, in bytes: configuration has a thousandth of it.
const LARGEST: u64 = 64 << 20;

impl Guestfs {
    /// Writes a file with these bytes.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let content = content.as_ref();
        self.attempt(
            || format!("writing {path}"),
            |raw| {
                let path = path.hold()?;
                raw.call(|lib, handle| {
                    let (bytes, length) = (content.as_ptr().cast(), content.len());
                    // SAFETY: as in the table; the content's length is given.
                    unsafe { (lib.write)(handle, path.as_ptr(), bytes, length) }
                })
            },
        )
    }

    /// Appends bytes to a file.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn append(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let content = content.as_ref();
        self.attempt(
            || format!("appending to {path}"),
            |raw| {
                let path = path.hold()?;
                raw.call(|lib, handle| {
                    let (bytes, length) = (content.as_ptr().cast(), content.len());
                    // SAFETY: as in write().
                    unsafe { (lib.write_append)(handle, path.as_ptr(), bytes, length) }
                })
            },
        )
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let refused = |why: &str| Error::stage(format!("{path} of the guest {why}"));
        if !self.is_file(path)? {
            if self.exists(path)? {
                return Err(refused("is no regular file"));
            }
        } else if self.file_size(path)? > LARGEST {
            return Err(refused("is too large to be what its name says"));
        }
        self.attempt(
            || format!("reading {path}"),
            |raw| {
                let path = path.hold()?;
                raw.call(|lib, handle| {
                    let mut length = 0;
                    // SAFETY: as in the table; libguestfs sets the length.
                    let bytes = unsafe { (lib.read_file)(handle, path.as_ptr(), &raw mut length) };
                    (bytes, length)
                })
            },
        )
    }

    /// At most `count` bytes of a device from `offset` on.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn read_device(&self, device: &str, count: i32, offset: i64) -> Result<Vec<u8>> {
        self.attempt(
            || format!("reading {device}"),
            |raw| {
                let device = device.hold()?;
                raw.call(|lib, handle| {
                    let mut length = 0;
                    let (device, got) = (device.as_ptr(), &raw mut length);
                    // SAFETY: as in read_file().
                    let bytes = unsafe { (lib.pread_device)(handle, device, count, offset, got) };
                    (bytes, length)
                })
            },
        )
    }

    /// At most `count` bytes of a file from `offset` on.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn read_part(&self, path: &str, count: i32, offset: i64) -> Result<Vec<u8>> {
        self.attempt(
            || format!("reading {path}"),
            |raw| {
                let path = path.hold()?;
                raw.call(|lib, handle| {
                    let mut length = 0;
                    let (path, got) = (path.as_ptr(), &raw mut length);
                    // SAFETY: as in read_file().
                    let bytes = unsafe { (lib.pread)(handle, path, count, offset, got) };
                    (bytes, length)
                })
            },
        )
    }

    /// Writes bytes into a device at `offset`.
    ///
    /// # Errors
    /// With libguestfs' own text, or when not everything could be written.
    pub fn write_device(&self, device: &str, content: &[u8], offset: i64) -> Result<()> {
        self.attempt(
            || format!("writing to {device}"),
            |raw| {
                let device = device.hold()?;
                whole(raw, content, |lib, handle, bytes, length| {
                    // SAFETY: as in write().
                    unsafe { (lib.pwrite_device)(handle, device.as_ptr(), bytes, length, offset) }
                })
            },
        )
    }

    /// Writes bytes into a file at `offset`; the rest of it stays.
    ///
    /// # Errors
    /// With libguestfs' own text, or when not everything could be written.
    pub fn write_part(&self, path: &str, content: &[u8], offset: i64) -> Result<()> {
        self.attempt(
            || format!("writing to {path}"),
            |raw| {
                let path = path.hold()?;
                whole(raw, content, |lib, handle, bytes, length| {
                    // SAFETY: as in write().
                    unsafe { (lib.pwrite)(handle, path.as_ptr(), bytes, length, offset) }
                })
            },
        )
    }

    /// An extended attribute of a file; symbolic links are not followed.
    ///
    /// # Errors
    /// With libguestfs' own text, also when the file has no such attribute.
    pub fn attribute(&self, path: &str, name: &str) -> Result<Vec<u8>> {
        self.attempt(
            || format!("reading the attribute {name} of {path}"),
            |raw| {
                let (path, name) = (path.hold()?, name.hold()?);
                raw.call(|lib, handle| {
                    let mut length = 0;
                    let (path, name, got) = (path.as_ptr(), name.as_ptr(), &raw mut length);
                    // SAFETY: as in read_file().
                    let bytes = unsafe { (lib.lgetxattr)(handle, path, name, got) };
                    (bytes, length)
                })
            },
        )
    }
}

/// Writes everything or fails.
fn whole(
    raw: &Raw,
    content: &[u8],
    write: impl FnOnce(&guestfs_sys::Library, *mut guestfs_sys::Handle, *const c_char, usize) -> i32,
) -> Result<(), String> {
    let written: i32 = raw.call(|lib, handle| {
        let (bytes, length) = (content.as_ptr().cast(), content.len());
        write(lib, handle, bytes, length)
    })?;
    match usize::try_from(written) {
        Ok(count) if count == content.len() => Ok(()),
        _ => Err(format!("{written} of {} bytes were written", content.len())),
    }
}
