//! The root as a squashfs: the files of the machine without what boots it from a disk.

use std::io::{self, BufWriter, PipeWriter};
use std::path::Path;

use super::StateDisk;
use super::kernel::Kernel;
use crate::error::{Context as _, Error, Result};
use crate::fstab;
use crate::host::exec::Program;
use crate::targets::rootfs;
use crate::targets::tree::{Kind, Node, Tree};
use crate::targets::{CheckKind, PassedCheck, TargetContext, proven};
use crate::ui::StageUi;

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
pub(super) fn nodes(
    tree: &Tree,
    kernel: &Kernel<'_>,
    state: Option<&StateDisk>,
    ui: &StageUi,
) -> Vec<Node> {
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
    kept.push(Node::made("etc/fstab", Kind::File, 0o644, own_fstab(state)));
    let to = state
        .map(|state| state.to.trim_matches('/'))
        .unwrap_or_default();
    let needed = ["dev", "proc", "sys", "run", "tmp", to];
    for dir in needed.iter().flat_map(|dir| parents(dir)) {
        if !kept.iter().any(|node| node.path == dir.as_bytes()) {
            let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
            kept.push(Node::made(dir, Kind::Directory, mode, ""));
        }
    }
    kept.sort_by(|a, b| a.path.cmp(&b.path));
    let had = without_lists(&mut kept);
    if let [first, ..] = had.as_slice() {
        ui.ui().warning(format!(
            "a squashfs holds no access control lists: {} of the image lost theirs, {first} first",
            match had.len() {
                1 => "1 file".to_owned(),
                count => format!("{count} files"),
            }
        ));
    }
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
    site: &TargetContext<'_>,
    tree: &Tree,
    nodes: &[Node],
    how: &str,
    to: &Path,
) -> Result<()> {
    let newest = site.about.created;
    through(tree, nodes, newest, |reader| {
        arguments(nodes, newest, how)
            .arg(to)
            .stdin(reader)
            .hint("apt-get install squashfs-tools (4.5 or newer)")
            .run()
    })
}

/// sqfstar does not read what an archive says of its root: it gives it to who runs it, at the time
/// of the run. In 4.5.1 `-root-time`, `-root-uid` and `-root-gid` do nothing: there the variable,
/// which bounds every time, and a name space in which we are root do. Shown by
/// `findings/squashfs-tools-sqfstar-root-and-acls.sh`.
fn arguments(nodes: &[Node], newest: u64, how: &str) -> Program {
    let mut sqfstar = Program::new("sqfstar");
    if !rustix::process::geteuid().is_root() {
        sqfstar = sqfstar.in_namespaces(&["--user", "--map-root-user"]);
    }
    sqfstar
        .args(["-comp", how, "-b", "256K", "-no-progress", "-exit-on-error"])
        .args(["-root-mode", &format!("{:o}", root(nodes))])
        .args(["-root-uid", "0", "-root-gid", "0"])
        .env("SOURCE_DATE_EPOCH", newest.to_string())
}

