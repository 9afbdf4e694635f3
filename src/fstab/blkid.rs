//! What blkid(8) says of a file system.

use super::{FileSystem, escaped};

/// Bit 63 of a GPT partition's attributes: nothing is to mount it by itself.
const NO_AUTO: u64 = 1 << 63;

impl FileSystem {
    /// From the keys and values of `blkid -p -o export`; name and place are the caller's.
    pub fn of_blkid<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> FileSystem {
        let mut system = FileSystem::default();
        for (key, value) in pairs {
            let value = escaped(value, plain);
            match key {
                "TYPE" => system.kind = value,
                "UUID" => system.uuid = value,
                "LABEL" => system.label = value,
                "PART_ENTRY_UUID" => system.partuuid = value,
                "PART_ENTRY_NAME" => system.partlabel = value,
                "PART_ENTRY_TYPE" => system.part_type = value,
                "PART_ENTRY_FLAGS" => {
                    let flags = u64::from_str_radix(value.trim_start_matches("0x"), 16);
                    system.no_auto = flags.unwrap_or(0) & NO_AUTO != 0;
                }
                _ => {}
            }
        }
        system
    }
}

/// What a backslash stands before: `\x20`, or any letter for itself.
fn plain(rest: &str) -> Option<(u8, usize)> {
    let hex = rest.strip_prefix('x').and_then(|rest| rest.get(..2));
    match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) => Some((byte, 3)),
        None => Some((*rest.as_bytes().first()?, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_blkid_describe_a_file_system() {
        let printed = "DEVNAME=/dev/sda2\nLABEL=my\\ \\\"home\\\"\nUUID=11-22\nTYPE=ext4\n\
                       PART_ENTRY_SCHEME=gpt\nPART_ENTRY_NAME=a\\ b\nPART_ENTRY_UUID=33-44\n\
                       PART_ENTRY_TYPE=933ac7e1\nPART_ENTRY_FLAGS=0x8000000000000000\n";
        let pairs = printed.lines().filter_map(|line| line.split_once('='));
        let expected = FileSystem {
            kind: "ext4".into(),
            uuid: "11-22".into(),
            label: "my \"home\"".into(),
            partuuid: "33-44".into(),
            partlabel: "a b".into(),
            part_type: "933ac7e1".into(),
            no_auto: true,
            ..FileSystem::default()
        };
        assert_eq!(FileSystem::of_blkid(pairs), expected);
    }
}
