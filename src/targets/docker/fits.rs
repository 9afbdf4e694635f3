//! What a disk can hold and a container's layer cannot, or only at a price.

use crate::error::{Error, Result};
use crate::targets::TargetContext;
use crate::targets::tree::{Content, Kind, Node};
use crate::units::Size;

/// How many names an error shows.
const SHOWN: usize = 10;

/// Holes of a file, in bytes, that are told of.
const HOLES: u64 = 256 << 20;

/// Refuses names that clients take for deletions, as the specification of OCI's layers has it:
/// such a file would not be there, and the one whose name follows would be gone.
///
/// # Errors
/// When there is such a file, with its path.
pub(super) fn no_whiteouts(nodes: &[Node]) -> Result<()> {
    let found = nodes.iter().filter(|node| {
        let mut names = node.path.split(|byte| *byte == b'/');
        names.any(|name| name.starts_with(b".wh."))
    });
    let paths: Vec<String> = found.map(shown).collect();
    let Some(first) = paths.first() else {
        return Ok(());
    };
    let mut error = Error::usage(format!("a container cannot have the file {first}"))
        .cause("in a layer a name that begins with `.wh.` deletes the file that it names");
    if paths.len() > 1 {
        error = error.evidence(paths.iter().take(SHOWN).cloned());
    }
    Err(error.hint("remove it from the image, or give it another name"))
}

/// Tells of files that are far larger in an archive than on the disk: it has no holes.
pub(in crate::targets) fn tell_holes(site: &TargetContext<'_>, nodes: &[Node]) {
    for node in nodes.iter().filter(|node| node.kind == Kind::File) {
        let Content::Runs(runs) = &node.content else {
            continue;
        };
        let data: u64 = runs.iter().map(|run| run.len).sum();
        if node.size.saturating_sub(data) < HOLES {
            continue;
        }
        site.ui.ui().warning(format!(
            "{} is {} large, with {} of data: an archive has no holes, so that each copy takes all \
             of it",
            shown(node),
            Size::bytes(node.size).human(),
            Size::bytes(data).human()
        ));
    }
}

fn shown(node: &Node) -> String {
    format!("/{}", String::from_utf8_lossy(&node.path))
}
