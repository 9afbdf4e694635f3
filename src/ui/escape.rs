//! Escape sequences of terminals, as ECMA-48 and xterm have them: nothing that others write drives one.

/// Where a text is in an escape sequence, however it is cut into pieces.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// In none.
    #[default]
    None,
    /// Behind the escape character.
    Begun,
    /// In a sequence with parameters.
    Parameters,
    /// In a text for the terminal itself, such as its title.
    Text,
    /// Before the last character of a sequence.
    One,
}

impl Escapes {
    /// Whether the next character is no part of a sequence. One that has no end ends with its line.
    pub fn is_text(&mut self, c: char) -> bool {
        let (next, is_text) = match (*self, c) {
            (_, '\n') => (Escapes::None, true),
            (_, '\u{1b}') => (Escapes::Begun, false),
            (Escapes::None, '\u{9b}') | (Escapes::Begun, '[') => (Escapes::Parameters, false),
            (Escapes::None, '\u{90}' | '\u{9d}' | '\u{9e}' | '\u{9f}')
            | (Escapes::Begun, ']' | 'P' | '^' | '_') => (Escapes::Text, false),
            (Escapes::Begun, '(' | ')' | '#' | '%') => (Escapes::One, false),
            (Escapes::Parameters, '@'..='~') | (Escapes::Text, '\u{7}' | '\u{9c}') => {
                (Escapes::None, false)
            }
            (Escapes::Parameters | Escapes::Text, _) => (*self, false),
            (Escapes::Begun | Escapes::One, _) => (Escapes::None, false),
            (Escapes::None, _) => (Escapes::None, true),
        };
        *self = next;
        is_text
    }
}

/// Whether a terminal shows no character for it, or could show a line as something else: control characters,
/// and those that change the direction of text.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The text on one line, without escape sequences and what [is unseen](is_unseen).
pub fn printable(text: &str) -> String {
    let mut escapes = Escapes::default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| escapes.is_text(*c)) {
        match c {
            '\t' => out.push_str("    "),
            c if is_unseen(c) => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_without_what_drives_a_terminal() {
        for (raw, seen) in [
            ("\u{1b}[0;32m  OK  \u{1b}[0m] Started", "  OK  ] Started"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]0;title\u{1b}\\text", "text"),
            ("\u{1b}P1;2|q\u{1b}\\text", "text"),
            ("\u{9b}2Jtext\u{9d}0;title\u{9c}", "text"),
            // A character set is one character more.
            ("\u{1b}(Btext\u{1b})0\u{1b}#8\u{1b}%G", "text"),
            // Not only letters end a sequence.
            ("\u{1b}[4~text\u{1b}[2@", "text"),
            ("\u{1b}[1;2;3", ""),
            ("\u{1b}]52;never ended\nthe next line", "the next line"),
            ("\u{1b}[\nthe next line", "the next line"),
            ("\u{1b}7text\u{1b}", "text"),
            ("a\tb\u{8}\u{0}\u{202e}c", "a    bc"),
        ] {
            assert_eq!(printable(raw), seen, "{raw:?}");
        }
    }
}
