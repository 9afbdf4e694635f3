//! Tells new words on a console from repeated ones: installers redraw a clock while they wait, and
//! a guest that says the same for ever does nothing.

use std::collections::VecDeque;

use crate::runner::lines::plain;

/// How many pieces are remembered.
const REMEMBERED: usize = 64;

/// What a console said lately. Digits do not count: they are the clock's.
#[derive(Debug, Default)]
pub(super) struct News {
    chunks: VecDeque<String>,
    lines: VecDeque<String>,
    pending: String,
}

impl News {
    /// Whether `data`, which completed `lines` and left `pending`, says anything new.
    pub(super) fn is_new(&mut self, data: &[u8], lines: &[String], pending: &str) -> bool {
        let text = plain(&String::from_utf8_lossy(data));
        let words = letters(&text);
        let new_chunk =
            (!words.is_empty() || text.contains('%')) && remember(&mut self.chunks, words);
        let mut new_line = false;
        for line in lines {
            let words = letters(line);
            new_line |= !words.is_empty() && remember(&mut self.lines, words);
        }
        let words = letters(pending);
        let known = words.is_empty() || self.lines.iter().any(|line| line.starts_with(&words));
        let grown = pending.contains('%') || !known;
        let new_pending = pending != self.pending && grown;
        pending.clone_into(&mut self.pending);
        new_chunk && (new_line || new_pending)
    }
}

/// Whether it is not among the remembered.
fn remember(recent: &mut VecDeque<String>, words: String) -> bool {
    // A share may grow without any new word.
    if words.is_empty() {
        return true;
    }
    if recent.contains(&words) {
        return false;
    }
    if recent.len() == REMEMBERED {
        recent.pop_front();
    }
    recent.push_back(words);
    true
}

fn letters(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphabetic())
        .take(1000)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::lines::Lines;
    use crate::runner::mask::Mask;

    /// Which chunks say anything new.
    fn new<T: AsRef<[u8]>>(chunks: &[T]) -> Vec<bool> {
        let (mut news, mut lines, mask) = (News::default(), Lines::default(), Mask::default());
        let each = |chunk: &T| {
            let done = lines.push(chunk.as_ref(), &mask);
            news.is_new(chunk.as_ref(), &done, &lines.pending(&mask))
        };
        chunks.iter().map(each).collect()
    }

    #[test]
    fn progress_is_new_and_a_clock_is_not() {
        let seen = new(&[
            "Loading  ",
            "... 10%",
            "... 20%",
            "... 30%\n",
            "Unpacking\n",
            "Unpacking\n",
        ]);
        assert_eq!(seen, [true, true, true, true, true, false]);
        let clock = |n: u32| format!("\u{1b}[1;1H(1*installer)[ Nov 21 7:{n} ]");
        let seen = new(&(0..50).map(clock).collect::<Vec<_>>());
        assert_eq!(seen.iter().filter(|new| **new).count(), 1);
    }

    #[test]
    fn an_endless_repetition_is_not_new_however_it_is_cut() {
        let text = "the first line of the flood\nthe second one\n".repeat(4000);
        for size in [7, 100, 1000, 8192] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let seen = new(&chunks);
            let late = seen[seen.len() / 2..].iter().filter(|new| **new).count();
            assert_eq!(late, 0, "{size}");
        }
    }
}