/// The root's mode.
fn root(nodes: &[Node]) -> u32 {
    let root = nodes.iter().find(|node| node.path.is_empty());
    root.map_or(0o755, |root| root.mode)
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
pub(super) fn scanned(
    site: &TargetContext<'_>,
    tree: &Tree,
    nodes: &[Node],
) -> Result<Option<PassedCheck>> {
    let Some(gate) = &site.gate else {
        return Ok(None);
    };
    site.ui.step("looking for leftovers");
    let newest = site.about.created;
    let report = through(tree, nodes, newest, |reader| {
        crate::scan::tar(io::BufReader::with_capacity(1 << 18, reader), gate.subject)
    })?;
    gate.judge(report)?;
    Ok(Some(proven(CheckKind::Scanned, "imgforge disk scan")))
}

/// Every file is in it, as the program of others lists them, and its root is the disk's.
pub(super) fn complete(nodes: &[Node], path: &Path) -> Result<PassedCheck> {
    let listed = Program::new("unsquashfs")
        .args(["-lln", "-q"])
        .arg(path)
        .output();
    let listed = listed.map_err(|error| Error::gate("the squashfs is damaged").cause(error))?;
    let listing = String::from_utf8_lossy(&listed[..listed.len().min(200)]).into_owned();
    let words: Vec<&str> = listing.split_whitespace().take(2).collect();
    if words != [letters(root(nodes)).as_str(), "0/0"] {
        return Err(Error::gate("the root of the squashfs is not the disk's").cause(listing));
    }
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let wanted: usize = nodes.iter().map(|node| 1 + lines(&node.path)).sum();
    match lines(&listed) {
        count if count == wanted => Ok(proven(CheckKind::Validated, "unsquashfs")),
        count => Err(Error::gate("the squashfs is not complete")
            .cause(format!("{count} of {wanted} files are in it"))),
    }
}

/// A directory's mode as it is listed.
fn letters(mode: u32) -> String {
    let bits = (0..9).rev().map(|bit| mode >> bit & 1 == 1);
    let mut all: Vec<char> = bits
        .zip("rwxrwxrwx".chars())
        .map(|(set, letter)| if set { letter } else { '-' })
        .collect();
    for (bit, at, letters) in [(11, 2, "sS"), (10, 5, "sS"), (9, 8, "tT")] {
        if mode >> bit & 1 == 1 {
            all[at] = letters.as_bytes()[usize::from(all[at] == '-')].into();
        }
    }
    std::iter::once('d').chain(all).collect()
}

/// The names of access control lists' attributes.
const LISTS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// Takes away what no squashfs can hold, access control lists, and gives the paths that had one.
/// Where one said less of the owning group than the mode, which then is the list's mask, the mode
/// says so now.
fn without_lists(nodes: &mut [Node]) -> Vec<String> {
    let mut had = vec![];
    for node in nodes {
        let list = LISTS.map(|name| node.xattrs.remove(name));
        if let Some(group) = list[0].as_deref().and_then(owning_group) {
            node.mode &= !0o070 | group << 3;
        }
        if list.iter().any(Option::is_some) {
            had.push(format!("/{}", String::from_utf8_lossy(&node.path)));
        }
    }
    had
}

/// What an access control list, as getxattr(2) gives it, lets the owning group do.
fn owning_group(list: &[u8]) -> Option<u32> {
    let mut entries = list.get(4..)?.chunks_exact(8);
    // ACL_GROUP_OBJ.
    let entry = entries.find(|entry| entry[..2] == [4, 0])?;
    Some(u32::from(entry[2]) & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_away_and_gives_nobody_more() {
        let list = |group: u8| {
            let entries = [(1u8, 7u8), (2, 7), (4, group), (16, 7), (32, 0)];
            let entries = entries.map(|(tag, may)| [tag, 0, may, 0, 255, 255, 255, 255]);
            [&[2, 0, 0, 0][..], &entries.concat()].concat()
        };
        let mut nodes = vec![
            Node::made("var/log/journal", Kind::Directory, 0o2775, ""),
            Node::made("srv/plain", Kind::File, 0o664, ""),
            Node::made("srv/shared", Kind::Directory, 0o770, ""),
        ];
        nodes[0].xattrs.insert(LISTS[0].into(), list(5));
        nodes[2].xattrs.insert(LISTS[1].into(), list(0));
        nodes[2].xattrs.insert("user.kept".into(), vec![1]);
        assert_eq!(
            without_lists(&mut nodes),
            ["/var/log/journal", "/srv/shared"]
        );
        let modes: Vec<u32> = nodes.iter().map(|node| node.mode).collect();
        assert_eq!(modes, [0o2755, 0o664, 0o770]);
        let kept: Vec<_> = nodes.iter().flat_map(|node| node.xattrs.keys()).collect();
        assert_eq!(kept, ["user.kept"]);
    }

    /// The root is the archive's, nothing tells of the run, and nothing is dropped in silence.
    #[test]
    fn the_root_is_the_disks_and_two_runs_give_equal_bytes() {
        let mut root = Node::made("", Kind::Directory, 0o1750, "");
        root.mtime = 1_600_000_000;
        let files =
            (0..300).map(|n| Node::made(&format!("f{n:03}"), Kind::File, 0o640, "x".repeat(n)));
        let nodes: Vec<Node> = std::iter::once(root).chain(files).collect();
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::empty();
        let write = |name: &str| {
            let to = dir.path().join(name);
            through(&tree, &nodes, 1_700_000_000, |reader| {
                arguments(&nodes, 1_700_000_000, "zstd")
                    .arg(&to)
                    .stdin(reader)
                    .run()
            })
            .unwrap();
            to
        };
        let first = write("first");
        complete(&nodes, &first).unwrap();
        let listed = Program::new("unsquashfs")
            .args(["-lln", "-q"])
            .arg(&first)
            .text()
            .unwrap();
        let line = listed.lines().next().unwrap();
        assert!(line.starts_with("drwxr-x--T 0/0 "), "{line}");
        assert!(line.contains("2023-11-14"), "{line}");
        let bytes = std::fs::read(&first).unwrap();
        // The clock shows another second then.
        let second = std::time::SystemTime::now();
        while second.elapsed().unwrap().as_millis() < 1100 {
            assert!(bytes == std::fs::read(write("again")).unwrap());
            std::fs::remove_file(dir.path().join("again")).unwrap();
        }
    }

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
