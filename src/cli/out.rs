//! Results go to standard output, through here.

use std::io::{self, IsTerminal as _, Write as _};

use crate::error::{Context as _, Error, Kind, Result};
use crate::ui::printable;

/// The signal of a pipe whose reader has gone.
pub(crate) const SIGPIPE: i32 = 13;

/// Prints a result.
///
/// # Errors
/// When standard output cannot be written. A reader that has gone (`| head`) gives
/// [`Kind::Interrupted`] with [`SIGPIPE`], which ends the command quietly.
pub(crate) fn print(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

/// As [`print()`]. A terminal gets only what can be read: much of what is printed comes from
/// guests, foreign disks and servers.
///
/// # Errors
/// As [`print()`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = match stdout.is_terminal() {
        true => stdout.write_all(for_terminal(&String::from_utf8_lossy(bytes)).as_bytes()),
        false => stdout.write_all(bytes),
    };
    let written = written.and_then(|()| stdout.flush());
    match written {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Err(Error::new(
            Kind::Interrupted(SIGPIPE),
            "the reader of the output has gone",
        )),
        other => other.doing(|| "writing the result to standard output".into()),
    }
}

/// Prints a value as indented JSON.
///
/// # Errors
/// As [`print`].
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|cause| Error::internal("a result has no JSON form").cause(cause))?;
    print(&format!("{text}\n"))
}

/// The text without what a terminal would obey; its lines and columns stay.
fn for_terminal(text: &str) -> String {
    let columns = |line: &str| {
        let columns: Vec<String> = line.split('\t').map(printable).collect();
        columns.join("\t")
    };
    let lines: Vec<String> = text.split('\n').map(columns).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_columns_and_nothing_to_obey() {
        let text = "a\tb\u{1b}[2J\n\u{1b}]52;c;cm0=\u{7}/etc/\u{202e}fdp.exe\u{9b}31m\r\nend\n";
        assert_eq!(for_terminal(text), "a\tb\n/etc/fdp.exe\nend\n");
    }
}
