//! Programs that were just written.
//!
//! Who has a file open for writing keeps it from being started, and a program that another thread is
//! just starting has a copy of all that is open here, until it begins.

use std::io::{Error as IoError, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Program;
use crate::error::Result;

/// How often a program is started that is being written.
const TRIES: usize = 50;

/// How long it is left alone in between: a copy is gone within milliseconds.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a program did not begin as it was being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Looks at why it cannot be started.
    pub(super) fn refused(&self, cause: &IoError) {
        self.note(cause.kind() == ErrorKind::ExecutableFileBusy);
    }

    /// Looks at how it ended, and at all that it said: what is put in front of a program tells so.
    pub(super) fn ended(&self, program: &Path, code: i32, said: &str) {
        let words = format!(" failed to execute {}: Text file busy", program.display());
        let whose = said
            .strip_suffix(&words)
            .and_then(|said| said.strip_suffix(':'));
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        self.note(code == 126 && whose.is_some_and(is_word));
    }

    fn note(&self, busy: bool) {
        self.0.fetch_or(busy, Ordering::SeqCst);
    }
}

impl Program {
    /// Runs it, again for a while where it does not begin as it is being written.
    pub(super) fn tried<T>(self, run: impl Fn(&mut Self) -> Result<T>) -> Result<T> {
        self.tried_after(|| std::thread::sleep(PAUSE), run)
    }

    pub(super) fn tried_after<T>(
        mut self,
        mut pause: impl FnMut(),
        run: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<T> {
        // What something else writes to it comes once.
        let tries = if self.stdin.is_none() { TRIES } else { 1 };
        for _ in 1..tries {
            let ran = run(&mut self);
            if !self.busy.0.swap(false, Ordering::SeqCst) {
                return ran;
            }
            pause();
        }
        run(&mut self)
    }
}

/// Writes a program that anybody can start at once: this process never has it open.
///
/// # Errors
/// When it cannot be written.
pub fn write_program(path: &Path, text: &str) -> Result<()> {
    let install = Program::new("install").args(["-m", "0755", "/dev/stdin"]);
    install.arg(path).input(text).run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_program_that_is_being_written_is_started_when_that_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        write_program(&path, "#!/bin/sh\necho ran; echo again >&2; exit 126\n").unwrap();
        let open = || std::fs::File::options().append(true).open(&path).unwrap();
        let run = |program: Program, pauses: &mut usize| {
            let held = RefCell::new(Some(open()));
            let pause = || {
                *pauses += 1;
                // The second time, it is done.
                drop((*pauses == 2).then(|| held.take()));
            };
            program
                .tried_after(pause, Program::output_once)
                .unwrap_err()
        };
        for program in [
            Program::at(&path),
            Program::at(&path).in_namespaces(&["--user"]),
            Program::at(&path).on_foreign_file(),
        ] {
            let mut pauses = 0;
            let error = run(program.input("x"), &mut pauses);
            assert!(error.render().contains("| again"), "it began: {error}");
            // A program that another test was just starting may have had a copy a little longer.
            assert!(pauses >= 2, "{pauses}");
        }
        // Not for ever.
        let _held = open();
        let mut pauses = 0;
        let program = Program::at(&path);
        let error = program.tried_after(|| pauses += 1, Program::output_once);
        let error = error.unwrap_err().render();
        assert!(error.contains("Text file busy"), "{error}");
        assert_eq!(pauses, TRIES - 1);
    }
}
