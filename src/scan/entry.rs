//! A file as the scan sees it, wherever it comes from.

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link; its target is not followed.
    Link,
    /// A block or character device.
    Device,
    /// A pipe or a socket.
    Other,
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Absolute path in the image.
    pub path: String,
    /// What kind of file it is.
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky: the low 12 bits of stat(2)'s mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Size of a regular file, in bytes.
    pub size: u64,
}

impl FileEntry {
    /// From the mode of stat(2).
    pub fn new(path: String, mode: u32, owner: (u32, u32), size: u64) -> Self {
        let kind = match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Dir,
            0o120_000 => Kind::Link,
            0o060_000 | 0o020_000 => Kind::Device,
            _ => Kind::Other,
        };
        FileEntry {
            path,
            kind,
            mode: mode & 0o7777,
            uid: owner.0,
            gid: owner.1,
            size,
        }
    }
}
