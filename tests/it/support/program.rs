//! Starts imgforge as its users do, and others' programs that judge what it made.

#![allow(
    clippy::disallowed_methods,
    reason = "tests do not go through the door that they test"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use imgforge::host::exec::Program;
use serde_json::Value;

use super::slots;

/// The program, for scripts of verbs that start neither a guest nor an appliance.
pub(crate) const IMGFORGE: &str = env!("CARGO_BIN_EXE_imgforge");

/// Variables of whoever runs the tests that would change what imgforge does.
const OF_USERS: [&str; 4] = ["GNUPGHOME", "SUDO_UID", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];

/// imgforge, for verbs that start neither a guest nor an appliance.
pub(crate) fn imgforge() -> Command {
    imgforge_at(Path::new(IMGFORGE))
}

/// As [`imgforge`], of a copy of the program.
pub(super) fn imgforge_at(copy: &Path) -> Command {
    let mut command = Command::new(copy);
    let own = |name: &str| name.starts_with("IMGFORGE_") && !name.starts_with("IMGFORGE_TEST_");
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| own(name) || OF_USERS.contains(&name))
        {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// imgforge, for verbs that may start a guest.
#[track_caller]
pub(crate) fn imgforge_with_guests() -> Command {
    slots::take(1);
    imgforge()
}

/// As [`imgforge`], through the library's door to programs.
pub(crate) fn imgforge_by_the_door() -> Program {
    Program::at(IMGFORGE)
}

/// `words`, which end by running the program and the arguments that follow them.
pub(crate) fn under(words: &[&str], command: &Command) -> Command {
    let mut whole = external(words[0]);
    whole.args(&words[1..]).arg(command.get_program());
    whole.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        whole.current_dir(dir);
    }
    whole
}

/// A program of others.
pub(crate) fn external(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// Runs a program of others, which has to succeed; its output.
#[track_caller]
pub(crate) fn tool(name: &str, args: &[&str]) -> String {
    external(name).args(args).said().ok().out
}

/// Runs a command to its end.
pub(crate) trait Run {
    /// How it ended, and what it said.
    fn said(&mut self) -> Said;
}

impl Run for Command {
    #[track_caller]
    fn said(&mut self) -> Said {
        let output = self.output();
        Said::of(
            output.unwrap_or_else(|error| panic!("{self:?}: {error}")),
            self,
        )
    }
}

/// How a program ended, and what it said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    line: String,
}

impl Said {
    pub(crate) fn of(output: Output, command: &Command) -> Self {
        let text = |bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
        };
        let words = command.get_args().map(|word| word.to_string_lossy());
        Said {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
            line: format!(
                "{} {}",
                Path::new(command.get_program()).display(),
                words.collect::<Vec<_>>().join(" ")
            ),
        }
    }

    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.evidence());
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Errors and messages have all of this.
    #[track_caller]
    pub(crate) fn says(self, words: &[impl AsRef<str>]) -> Self {
        self.has(&self.err, words);
        self
    }

    /// The result has all of this.
    #[track_caller]
    pub(crate) fn prints(self, words: &[impl AsRef<str>]) -> Self {
        self.has(&self.out, words);
        self
    }

    #[track_caller]
    fn has(&self, text: &str, words: &[impl AsRef<str>]) {
        for words in words.iter().map(AsRef::as_ref) {
            assert!(text.contains(words), "no `{words}` in {}", self.evidence());
        }
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value = serde_json::from_str(&self.out);
        value.unwrap_or_else(|error| panic!("{error}: {}", self.evidence()))
    }

    /// The events of `--progress json`.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line| serde_json::from_str(line).expect(line);
        self.err.lines().map(event).collect()
    }

    /// Both outputs.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The exit code and both outputs.
    pub(crate) fn both(self) -> (i32, String) {
        (self.code.unwrap_or(-1), self.all())
    }

    /// The command line, the exit code, and how both outputs begin and end.
    pub(crate) fn evidence(&self) -> String {
        let Said {
            code,
            line,
            out,
            err,
        } = self;
        let [out, err] = [out, err].map(|text| excerpt(text, 20, 80));
        format!("{line}\nended with {code:?}\n{out}\n{err}")
    }
}

/// The first and the last lines of a text.
pub(super) fn excerpt(text: &str, first: usize, last: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let Some(more @ 1..) = lines.len().checked_sub(first + last) else {
        return lines.join("\n");
    };
    let cut = format!("[... {more} lines more ...]");
    [&lines[..first], &[&cut], &lines[first + more..]]
        .concat()
        .join("\n")
}
