//! Lines out of a guest's bytes: bounded, without escape codes, secrets masked.

use std::collections::VecDeque;

use super::mask::Mask;
use crate::ui::{Escapes, is_unseen};

/// A longer line is cut, in bytes.
const LONGEST: usize = 4096;

/// Turns chunks of bytes into lines of printable text.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Takes a chunk and returns the lines that it completes.
    pub fn push(&mut self, chunk: &[u8], mask: &Mask) -> Vec<String> {
        let mut lines = vec![];
        for byte in chunk {
            match byte {
                b'\n' => lines.extend(self.take(mask)),
                // A carriage return alone starts the line again, as progress bars do.
                b'\0' => {}
                _ => self.buffer.push(*byte),
            }
            // Room for the longest secret, so that a cut never shows a part of one.
            if self.buffer.len() >= LONGEST + mask.longest() {
                let at = mask.cut(&self.buffer, LONGEST).max(1);
                let rest = self.buffer.split_off(at);
                lines.extend(self.take(mask));
                self.buffer = rest;
            }
        }
        lines
    }

    /// The line that has no end yet, as it would be seen; empty when there is none.
    pub fn pending(&self, mask: &Mask) -> String {
        mask.text(&plain(&String::from_utf8_lossy(&mask.bytes(&self.buffer))))
    }

    /// The last line, which had no end.
    pub fn finish(&mut self, mask: &Mask) -> Option<String> {
        self.take(mask)
    }

    /// Empty lines are dropped: consoles are full of them.
    fn take(&mut self, mask: &Mask) -> Option<String> {
        let raw = std::mem::take(&mut self.buffer);
        // Masked before and after: escape codes inside a secret must not hide it.
        let text = mask.text(&plain(&String::from_utf8_lossy(&mask.bytes(&raw))));
        (!text.is_empty()).then_some(text)
    }
}

/// The text without escape codes and control characters, as it would be seen on a terminal: what a carriage
/// return starts again is seen alone.
pub fn plain(text: &str) -> String {
    let mut escapes = Escapes::default();
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().filter(|c| escapes.is_text(*c)).peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek().is_some() => out.clear(),
            '\t' => out.push(' '),
            c if is_unseen(c) => {}
            c => out.push(c),
        }
    }
    out.trim_end().to_owned()
}

/// What a terminal may be given of a guest's console while it arrives: text, and where lines end
/// and begin again.
#[derive(Debug, Default)]
pub struct Screen {
    escapes: Escapes,
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Screen {
    /// What of a chunk can be shown.
    pub fn push(&mut self, chunk: &[u8]) -> String {
        self.rest.extend_from_slice(chunk);
        let bytes = std::mem::take(&mut self.rest);
        let whole = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => bytes.len(),
        };
        self.rest = bytes[whole..].to_vec();
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let shown = |c: &char| {
            let is_text = self.escapes.is_text(*c);
            is_text && (matches!(c, '\n' | '\r' | '\t') || !is_unseen(*c))
        };
        text.chars().filter(shown).collect()
    }
}

/// The last lines of something.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<String>,
}

impl Tail {
    /// How many lines are kept.
    pub const KEPT: usize = 40;

    /// Adds a line.
    pub fn push(&mut self, line: &str) {
        if self.lines.len() == Self::KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.lines.iter().map(String::as_str)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn escape_codes_and_control_characters_are_removed() {
        for (raw, seen) in [
            ("\u{1b}[0;32m  OK  \u{1b}[0m] Started", "  OK  ] Started"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]0;title\u{1b}\\text", "text"),
            ("10%\r50%\r100%", "100%"),
            ("text\r", "text"),
            ("text\r\u{1b}[0m", "text"),
            ("\u{1b}[unfinished 1;2;3", "nfinished 1;2;3"),
            ("a\u{8}\u{0}b\u{202e}c", "abc"),
            ("\u{1b}", ""),
        ] {
            assert_eq!(plain(raw), seen, "{raw:?}");
        }
    }

    #[test]
    fn a_terminal_is_given_no_sequence_however_it_is_cut() {
        let raw = "login: \u{1b}[31mä\u{1b}]0;title\u{7}x\u{1b}P1;2|q\u{1b}\\10%\r20%\u{9b}2J\n\
                   \u{1b}]52;never ended\nb\u{8}\u{202e}c\u{1b}(0";
        let seen = "login: äx10%\r20%\n\nbc";
        for cut in 0..raw.len() {
            let mut screen = Screen::default();
            let mut out = screen.push(&raw.as_bytes()[..cut]);
            out += &screen.push(&raw.as_bytes()[cut..]);
            assert_eq!(out, seen, "cut at {cut}");
        }
        assert_eq!(Screen::default().push(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn chunks_become_lines_and_the_last_one_needs_no_end() {
        let mask = Mask::default();
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\r\ntw", &mask), ["one"]);
        assert_eq!(lines.push(b"o\n\n\nth\xff\xfe", &mask), ["two"]);
        assert_eq!(lines.finish(&mask).as_deref(), Some("th\u{fffd}\u{fffd}"));
        assert_eq!(lines.finish(&mask), None);
    }

    #[test]
    fn a_line_without_end_is_cut_and_never_inside_a_secret() {
        let secrets = BTreeMap::from([("s".to_owned(), b"correct horse".to_vec())]);
        let mask = Mask::new(&secrets);
        for before in LONGEST - 20..LONGEST + 20 {
            let mut lines = Lines::default();
            let mut raw = vec![b'x'; before];
            raw.extend_from_slice(b"correct horse");
            raw.extend(vec![b'y'; LONGEST]);
            let mut all = lines.push(&raw, &mask);
            all.extend(lines.finish(&mask));
            assert!(all.len() > 1);
            let joined = all.concat();
            assert!(joined.contains("x***y"), "{before}");
            assert!(
                !joined.contains("corr") && !joined.contains("orse"),
                "{before}"
            );
        }
    }

    #[test]
    fn a_flood_without_line_ends_stays_bounded() {
        let mask = Mask::default();
        let mut lines = Lines::default();
        for _ in 0..1000 {
            assert!(
                lines
                    .push(&[b'a'; 8192], &mask)
                    .iter()
                    .all(|line| line.len() <= LONGEST)
            );
        }
        assert!(lines.buffer.len() <= LONGEST);
    }
}
