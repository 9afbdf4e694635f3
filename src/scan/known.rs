//! Secrets whose values are known, and the forms in which they may hide.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Shorter values cannot be told from other bytes, so nobody may use one.
pub const SHORTEST: usize = 4;

/// A form is only searched for if it is long enough to prove something: a shorter one is found in
/// any disk by chance.
const TELLING: usize = 8;

/// A wrapped encoding breaks its lines at 64 or 76 columns, so that one of two neighbouring pieces
/// of this length is whole.
const PIECE: usize = 24;

/// Of a longer value, in bytes, only windows are looked for: its forms would take more memory than
/// a build has.
const LONG: usize = 64 << 10;

/// How long a window is, in bytes, and how many there are.
const WINDOW: usize = 1 << 10;
const WINDOWS: usize = 3;

/// Values that must not be in an image.
#[derive(Clone, Default)]
pub struct Known {
    needles: Vec<(Vec<u8>, usize)>,
    names: Vec<String>,
    /// Paths where a value is what the recipe wants there.
    declared: Vec<Vec<String>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({:?})", self.names)
    }
}

impl Known {
    /// The values by their names.
    pub fn new(secrets: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut known = Known::default();
        for (name, value) in secrets {
            known.add(name, value, &[]);
        }
        known
    }

    /// Adds a value that may be in the files `declared` and nowhere else.
    pub fn add(&mut self, name: &str, value: &[u8], declared: &[&str]) {
        let index = self.names.len();
        self.names.push(name.to_owned());
        self.declared
            .push(declared.iter().map(|path| (*path).to_owned()).collect());
        let forms = forms(value);
        self.needles
            .extend(forms.into_iter().map(|form| (form, index)));
    }

    /// The same values, which belong nowhere.
    #[must_use]
    pub fn everywhere(&self) -> Known {
        let declared = vec![vec![]; self.declared.len()];
        Known {
            declared,
            ..self.clone()
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// What to look for, and whose value it is.
    pub(super) fn needles(&self) -> &[(Vec<u8>, usize)] {
        &self.needles
    }

    /// The name of a value.
    pub(super) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// How many values there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Whether the value belongs into this file.
    pub(super) fn belongs(&self, index: usize, path: &str) -> bool {
        self.declared[index].iter().any(|declared| declared == path)
    }

    /// Whether the value belongs anywhere, so that finding it in the raw bytes proves nothing.
    pub(super) fn belongs_somewhere(&self, index: usize) -> bool {
        !self.declared[index].is_empty()
    }
}

/// Every form of a value, or of the windows of a long one.
fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    match value.len() > LONG {
        true => windows(value).into_iter().flat_map(whole_forms).collect(),
        false => whole_forms(value),
    }
}

/// The parts of a long value that tell most: those with the most different bytes, as a part that
/// is zeroes is in every disk.
fn windows(value: &[u8]) -> Vec<&[u8]> {
    let telling = |part: &&[u8]| part.iter().collect::<BTreeSet<_>>().len();
    let mut all: Vec<&[u8]> = value.chunks_exact(WINDOW).collect();
    all.sort_by_key(|part| std::cmp::Reverse(telling(part)));
    all.truncate(WINDOWS);
    all
}

fn whole_forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    if value.len() < SHORTEST {
        return all;
    }
    all.insert(value.to_vec());
    let quoted = serde_json::to_string(&String::from_utf8_lossy(value)).unwrap_or_default();
    all.insert(quoted.trim_matches('"').as_bytes().to_vec());
    all.insert(percent(value, str::to_owned));
    all.insert(percent(value, str::to_ascii_lowercase));
    // As forms are sent: a blank is a plus sign.
    all.insert(percent(value, |part| part.replace("%20", "+")));
    // A key is a text of several lines, and any of them is enough to be found by.
    let lines = value.split(|b| *b == b'\n' || *b == b'\r');
    let telling = |line: &&[u8]| {
        line.len() >= 16
            && line.len() < value.len()
            && !line.contains(&b' ')
            && !line.contains(&b'-')
    };
    all.extend(lines.filter(telling).map(<[u8]>::to_vec));
    if value.len() > 4 * PIECE {
        // Files lie on a disk in blocks: the middle of a long value survives where one is cut.
        let middle = value.len() / 2;
        all.insert(value[middle - PIECE..middle + PIECE].to_vec());
    }
    let units = units(value);
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    let lower = hex::encode(value).into_bytes();
    let upper = hex::encode_upper(value).into_bytes();
    for form in [little, big, lower, upper] {
        if form.len() >= 2 * TELLING {
            all.insert(form);
        }
    }
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            all.extend(base64_forms(value, shift, &engine));
        }
    }
    all
}

/// The value as UTF-16 has it; what is no text is widened byte by byte.
fn units(value: &[u8]) -> Vec<u16> {
    // A window may begin and end within a character.
    let texts = value.utf8_chunks().map(|chunk| chunk.valid());
    let text = texts.max_by_key(|text| text.len()).unwrap_or_default();
    match text.len() * 2 > value.len() {
        true => text.encode_utf16().collect(),
        false => value.iter().copied().map(u16::from).collect(),
    }
}

