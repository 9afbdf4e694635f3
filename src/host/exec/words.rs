//! Words and lines of commands, for shells and people.

/// The text as one word of a POSIX shell.
pub fn quote(arg: &str) -> String {
    // The crate quotes these, too, as they mean something where no argument is: between braces, or
    // in the first word. Command lines that people read are full of them.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    let word = shlex::Quoter::new().allow_nul(true).quote(arg);
    word.expect("only a NUL is ever refused").into_owned()
}

pub(super) fn shorten(line: &str) -> String {
    if line.chars().count() <= 200 {
        line.to_owned()
    } else {
        line.chars().take(197).chain("...".chars()).collect()
    }
}
