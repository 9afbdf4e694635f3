//! The files of an image as one archive: sorted, numeric owners, times not newer than the image.

use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Write};

use super::tree::{Kind, NO_INODE, Node, Tree};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;

/// What the header of ustar holds of a path.
const SHORT: usize = 100;

/// Writes the nodes (sorted by path) as an archive; `newest` is the latest time in it, in seconds
/// since 1970. Devices, pipes and sockets are left out. Equal trees give equal bytes.
pub(super) fn write<W: Write>(tree: &Tree, nodes: &[Node], newest: u64, to: W) -> Result<W> {
    let mut archive = tar::Builder::new(to);
    let mut first: HashMap<(u32, u64), &Node> = HashMap::new();
    for node in nodes {
        interrupt::check()?;
        let shown = || format!("archiving /{}", String::from_utf8_lossy(&node.path));
        let same = match node.kind {
            Kind::File => first.get(&node.inode).copied(),
            _ => None,
        };
        member(&mut archive, tree, node, same, newest).doing(shown)?;
        if node.kind == Kind::File && node.inode != NO_INODE {
            first.entry(node.inode).or_insert(node);
        }
    }
    archive.into_inner().doing(|| "ending the archive".into())
}

/// Gives `read` through a pipe what `write` writes into it, meanwhile.
///
/// # Errors
/// When one of them fails; the reader's own error first.
pub(super) fn piped<T>(
    write: impl FnOnce(PipeWriter) -> Result<()> + Send,
    read: impl FnOnce(PipeReader) -> Result<T>,
) -> Result<T> {
    let doing = || "making a pipe".to_owned();
    let (from, to) = io::pipe().doing(doing)?;
    let mut rest = from.try_clone().doing(doing)?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || write(to));
        let read = read(from);
        // Who has seen an archive's end reads no further; its writer writes all of it.
        let drained = io::copy(&mut rest, &mut io::sink());
        let written = writer.join();
        let read = read?;
        drained.doing(|| "reading an archive".into())?;
        written.map_err(|_| Error::internal("the writer of an archive panicked"))??;
        Ok(read)
    })
}

fn member<W: Write>(
    archive: &mut tar::Builder<W>,
    tree: &Tree,
    node: &Node,
    same: Option<&Node>,
    newest: u64,
) -> io::Result<()> {
    use tar::EntryType as Type;
    let empty: &[u8] = &[];
    let (kind, link) = match (&node.kind, same) {
        (Kind::Special, _) => return Ok(()),
        (Kind::File, Some(first)) => (Type::Link, first.path.as_slice()),
        (Kind::File, None) => (Type::Regular, empty),
        (Kind::Directory, _) => (Type::Directory, empty),
        (Kind::Link(to), _) => (Type::Symlink, to.as_slice()),
    };
    let path = match (node.path.as_slice(), kind) {
        (b"", _) => b"./".to_vec(),
        (path, Type::Directory) => [path, b"/"].concat(),
        (path, _) => path.to_vec(),
    };
    let size = if kind == Type::Regular { node.size } else { 0 };
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == Type::Symlink {
        0o777
    } else {
        node.mode
    });
    header.set_uid(u64::from(node.uid));
    header.set_gid(u64::from(node.gid));
    header.set_mtime(u64::try_from(node.mtime).unwrap_or(0).min(newest));
    let mut long: Vec<(String, &[u8])> = vec![];
    let fields = header.as_old_mut();
    put(&mut fields.name, &path);
    put(&mut fields.linkname, link);
    if path.len() > SHORT {
        long.push(("path".into(), &path));
    }
    if link.len() > SHORT {
        long.push(("linkpath".into(), link));
    }
    if kind != Type::Link {
        let attributes = node.xattrs.iter();
        long.extend(
            attributes.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.as_slice())),
        );
    }
    header.set_cksum();
    if !long.is_empty() {
        let records = long.iter().map(|(key, value)| (key.as_str(), *value));
        archive.append_pax_extensions(records)?;
    }
    match kind == Type::Regular {
        true => archive.append(&header, tree.open(node)),
        false => archive.append(&header, io::empty()),
    }
}

/// As much as fits; what does not is told beside the header.
fn put(field: &mut [u8; SHORT], text: &[u8]) {
    let count = text.len().min(SHORT);
    field[..count].copy_from_slice(&text[..count]);
}
