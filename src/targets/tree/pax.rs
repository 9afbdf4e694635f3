//! Extended headers of archives. Values are binary: they may hold line ends, as access control
//! lists do, so that only the length in front of a record says where it ends.

/// `LENGTH KEY=VALUE\n`, one after the other; `None` if that is not what `data` is.
pub(super) fn records(mut data: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut all = vec![];
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let key = std::str::from_utf8(&record[..equals]).ok()?;
        all.push((key.to_owned(), record[equals + 1..].to_vec()));
        data = &data[length..];
    }
    Some(all)
}

/// An access control list with numbers for owners, as the kernel has it in an extended attribute.
pub(super) fn acl(text: &[u8]) -> Option<Vec<u8>> {
    let mut all = 2u32.to_le_bytes().to_vec();
    for line in std::str::from_utf8(text).ok()?.lines() {
        // What the mask leaves of it may follow.
        let line = line.split(['\t', '#']).next()?.trim_end();
        if line.is_empty() {
            continue;
        }
        let mut words = line.splitn(3, ':');
        let (kind, who, may) = (words.next()?, words.next()?, words.next()?);
        let tag: u16 = match (kind, who.is_empty()) {
            ("user", true) => 0x01,
            ("user", false) => 0x02,
            ("group", true) => 0x04,
            ("group", false) => 0x08,
            ("mask", _) => 0x10,
            ("other", _) => 0x20,
            _ => return None,
        };
        let id = if who.is_empty() {
            u32::MAX
        } else {
            who.parse().ok()?
        };
        let bit = |letter: char, bit: u16| if may.contains(letter) { bit } else { 0 };
        all.extend(tag.to_le_bytes());
        all.extend((bit('r', 4) | bit('w', 2) | bit('x', 1)).to_le_bytes());
        all.extend(id.to_le_bytes());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_line_ends() {
        let data = b"13 path=a\nbc\n21 SCHILY.acl.x=a\n\nb\n";
        let read = records(data).unwrap();
        assert_eq!(read[0], ("path".into(), b"a\nbc".to_vec()));
        assert_eq!(read[1].1, b"a\n\nb");
        assert!(records(b"99 path=a\n").is_none() && records(b"x").is_none());
    }

    #[test]
    fn lists_are_as_the_kernel_has_them() {
        let read = acl(b"user::rw-\nuser:33:r--\t#effective:r--\nmask::r--\nother::---\n").unwrap();
        let entries: Vec<&[u8]> = read[4..].chunks(8).collect();
        assert_eq!(read[..4], [2, 0, 0, 0]);
        assert_eq!(entries[0], [1, 0, 6, 0, 255, 255, 255, 255]);
        assert_eq!(entries[1], [2, 0, 4, 0, 33, 0, 0, 0]);
        assert_eq!(
            (entries[2][0], entries[3][0], entries.len()),
            (0x10, 0x20, 4)
        );
        assert!(acl(b"user:web:r--\n").is_none());
    }
}
