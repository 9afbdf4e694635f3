//! What went wrong, for whom it matters, and what to do next.
//!
//! An error is a kind (which decides the exit code), one sentence, its causes, and a hint with
//! the next command to type. [`Error::render`] is the only place that draws one.

use std::fmt::{self, Display, Write as _};

use crate::address;

/// Result with imgforge's own error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A stage or a download failed, or the disk filled up during one (exit 1).
    Stage,
    /// A guest has broken out of QEMU: nothing of what was being made may be used, or kept to look at
    /// (exit 1).
    Breach,
    /// The command line, a recipe or another input is wrong (exit 2).
    Usage,
    /// The host is not ready: a tool, rights or space are missing (exit 3).
    Host,
    /// A check, scan or signature failed (exit 4).
    Gate,
    /// A bug in imgforge (exit 70).
    Internal,
    /// Ctrl-C or SIGTERM; carries the signal's number (exit 128 + signal).
    Interrupted(i32),
}

impl Kind {
    /// The kind of several failures together, for whoever looks at the exit code only: what needs somebody most. An
    /// interrupt ends all; what is damaged or a bug is no input's fault, and a wrong input is told last, as it would
    /// be told again.
    pub fn of_several(kinds: impl IntoIterator<Item = Kind>) -> Option<Kind> {
        kinds.into_iter().min_by_key(|kind| match kind {
            Kind::Interrupted(_) => 0,
            Kind::Internal => 1,
            Kind::Breach => 2,
            Kind::Gate => 3,
            Kind::Host => 4,
            Kind::Stage => 5,
            Kind::Usage => 6,
        })
    }

    /// The exit code of the process, as documented in the man page.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Stage | Kind::Breach => 1,
            Kind::Usage => 2,
            Kind::Host => 3,
            Kind::Gate => 4,
            Kind::Internal => 70,
            Kind::Interrupted(signal) => 128u8.wrapping_add(signal as u8),
        }
    }
}

/// An error: kind, sentence, causes, evidence, hint.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: Box<str>,
    causes: Vec<String>,
    evidence: Vec<String>,
    hint: Option<Box<str>>,
    resume: Option<Box<str>>,
    report: Box<str>,
}

