//! Keeps the values of secrets out of everything that is shown or logged.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// Shorter values are not masked: they would be found everywhere.
const SHORTEST: usize = 4;

/// The values that must not be seen.
#[derive(Clone, Default)]
pub struct Mask {
    needles: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} values)", self.needles.len())
    }
}

impl Mask {
    /// Masks these values, each of their lines, and their base64 form.
    pub fn new(secrets: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut needles: Vec<Vec<u8>> = secrets
            .values()
            .flat_map(|value| {
                let lines = value.split(|b| *b == b'\n' || *b == b'\r');
                let encoded = [BASE64_STANDARD.encode(value).into_bytes()];
                lines.map(<[u8]>::to_vec).chain(encoded)
            })
            .filter(|needle| needle.len() >= SHORTEST)
            .collect();
        // The longest first: one secret may be the start of another.
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Mask { needles }
    }

    /// Length of the longest masked value, in bytes.
    pub fn longest(&self) -> usize {
        self.needles.first().map_or(0, Vec::len)
    }

    /// The bytes with every secret replaced.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            match self.at(&bytes[at..]) {
                Some(length) => {
                    out.extend_from_slice(MASK);
                    at += length;
                }
                None => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        out
    }

    /// The text with every secret replaced.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// The last place at or before `at` where `bytes` can be cut without cutting a secret.
    pub fn cut(&self, bytes: &[u8], at: usize) -> usize {
        let mut position = 0;
        while position < at {
            let step = self.at(&bytes[position..]).unwrap_or(1);
            if position + step > at {
                break;
            }
            position += step;
        }
        position
    }

    fn at(&self, bytes: &[u8]) -> Option<usize> {
        let found = self.needles.iter().find(|needle| bytes.starts_with(needle));
        found.map(Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[&str]) -> Mask {
        let named = values
            .iter()
            .enumerate()
            .map(|(n, v)| (n.to_string(), v.as_bytes().to_vec()));
        Mask::new(&named.collect())
    }

    #[test]
    fn values_their_lines_and_their_base64_form_are_masked() {
        let mask = mask(&[
            "hunter2",
            "hunter2-long",
            "first line\nsecond line\n",
            "abc",
        ]);
        for (text, masked) in [
            ("token=hunter2;", "token=***;"),
            ("hunter2-long", "***"),
            ("a first line, a second line", "a ***, a ***"),
            ("aHVudGVyMg==", "***"),
            ("abc is too short", "abc is too short"),
        ] {
            assert_eq!(mask.text(text), masked);
        }
        assert_eq!(Mask::default().text("hunter2"), "hunter2");
    }

    #[test]
    fn a_cut_never_splits_a_secret() {
        let mask = mask(&["hunter2"]);
        assert_eq!(mask.cut(b"xxhunter2yy", 5), 2);
        assert_eq!(mask.cut(b"xxhunter2yy", 9), 9);
        assert_eq!(mask.cut(b"xxhunter2yy", 2), 2);
    }
}
