//! Tells new words on a console from repeated ones: installers redraw a clock while they wait, and
//! a guest that says the same for ever does nothing.
//!
//! A console's bytes arrive in pieces of any size, so nothing here depends on where they are cut:
//! they are one stream of letters, and what was not said lately is a stretch of it that is unknown.

use std::collections::{HashSet, VecDeque};

use crate::ui::Escapes;

/// How many stretches are remembered: text that repeats itself after more letters is new.
const REMEMBERED: usize = 32 << 10;

/// Longest number before a percent sign, in digits.
const DIGITS: usize = 3;

/// What a console said lately. Digits do not count, they are the clock's; but a percentage does.
#[derive(Debug, Default)]
pub(super) struct News {
    escapes: Escapes,
    digits: Vec<u8>,
    /// The latest 16 letters.
    stretch: u128,
    known: HashSet<u128>,
    order: VecDeque<u128>,
}

impl News {
    /// Whether these bytes of the console say anything new.
    pub(super) fn is_new(&mut self, data: &[u8]) -> bool {
        // Not `any`: every byte has to be looked at.
        data.iter().fold(false, |new, byte| self.byte(*byte) | new)
    }

    fn byte(&mut self, byte: u8) -> bool {
        // A part of a character is no control character.
        let c = if byte.is_ascii() {
            char::from(byte)
        } else {
            char::REPLACEMENT_CHARACTER
        };
        self.escapes.is_text(c) && self.text(byte)
    }

    fn text(&mut self, byte: u8) -> bool {
        match byte {
            b'0'..=b'9' => {
                self.digits.truncate(DIGITS);
                self.digits.push(byte);
                false
            }
            b'%' => {
                let digits = std::mem::take(&mut self.digits);
                let number = digits.into_iter().chain([byte]);
                number.fold(false, |new, byte| self.letter(byte) | new)
            }
            _ => {
                self.digits.clear();
                // Of other alphabets, every byte is a letter.
                (byte.is_ascii_alphabetic() || byte >= 0x80) && self.letter(byte)
            }
        }
    }

    fn letter(&mut self, letter: u8) -> bool {
        self.stretch = self.stretch << 8 | u128::from(letter);
        if !self.known.insert(self.stretch) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(self.stretch);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pieces say anything new.
    fn new<T: AsRef<[u8]>>(pieces: &[T]) -> Vec<bool> {
        let mut news = News::default();
        pieces
            .iter()
            .map(|piece| news.is_new(piece.as_ref()))
            .collect()
    }

    #[test]
    fn progress_is_new_and_repetition_is_not() {
        let seen = new(&[
            "Loading  ",
            "... 10%",
            "... 20%",
            "... 30%\n",
            "Unpacking\n",
            "12:30 \u{1b}[31m",
        ]);
        assert_eq!(seen, [true, true, true, true, true, false]);
    }

    #[test]
    fn a_clock_is_not_new_however_it_is_cut() {
        let text: String = (0..2000)
            .map(|n| format!("\u{1b}[25;1H(1*installer  2 shell)[ Nov 21 7:{n} ]"))
            .collect();
        // Pieces of changing sizes, as a slow serial port delivers them.
        for most in [1, 5, 17, 43, 400] {
            let mut news = News::default();
            let (mut rest, mut size, mut late) = (text.as_bytes(), 0, 0);
            while !rest.is_empty() {
                size = (size * 7 + 3) % most + 1;
                let (piece, after) = rest.split_at(size.min(rest.len()));
                late += usize::from(news.is_new(piece) && rest.len() < text.len() - 100);
                rest = after;
            }
            assert_eq!(late, 0, "{most}");
        }
    }

    #[test]
    fn an_endless_repetition_is_not_new_however_it_is_cut() {
        let text = "the first line of the flood\nthe second one\n".repeat(4000);
        for size in [7, 100, 1000, 8192] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let late = new(&pieces)[1..]
                .iter()
                .skip(100 / size)
                .filter(|new| **new)
                .count();
            assert_eq!(late, 0, "{size}");
        }
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut news = News::default();
        let mut word = 0u32;
        for _ in 0..REMEMBERED {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let letters = word.to_le_bytes().map(|byte| b'a' + byte % 26);
            news.is_new(&letters);
        }
        assert!(news.known.len() <= REMEMBERED && news.order.len() <= REMEMBERED);
    }
}
