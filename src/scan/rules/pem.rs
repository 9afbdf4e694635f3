//! Private keys between lines of PEM, and what they were encoded in once more.

use crate::scan::rule::Bytes;

/// As they are, and in UTF-16: the same bytes in either order, but for the first and the last.
pub(super) const PLAIN: Bytes = Bytes {
    anchors: &[
        "-----BEGIN ",
        "---- BEGIN SSH2 ",
        "-\0-\0-\0-\0-\0B\0E\0G\0I\0N\0 \0",
    ],
    pattern: concat!(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
        r"|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----",
        r"|(?:-\x00){5}B\x00E\x00G\x00I\x00N\x00 \x00(?:(?:[A-Z0-9]\x00)+ \x00)*",
        r"P\x00R\x00I\x00V\x00A\x00T\x00E\x00 \x00K\x00E\x00Y\x00",
        r"(?: \x00B\x00L\x00O\x00C\x00K\x00)?(?:-\x00){4}-",
    ),
    judge: |found, after| match found.contains(&0) {
        true => has_body(&narrow(after)),
        false => has_body(after),
    },
    not_in: &[],
};

/// In base64, as kubeconfig, Kubernetes' secrets and cloud-init's files have it: where that begins with
/// the key, or the key is wherever in it, at each of three alignments.
pub(super) const ENCODED: Bytes = Bytes {
    anchors: &["LS0tLS1CRUdJTi", KEY[0].0, KEY[1].0, KEY[2].0],
    pattern: concat!(
        r"(?:LS0tLS1CRUdJTi|UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW)",
        r"(?:[A-Za-z0-9+/]|\r?\n[ \t]*){40,}"
    ),
    judge: |found, _| {
        let digits: Vec<u8> = found
            .iter()
            .filter(|c| !c.is_ascii_whitespace())
            .copied()
            .collect();
        let inner = KEY
            .iter()
            .find(|(anchor, _)| digits.starts_with(anchor.as_bytes()));
        let text = decode(&digits[inner.map_or(0, |(_, skip)| *skip)..]);
        if inner.is_none() {
            return memchr::memmem::find(&text, b"PRIVATE KEY").is_some();
        }
        // Prose before the key may name one, too.
        memchr::memmem::find_iter(&text, b"VATE KEY").any(|at| {
            let after = &text[at + b"VATE KEY".len()..];
            let after = after.strip_prefix(b" BLOCK").unwrap_or(after);
            after.strip_prefix(b"-----").is_some_and(has_body)
        })
    },
    not_in: &[],
};

/// `PRIVATE KEY` in base64, without the digits that what is around it has a part in, and how many
/// digits are left to the next three bytes.
const KEY: [(&str, usize); 3] = [
    ("UFJJVkFURSBLRV", 0),
    ("BSSVZBVEUgS0VZ", 2),
    ("QUklWQVRFIEtFW", 1),
];

/// Text of UTF-16 in bytes, as far as it is ASCII and a key's body may go.
fn narrow(text: &[u8]) -> Vec<u8> {
    let text = text[..text.len().min(2400)].iter();
    text.filter(|byte| **byte != 0).copied().collect()
}

/// Whether the text goes on with base64, behind headers and whatever stands for a line's end in
/// the language that the key was written into. A program that only knows the frame has none.
fn has_body(after: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&after[..after.len().min(1200)]);
    let text = text
        .replace("\\r", "")
        .replace("\\n", "\n")
        .replace("&#10;", "\n")
        .replace("%0A", "\n");
    let mut digits = 0;
    for line in text.lines().take(24) {
        let line = line.trim_matches([' ', '\t', '"', '\'', '+', ',', '\\', '>', '|', '.', '*']);
        if line.is_empty() || (line.contains(": ") && digits == 0) || line.starts_with("#") {
            continue;
        }
        let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        let digits_here = line.chars().take_while(|c| base64(*c)).count();
        digits += digits_here;
        if digits >= 40 {
            return true;
        }
        if digits_here < line.chars().count() {
            return false;
        }
    }
    false
}

fn decode(text: &[u8]) -> Vec<u8> {
    let value = |byte: &u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = vec![];
    for four in text.chunks_exact(4) {
        let bits = four
            .iter()
            .fold(0u32, |sum, byte| sum << 6 | u32::from(value(byte)));
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_body_in_every_language() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
        for after in [
            format!("\n{body}\n"),
            format!("\r\n{body}\r\n"),
            format!("\\n{body}\\n-----END"),
            format!("\\n\" +\n \"{body}\\n\""),
            format!("\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\n{body}"),
            format!("\nVersion: GnuPG v2\n\n{body}"),
        ] {
            assert!(has_body(after.as_bytes()), "{after}");
        }
        for after in [
            "",
            "\0%s\0error reading",
            "\n...\n-----END",
            "' in text: raise ValueError",
        ] {
            assert!(!has_body(after.as_bytes()), "{after}");
        }
    }

    /// By base64(1) or a cloud's tools, between other lines of a file, wrapped or not.
    #[test]
    fn a_key_in_base64_is_found_wherever_that_begins() {
        use base64::Engine as _;
        let pattern = crate::scan::find::compile(ENCODED.pattern);
        let matches = |text: &str| {
            let mut found = pattern.find_iter(text.as_bytes());
            found.any(|found| (ENCODED.judge)(found.as_bytes(), b""))
        };
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7".repeat(8);
        for before in [
            "",
            "a",
            "#!",
            "key",
            "some lines\nand: |\n  ",
            "the PRIVATE KEY of a host\n",
        ] {
            for kind in ["RSA ", "", "OPENSSH "] {
                for (word, is_key) in [("PRIVATE KEY", true), ("PUBLIC KEY", false)] {
                    let text = format!("{before}-----BEGIN {kind}{word}-----\n{body}\n");
                    let text = base64::prelude::BASE64_STANDARD.encode(text);
                    assert_eq!(matches(&text), is_key, "{text}");
                }
            }
        }
        let talk = base64::prelude::BASE64_STANDARD.encode("a PRIVATE KEY is none ".repeat(9));
        assert!(!matches(&talk));
    }

    #[test]
    fn a_key_in_utf_16_is_found_in_either_order() {
        let pattern = crate::scan::find::compile(PLAIN.pattern);
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
        for (word, is_key) in [("PRIVATE KEY", true), ("CERTIFICATE", false)] {
            let text = format!("\u{feff}of it:\r\n-----BEGIN {word}-----\r\n{body}\r\n");
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                let bytes: Vec<u8> = text.encode_utf16().flat_map(order).collect();
                for bytes in [&bytes[..], &bytes[2..]] {
                    let anchor = PLAIN.anchors[2].as_bytes();
                    assert!(memchr::memmem::find(bytes, anchor).is_some());
                    let found = pattern.find(bytes);
                    let judged =
                        |f: regex::bytes::Match<'_>| (PLAIN.judge)(f.as_bytes(), &bytes[f.end()..]);
                    assert_eq!(found.is_some_and(judged), is_key, "{word}");
                }
            }
        }
    }
}