/// The digits of a value that begins `shift` bytes after a border of three, without those that
/// depend on its neighbours.
fn base64_forms(value: &[u8], shift: usize, engine: &GeneralPurpose) -> Vec<Vec<u8>> {
    let all = engine.encode([&[0; 2][..shift], value].concat());
    let (first, end) = ((shift * 8).div_ceil(6), (shift + value.len()) * 8 / 6);
    let text = all.as_bytes().get(first..end).unwrap_or_default();
    if text.len() < TELLING {
        return vec![];
    }
    if text.len() < 3 * PIECE {
        return vec![text.to_vec()];
    }
    let middle = text.len() / 2;
    vec![
        text[middle - PIECE..middle].to_vec(),
        text[middle..middle + PIECE].to_vec(),
    ]
}

/// What addresses have as it is; all else is `%XX` in them.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The value in an address, each `%XX` as `spell` has it.
fn percent(value: &[u8], spell: impl Fn(&str) -> String) -> Vec<u8> {
    let parts = percent_encode(value, &UNRESERVED).map(|part| match part.starts_with('%') {
        true => spell(part),
        false => part.to_owned(),
    });
    parts.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn found(value: &[u8], text: &[u8]) -> bool {
        let all = forms(value);
        all.iter()
            .any(|form| memchr::memmem::find(text, form).is_some())
    }

    #[test]
    fn a_value_is_found_at_every_alignment_of_base64() {
        let value = b"p4ss/word+with specials";
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = [before.as_bytes(), value, after.as_bytes()].concat();
                let encoded = BASE64_STANDARD.encode(text);
                assert!(found(value, encoded.as_bytes()), "{before} {after}");
                let safe = encoded.replace('+', "-").replace('/', "_");
                assert!(found(value, safe.as_bytes()), "{before} {after}");
            }
        }
        assert!(!found(
            value,
            BASE64_STANDARD.encode(b"quite another text").as_bytes()
        ));
    }

    #[test]
    fn a_long_value_is_found_in_wrapped_base64_and_in_part() {
        let value: Vec<u8> = (0..90u8).map(|n| b'!' + n).collect();
        for width in [64, 76] {
            let encoded = BASE64_STANDARD.encode([b"user:", value.as_slice()].concat());
            let lines: Vec<&[u8]> = encoded.as_bytes().chunks(width).collect();
            assert!(found(&value, &lines.join(&b'\n')), "{width}");
        }
        let long: Vec<u8> = value.iter().chain(&value).copied().collect();
        assert!(found(&long, &long[50..140]));
    }

    #[test]
    fn url_and_json_forms_are_found() {
        let value = b"a b&c\"d/\xc3\xa9";
        for text in [
            "x=a%20b%26c%22d%2F%C3%A9",
            "x=a%20b%26c%22d%2f%c3%a9",
            "x=a+b%26c%22d%2F%C3%A9",
            "{\"x\": \"a b&c\\\"d/é\"}",
            "6120622663",
        ] {
            let whole = text != "6120622663";
            assert_eq!(found(value, text.as_bytes()), whole, "{text}");
        }
        assert!(found(value, hex::encode(value).as_bytes()));
    }

    #[test]
    fn utf_16_and_hex_are_found_in_every_spelling() {
        let value = "Pässword€𝄞";
        let units: Vec<u16> = value.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let upper = hex::encode_upper(value).into_bytes();
        let lower = hex::encode(value).into_bytes();
        for form in [little, big, upper, lower] {
            let text = [b"x".as_slice(), &form, b"y"].concat();
            assert!(found(value.as_bytes(), &text), "{form:?}");
        }
        // Of a long value, windows: they begin within characters.
        let long =
            "é€".repeat(20 << 10) + &(0..20_000).map(|n| format!("ß{n}")).collect::<String>();
        let units: Vec<u16> = long.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        assert!(found(long.as_bytes(), &little));
    }

    #[test]
    fn a_key_is_found_by_its_lines_but_not_by_its_frame() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCq7kx2VnQw1yzT";
        let value = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        assert!(found(value.as_bytes(), format!("x{body}y").as_bytes()));
        assert!(!found(
            value.as_bytes(),
            b"-----BEGIN PRIVATE KEY-----\nother"
        ));
    }

    #[test]
    fn a_value_of_any_size_is_found() {
        // Mostly zeroes, as a keystore may be; what follows is like random bytes.
        let mut value = vec![0; 5 << 20];
        for (n, byte) in value[3 << 20..4 << 20].iter_mut().enumerate() {
            *byte = (n.wrapping_mul(2_654_435_761) >> 13) as u8;
        }
        let all = forms(&value);
        let size: usize = all.iter().map(Vec::len).sum();
        assert!(size < 256 << 10, "{size}");
        assert!(found(&value, &value) && found(&value, BASE64_STANDARD.encode(&value).as_bytes()));
        assert!(found(&value, hex::encode(&value).as_bytes()));
        assert!(!found(&value, &[0; 8192]));
    }

    #[test]
    fn short_forms_prove_nothing() {
        assert!(forms(b"abc").is_empty());
        assert_eq!(forms(b"abcd"), BTreeSet::from([b"abcd".to_vec()]));
    }
}
