//! The root as a squashfs: the files of the machine without what boots it from a disk.

use std::io::{self, BufWriter, PipeWriter};
use std::path::Path;

use super::kernel::Kernel;
use crate::error::{Context as _, Error, Result};
use crate::fstab;
use crate::host::exec::Program;
use crate::recipe::types::StateDisk;
use crate::target::rootfs::{self, NO_INODE};
use crate::target::tree::{Content, Kind, Node, Tree};
use crate::target::{Part, Proven, Site, proven};

/// Directories of which only the directory itself stays.
const EMPTIED: &[&str] = &[
    "boot",
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "var/tmp",
    "lost+found",
];

/// What a machine without its disk has no use for.
const GONE: &[&str] = &[
    "etc/fstab",
    "etc/crypttab",
    "swapfile",
    "swap.img",
    "lost+found",
];

/// The files of the root, sorted.
pub(super) fn nodes(tree: &Tree, kernel: &Kernel<'_>, state: Option<&StateDisk>) -> Vec<Node> {
    let swap = fstab::swap_files(&tree.text("etc/fstab").unwrap_or_default());
    let stays = |node: &&Node| {
        let path = node.path.as_slice();
        let below = |dir: &str| {
            let rest = path.strip_prefix(dir.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        let gone = GONE.iter().any(|gone| path == gone.as_bytes())
            || EMPTIED.iter().any(|dir| below(dir))
            || swap
                .iter()
                .any(|file| path == file.trim_start_matches('/').as_bytes());
        !gone && node.kind != Kind::Special && kernel.keeps(path)
    };
    let mut kept: Vec<Node> = tree.nodes.iter().filter(stays).cloned().collect();
    kept.push(made("etc/fstab", Kind::File, 0o644, own_fstab(state)));
    let to = state
        .map(|state| state.to.trim_matches('/'))
        .unwrap_or_default();
    let needed = ["dev", "proc", "sys", "run", "tmp", to];
    for dir in needed.iter().flat_map(|dir| parents(dir)) {
        if !kept.iter().any(|node| node.path == dir.as_bytes()) {
            let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
            kept.push(made(dir, Kind::Directory, mode, String::new()));
        }
    }
    kept.sort_by(|a, b| a.path.cmp(&b.path));
    kept
}

/// A path's directories, from the top, and itself; nothing of an empty one.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    ends.map(|end| &path[..end]).filter(|path| !path.is_empty())
}

fn made(path: &str, kind: Kind, mode: u32, text: String) -> Node {
    Node {
        path: path.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: text.len() as u64,
        inode: NO_INODE,
        xattrs: [].into(),
        content: Content::Bytes(text.into_bytes()),
    }
}

/// A machine without the disk for state boots all the same.
fn own_fstab(state: Option<&StateDisk>) -> String {
    let mut text = "# The root is in memory.\n".to_owned();
    if let Some(StateDisk { label, to }) = state {
        let options = "nofail,noatime,x-systemd.device-timeout=90s";
        text += &format!("LABEL={label} {to} auto {options} 0 2\n");
    }
    text
}

/// Writes the squashfs `to` with this compression.
pub(super) fn write(
    site: &Site<'_>,
    tree: &Tree,
    nodes: &[Node],
    how: &str,
    to: &Path,
) -> Result<()> {
    let newest = site.about.created;
    through(tree, nodes, newest, |reader| {
        Program::new("sqfstar")
            .args(["-comp", how, "-b", "256K", "-no-progress", "-exit-on-error"])
            .args(["-mkfs-time", &newest.to_string()])
            .arg(to)
            .stdin(reader)
            .hint("apt-get install squashfs-tools (4.5 or newer)")
            .run()
    })
}

/// Gives `reader` the files as an archive.
fn through<T>(
    tree: &Tree,
    nodes: &[Node],
    newest: u64,
    reader: impl FnOnce(io::PipeReader) -> Result<T>,
) -> Result<T> {
    rootfs::piped(move |to| archive(tree, nodes, newest, to), reader)
}

fn archive(tree: &Tree, nodes: &[Node], newest: u64, to: PipeWriter) -> Result<()> {
    let to = BufWriter::with_capacity(1 << 18, to);
    let mut to = rootfs::write(tree, nodes, newest, to)?;
    io::Write::flush(&mut to).doing(|| "writing an archive".into())
}

/// The leftovers of a build, looked for in the files; only a recipe says what they are.
pub(super) fn scanned(site: &Site<'_>, tree: &Tree, nodes: &[Node]) -> Result<Option<Proven>> {
    let Some(gate) = &site.gate else {
        return Ok(None);
    };
    site.ui.step("looking for leftovers");
    let newest = site.about.created;
    let report = through(tree, nodes, newest, |reader| {
        crate::scan::tar(io::BufReader::with_capacity(1 << 18, reader), gate.subject)
    })?;
    gate.judge(report)?;
    Ok(Some(proven(Part::Scanned, "imgforge disk scan")))
}

/// Every file is in it, as the program of others lists them.
pub(super) fn complete(nodes: &[Node], path: &Path) -> Result<Proven> {
    let listed = Program::new("unsquashfs")
        .args(["-l", "-q"])
        .arg(path)
        .output();
    let listed = listed.map_err(|error| Error::gate("the squashfs is damaged").cause(error))?;
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let wanted: usize = nodes.iter().map(|node| 1 + lines(&node.path)).sum();
    match lines(&listed) {
        count if count == wanted => Ok(proven(Part::Validated, "unsquashfs")),
        count => Err(Error::gate("the squashfs is not complete")
            .cause(format!("{count} of {wanted} files are in it"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_file_systems_knows_the_state_only() {
        assert_eq!(own_fstab(None), "# The root is in memory.\n");
        let state = StateDisk {
            label: "state".into(),
            to: "/srv/state".into(),
        };
        let text = own_fstab(Some(&state));
        assert!(
            text.contains("LABEL=state /srv/state auto nofail,"),
            "{text}"
        );
        assert_eq!(
            parents("srv/state").collect::<Vec<_>>(),
            ["srv", "srv/state"]
        );
        assert_eq!(parents("").count(), 0);
    }
}
