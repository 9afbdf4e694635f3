//! Files for the guest: what a step sends, before it becomes an archive.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};

/// Something that goes into an archive.
#[derive(Debug, Clone)]
pub struct ArchiveEntry {
    /// Path relative to where the archive is unpacked.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What an [`ArchiveEntry`] is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A file with the bytes of this file of the host.
    File(PathBuf),
    /// A symbolic link.
    Link(PathBuf),
    /// An empty directory.
    Dir,
    /// An archive.
    Archive(Vec<ArchiveEntry>),
}

impl ArchiveEntry {
    /// A file that only root reads.
    pub fn bytes(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let (path, content) = (path.into(), Content::Bytes(bytes.into()));
        ArchiveEntry {
            path,
            mode: 0o600,
            content,
        }
    }

    pub(crate) fn archive(path: impl Into<String>, entries: Vec<ArchiveEntry>) -> Self {
        let (path, content) = (path.into(), Content::Archive(entries));
        ArchiveEntry {
            path,
            mode: 0o600,
            content,
        }
    }
}

/// The file `source`, or files and links below it. A recipe that names a link means what it leads
/// to, which its caller has found to be in the repository; links below it stay links. Directories
/// only when empty: in the guest a directory of the same name may be a link, which an archive's own
/// entry would replace.
///
/// # Errors
/// When something cannot be read, or is neither a file, a link nor a directory.
pub fn collect(
    source: &Path,
    path: String,
    mode: Option<u32>,
    entries: &mut Vec<ArchiveEntry>,
) -> Result<()> {
    let meta = std::fs::metadata(source).doing(|| format!("reading {}", source.display()))?;
    add(source, &meta, path, mode, entries)
}

fn add(
    source: &Path,
    meta: &Metadata,
    path: String,
    mode: Option<u32>,
    entries: &mut Vec<ArchiveEntry>,
) -> Result<()> {
    let doing = || format!("reading {}", source.display());
    if path.contains('\n') {
        return Err(Error::usage(format!(
            "the name of {} has a line break",
            source.display()
        )));
    }
    if meta.is_dir() {
        let mut children: Vec<PathBuf> = std::fs::read_dir(source)
            .doing(doing)?
            .map(|child| child.map(|c| c.path()).doing(doing))
            .collect::<Result<_>>()?;
        children.sort();
        if children.is_empty() {
            entries.push(ArchiveEntry {
                path,
                mode: 0o755,
                content: Content::Dir,
            });
            return Ok(());
        }
        for child in children {
            let name = child
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let below = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            let meta = child.symlink_metadata().doing(doing)?;
            add(&child, &meta, below, mode, entries)?;
        }
    } else if meta.is_symlink() {
        let target = std::fs::read_link(source).doing(doing)?;
        entries.push(ArchiveEntry {
            path,
            mode: 0o777,
            content: Content::Link(target),
        });
    } else if meta.is_file() {
        let usual = if meta.permissions().mode() & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        let content = Content::File(source.to_owned());
        entries.push(ArchiveEntry {
            path,
            mode: mode.unwrap_or(usual),
            content,
        });
    } else {
        return Err(Error::usage(format!(
            "{} is neither a file nor a directory",
            source.display()
        )));
    }
    Ok(())
}
