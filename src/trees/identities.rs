//! What every build has of its own, and no lock can tell: the only things that are not compared as they are.

use crate::ext4::u32_at;
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
    Identity {
        files: &["/etc/.updated", "/var/.updated"],
        content: without_timestamp,
        why: "systemd notes there when /usr was changed",
    },
    Identity {
        files: &["/var/cache/ldconfig/aux-cache"],
        content: of_ldconfig,
        why: "ldconfig notes inodes and times of libraries, in their order",
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

/// Only 12 digits, as `seal` writes them, do not count: programs read the file as a shell reads a script.
fn without_version(content: &[u8], _: &[FileSystem]) -> Vec<u8> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    without_line(content, b"IMAGE_VERSION=", |value| {
        value.len() == 12 && value.iter().all(is_digit)
    })
}

fn without_timestamp(content: &[u8], _: &[FileSystem]) -> Vec<u8> {
    without_line(content, b"TIMESTAMP_NSEC=", |value| {
        value.iter().all(u8::is_ascii_digit)
    })
}

/// The content without the lines that begin so, where what follows is a build's own.
fn without_line(content: &[u8], start: &[u8], is_own: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    let counts = |line: &&[u8]| {
        let value = line.strip_prefix(start);
        !value.is_some_and(|value| is_own(value.strip_suffix(b"\n").unwrap_or(value)))
    };
    lines.filter(counts).flatten().copied().collect()
}

/// Names, sizes and kinds of the libraries in the cache of ldconfig(8), sorted; all of what is not known.
fn of_ldconfig(content: &[u8], _: &[FileSystem]) -> Vec<u8> {
    libraries(content).unwrap_or_else(|| content.to_vec())
}

/// `struct aux_cache_file` of glibc 2.33 and newer (elf/cache.c): a head of 32 bytes, entries of 48 (inode, time,
/// size, device, flags, name, level of instructions), names.
fn libraries(content: &[u8]) -> Option<Vec<u8>> {
    let (head, entry) = (32, 48);
    let count = content
        .strip_prefix(b"glibc-ld.so.auxcache-2.0")?
        .get(..4)?;
    let end = head + entry * u32_at(count, 0) as usize;
    let (entries, names) = (content.get(head..end)?, content.get(end..)?);
    let mut all = vec![];
    for entry in entries.chunks_exact(entry) {
        let name = names.get(u32_at(entry, 36) as usize..)?;
        let name = name.split(|byte| *byte == 0).next()?;
        all.push([name, &[0], &entry[16..24], &entry[32..36], &entry[40..44]].concat());
    }
    all.sort();
    Some(all.concat())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache of libraries, each with an inode, a size and a name.
    fn cache(libraries: &[(u64, u64, &str)]) -> Vec<u8> {
        let mut names = vec![];
        let mut all = b"glibc-ld.so.auxcache-2.0".to_vec();
        all.extend((libraries.len() as u32).to_le_bytes());
        all.extend([0; 4]);
        for (inode, size, name) in libraries {
            let entry = [*inode, inode + 7, *size, 3].map(u64::to_le_bytes).concat();
            let more = [0x303, names.len() as u32, 0, *inode as u32];
            all.extend(
                entry
                    .iter()
                    .chain(more.map(u32::to_le_bytes).as_flattened()),
            );
            names.extend(name.bytes().chain([0]));
        }
        all.extend(names);
        all
    }

    #[test]
    fn of_a_cache_of_libraries_inodes_and_times_do_not_count() {
        let of = |libraries: &[(u64, u64, &str)]| of_ldconfig(&cache(libraries), &[]);
        let one = of(&[(1, 100, "libc.so.6"), (2, 200, "libm.so.6")]);
        assert_eq!(one, of(&[(9, 200, "libm.so.6"), (8, 100, "libc.so.6")]));
        assert_ne!(one, of(&[(1, 101, "libc.so.6"), (2, 200, "libm.so.6")]));
        assert_ne!(one, of(&[(1, 100, "libx.so.6"), (2, 200, "libm.so.6")]));
        assert_ne!(one, of(&[(1, 100, "libc.so.6")]));
        // What is damaged counts as it is.
        let whole = cache(&[(1, 100, "libc.so.6")]);
        for end in [0, 20, 30, 60] {
            assert_eq!(of_ldconfig(&whole[..end], &[]), &whole[..end]);
        }
        let stamp = b"# systemd\nTIMESTAMP_NSEC=17";
        let (stamped, _) = normalized("/etc/.updated", stamp, &[]).unwrap();
        assert_eq!(stamped, b"# systemd\n");
        assert_eq!(normalized("/etc/.updated2", stamp, &[]), None);
    }
}
