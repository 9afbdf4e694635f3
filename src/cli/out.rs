//! Results go to standard output, through here.

use std::io::{self, Write as _};

use crate::error::{Context as _, Error, Kind, Result};

/// The signal of a pipe whose reader has gone.
pub const SIGPIPE: i32 = 13;

/// Prints a result.
///
/// # Errors
/// When standard output cannot be written. A reader that has gone (`| head`) gives
/// [`Kind::Interrupted`] with [`SIGPIPE`], which ends the command quietly.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
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
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|cause| Error::internal("a result has no JSON form").cause(cause))?;
    print(&format!("{text}\n"))
}
