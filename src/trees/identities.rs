//! What every build has of its own, and no lock can tell: the only things that are not compared as they are.

use crate::fstab::FileSystem;

/// What one build has and another has not.
struct Identity {
    /// The files that have it, by absolute path.
    files: &'static [&'static str],
    /// What of their content counts instead.
    content: fn(&[u8], &[FileSystem]) -> Vec<u8>,
    /// What differs, and why.
    why: &'static str,
}

/// All of them. Each hides only what it names: the rest of the file is compared.
const IDENTITIES: &[Identity] = &[
    Identity {
        files: &["/etc/os-release", "/usr/lib/os-release"],
        content: without_version,
        why: "IMAGE_VERSION is the key of the build",
    },
    Identity {
        files: &["/etc/fstab", "/boot/grub/grub.cfg"],
        content: without_uuids,
        why: "installers, and the operation fs-uuids of seal, give file systems other UUIDs each time",
    },
];

/// What of a file's content counts, and why that is not all of it; nothing where all counts.
pub(super) fn normalized(
    path: &str,
    content: &[u8],
    systems: &[FileSystem],
) -> Option<(Vec<u8>, &'static str)> {
    let has = |one: &&Identity| one.files.contains(&path);
    let identity = IDENTITIES.iter().find(has)?;
    Some(((identity.content)(content, systems), identity.why))
}

fn without_version(content: &[u8], _: &[FileSystem]) -> Vec<u8> {
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    let counts = |line: &&[u8]| !line.starts_with(b"IMAGE_VERSION=");
    lines.filter(counts).flatten().copied().collect()
}

/// The content with the number of a file system in the place of each of its UUIDs.
fn without_uuids(content: &[u8], systems: &[FileSystem]) -> Vec<u8> {
    let mut content = content.to_vec();
    for (number, system) in systems.iter().enumerate() {
        for (kind, uuid) in [("uuid", &system.uuid), ("partuuid", &system.partuuid)] {
            // A short one would be found by chance.
            if uuid.len() < 36 {
                continue;
            }
            let name = format!("({kind} {number})");
            let padded = format!("{name:.<36}");
            for found in places(&content, uuid.as_bytes()) {
                content[found..found + 36].copy_from_slice(padded.as_bytes());
            }
        }
    }
    content
}

/// Where a text begins in a content, whatever the case of its letters.
fn places(content: &[u8], text: &[u8]) -> Vec<usize> {
    let windows = content.windows(text.len()).enumerate();
    let found = windows.filter(|(_, window)| window.eq_ignore_ascii_case(text));
    found.map(|(at, _)| at).collect()
}
