//! Words and lines of commands, for shells and people.

/// The text as one word of a POSIX shell.
pub fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

pub(super) fn shorten(line: &str) -> String {
    if line.chars().count() <= 200 {
        line.to_owned()
    } else {
        line.chars().take(197).chain("...".chars()).collect()
    }
}
