//! A line of words in quotes, as Python's `shlex` splits it with comments: how Anaconda reads a command.

/// A command's line without its comment: a `#` outside of quotes begins one, within a word as well, and no line
/// goes on behind a `\`. Shown by `findings/pykickstart-comments-begin-within-words.sh`.
pub(super) fn command(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, char) in line.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '#') => return &line[..at],
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
    }
    line
}

/// The words of a command without its comment and their quotes, as Python's `shlex.split` has them, joined by
/// blanks.
pub(super) fn words(line: &str) -> String {
    let (mut quote, mut text) = (None, String::new());
    let mut chars = command(line).chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (None, '\\') => text.extend(chars.next()),
            (Some('"'), '\\') => match chars.next() {
                Some(next @ ('"' | '\\')) => text.push(next),
                next => text.extend(['\\'].into_iter().chain(next)),
            },
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => text.push(char),
        }
    }
    text
}