impl Error {
    /// Makes an error of `kind` with one sentence that says what imgforge was doing and what happened.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: shown(message),
            causes: vec![],
            evidence: vec![],
            hint: None,
            resume: None,
            report: Box::default(),
        }
    }

    /// A stage or a download failed.
    pub fn stage(message: impl Into<String>) -> Self {
        Self::new(Kind::Stage, message)
    }

    /// The command line or a recipe is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The host lacks something.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(Kind::Host, message)
    }

    /// A check, scan or signature failed.
    pub fn gate(message: impl Into<String>) -> Self {
        Self::new(Kind::Gate, message)
    }

    /// A bug in imgforge.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds a cause; the nearest one first.
    #[must_use]
    pub fn cause(mut self, cause: impl Display) -> Self {
        self.causes.push(shown(cause.to_string()).into());
        self
    }

    /// Adds lines to show under the message, such as the last lines of a console.
    #[must_use]
    pub fn evidence<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        let lines = lines.into_iter().map(|line| shown(line).into());
        self.evidence.extend(lines);
        self
    }

    /// Sets a text to draw as it is above the message, such as the diagnostics of a recipe.
    #[must_use]
    pub fn report(mut self, report: impl Into<String>) -> Self {
        self.report = shown(report);
        self
    }

    /// Sets the next thing to do; the first hint, made nearest to the cause, stays.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| shown(hint));
        self
    }

    /// Replaces the general hint `instead_of`, and no other, by one that knows more.
    #[must_use]
    pub fn better_hint(mut self, instead_of: &str, hint: impl Into<String>) -> Self {
        if self.hint.as_deref() == Some(instead_of) {
            self.hint = Some(shown(hint));
        }
        self
    }

    /// Puts a wider sentence before this one, which becomes its first cause.
    #[must_use]
    pub fn within(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, shown(message));
        self.causes.insert(0, inner.into());
        self
    }

    /// Sets the command that goes on after a failed stage.
    #[must_use]
    pub fn resume(mut self, resume: impl Into<String>) -> Self {
        self.resume = Some(shown(resume));
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence without causes and hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What led to it, the nearest cause first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// Lines to show under the message.
    pub fn evidence_lines(&self) -> &[String] {
        &self.evidence
    }

    /// The next thing to do, if known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The command that goes on after a failed stage, if there is one.
    pub fn resume_text(&self) -> Option<&str> {
        self.resume.as_deref()
    }

    /// Draws the error for a person: `error:`, `caused by:`, evidence, `hint:`,
    /// `resume:`.
    pub fn render(&self) -> String {
        let mut out = match &*self.report {
            "" => String::new(),
            report => format!("{report}\n"),
        };
        let _ = writeln!(out, "error: {}", self.message);
        for cause in &self.causes {
            let _ = writeln!(out, "caused by: {cause}");
        }
        for line in &self.evidence {
            let _ = writeln!(out, "  | {line}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "hint: {hint}");
        }
        if let Some(resume) = &self.resume {
            let _ = writeln!(out, "resume: {resume}");
        }
        out
    }
}

/// Errors end in logs and events, and other programs repeat the addresses that they got.
fn shown(text: impl Into<String>) -> Box<str> {
    address::hide(&text.into()).into()
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.causes
            .iter()
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Error {}

/// The hint of everything that a full disk ended.
pub const DISK_FULL: &str =
    "the disk is full: `imgforge gc --free 10GiB` removes the least recently used layers";

/// Turns foreign errors into ours, saying what imgforge was doing.
pub trait Context<T> {
    /// Wraps the error as the cause of a failed stage; `doing` is a gerund phrase ("reading FILE").
    ///
    /// # Errors
    /// The same failure, with the sentence "DOING failed". A full disk gets its own hint.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| {
            let error = Error::stage(format!("{} failed", doing())).cause(&cause);
            match cause.kind() {
                std::io::ErrorKind::StorageFull => error.hint(DISK_FULL),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    error.hint("choose a directory that you can write to with --state DIR")
                }
                std::io::ErrorKind::FileTooLarge => error.hint(
                    "no file may be that large here: see `ulimit -f`, and what the file system can hold",
                ),
                _ => error,
            }
        })
    }
}

impl<T> Context<T> for Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.within(format!("{} failed", doing())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_failures_the_one_that_needs_somebody_most_counts() {
        let code = |kinds: &[Kind]| Kind::of_several(kinds.iter().copied()).map(Kind::exit_code);
        assert_eq!(code(&[Kind::Usage, Kind::Gate, Kind::Stage]), Some(4));
        assert_eq!(code(&[Kind::Usage, Kind::Stage, Kind::Usage]), Some(1));
        assert_eq!(code(&[Kind::Gate, Kind::Interrupted(2)]), Some(130));
        assert_eq!(code(&[]), None);
    }

    #[test]
    fn an_error_is_drawn_with_causes_evidence_and_the_first_hint() {
        let error = Error::stage("the installation of web-node failed")
            .cause("no sentinel on the disk")
            .evidence(["Kernel panic"])
            .hint("imgforge build web-node")
            .hint("a later hint");
        insta::assert_snapshot!(error.render(), @r"
        error: the installation of web-node failed
        caused by: no sentinel on the disk
          | Kernel panic
        hint: imgforge build web-node
        ");
    }

    #[test]
    fn every_kind_has_the_documented_exit_code() {
        let codes = [
            Kind::Stage,
            Kind::Usage,
            Kind::Host,
            Kind::Gate,
            Kind::Internal,
        ]
        .map(Kind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 70]);
        assert_eq!(
            (
                Kind::Interrupted(2).exit_code(),
                Kind::Interrupted(15).exit_code()
            ),
            (130, 143)
        );
    }
}
