//! The one door to other programs.
//!
//! A program gets a clean environment (a short list of names passes), no standard input unless
//! given, a process group of its own and, through `setpriv --pdeathsig`, an end when imgforge
//! ends. Its standard error is kept to the last 4 KiB, which an error shows.
//!
//! Nothing of a guest goes through: a program is a name in this source, and a [`GuestTree`] is none.

pub mod apart;
mod busy;
mod passed;
mod running;
mod tree;
mod words;
mod wrapped;

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::{Context as _, Error, Result};
use crate::host::{interrupt, temporary};
pub use busy::write_program;
use passed::PASSED;
pub use running::Running;
use running::{Tap, each_chunk, each_line, keep};
pub use tree::GuestTree;
pub use words::quote;
use words::shorten;
pub use wrapped::find;

/// How much of a program's standard error an error can show, in bytes.
const STDERR_KEPT: usize = 4096;

/// The most that a program may print where all of it is kept, in bytes.
const LARGEST_OUTPUT: u64 = 256 << 20;

/// A call of another program, built up and then run once.
#[derive(Debug)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    namespaces: Option<&'static [&'static str]>,
    env: Vec<(String, OsString)>,
    dir: Option<PathBuf>,
    input: Option<Arc<Vec<u8>>>,
    stdin: Option<Stdio>,
    timeout: Option<Duration>,
    hint: Option<String>,
    done: Option<i32>,
    orphaned: &'static str,
    foreign: Option<u32>,
    user: Option<u32>,
    room: Option<PathBuf>,
    apart: Option<Vec<apart::Shown>>,
    despite_interrupt: bool,
    busy: busy::Busy,
}

impl Program {
    /// A call of the program `name`, found on `PATH`.
    pub fn new(name: &'static str) -> Self {
        Self::at(name)
    }

    /// A call of a program that no name in this source can stand for: imgforge itself, what
    /// imgforge.yaml names, and a toolbox's own.
    pub fn at(file: impl AsRef<Path>) -> Self {
        Program {
            name: file.as_ref().as_os_str().to_owned(),
            args: vec![],
            namespaces: None,
            env: vec![],
            dir: None,
            input: None,
            stdin: None,
            timeout: None,
            hint: None,
            done: None,
            orphaned: "KILL",
            foreign: None,
            user: None,
            room: None,
            apart: None,
            despite_interrupt: false,
            busy: busy::Busy::default(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Starts it in namespaces of its own: `arguments` are of `unshare`.
    #[must_use]
    pub fn in_namespaces(mut self, arguments: &'static [&'static str]) -> Self {
        self.namespaces = Some(arguments);
        self
    }

    /// Gives it the user and group id `id`, and no other group's; only root can.
    #[must_use]
    pub fn as_user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Works in `dir`, which is its place for temporary files, too: nobody else leaves files there that
    /// it would take for its own.
    #[must_use]
    pub fn scratch(self, dir: &Path) -> Self {
        self.dir(dir).env("TMPDIR", dir)
    }

    /// Gives bytes on standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(Arc::new(input.into()));
        self
    }

    /// Gives it the standard input that something else writes, such as a pipe.
    #[must_use]
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.stdin = Some(from.into());
        self
    }

    /// Kills the program's process group after this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Ends the program when it has filled the file system of `dir`: what it unpacks is of others.
    #[must_use]
    pub fn leaving_room(mut self, dir: impl Into<PathBuf>) -> Self {
        self.room = Some(dir.into());
        self
    }

    /// What to do when the program is missing or fails.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An exit code beside 0 that means success.
    #[must_use]
    pub fn done_with(mut self, code: i32) -> Self {
        self.done = Some(code);
        self
    }

    /// Interrupts the program, as Ctrl-C does, when imgforge dies: it cleans up after itself.
    /// The others are killed.
    #[must_use]
    pub fn interrupted_with_us(mut self) -> Self {
        self.orphaned = "INT";
        self
    }

    /// Runs to its end also after Ctrl-C: it takes back what was begun, or says what was.
    #[must_use]
    pub fn despite_interrupt(mut self) -> Self {
        self.despite_interrupt = true;
        self
    }

    /// The command line as a person would type it.
    pub fn line(&self) -> String {
        let outer = self
            .namespaces
            .map(|arguments| [&["unshare"], arguments, &["--"]].concat());
        let outer = outer.into_iter().flatten().map(str::to_owned);
        let quoted = self.args.iter().map(|arg| quote(&arg.to_string_lossy()));
        let name = self.name.to_string_lossy().into_owned();
        let words = outer.chain([name]).chain(quoted);
        words.collect::<Vec<_>>().join(" ")
    }

    /// Runs to the end and throws the output away.
    ///
    /// # Errors
    /// When the program is missing, fails, takes too long or imgforge is interrupted.
    pub fn run(self) -> Result<()> {
        self.output().map(drop)
    }

    /// The program looks at the head of a file of others: a gigabyte of memory and 30 s of a
    /// processor must do.
    #[must_use]
    pub fn on_foreign_file(self) -> Self {
        self.on_foreign_content(30)
    }

    /// As [`Program::on_foreign_file`], for what reads all of it: so many seconds of a processor.
    #[must_use]
    pub fn on_foreign_content(mut self, seconds: u32) -> Self {
        self.foreign = Some(seconds);
        self
    }

    /// Runs to the end and returns standard output.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn output(self) -> Result<Vec<u8>> {
        self.tried(Self::output_once)
    }

    fn output_once(&mut self) -> Result<Vec<u8>> {
        let line = shorten(&self.line());
        let mut running = self.spawn_with(None)?;
        let stdout = running.take_stdout();
        let flooded = Arc::new(AtomicBool::new(false));
        let flood = Arc::clone(&flooded);
        let reader = std::thread::spawn(move || {
            let (mut bytes, mut some) = (Vec::new(), stdout.take(LARGEST_OUTPUT + 1));
            let result = some.read_to_end(&mut bytes);
            flood.store(bytes.len() as u64 > LARGEST_OUTPUT, Ordering::SeqCst);
            // Who prints more finds the pipe closed; and ends of that, after the reason was noted.
            drop(some);
            result.map(|_| bytes)
        });
        let ended = running.wait();
        if flooded.load(Ordering::SeqCst) {
            let most = crate::units::Size::bytes(LARGEST_OUTPUT).human();
            return Err(Error::stage(format!("`{line}` printed more than {most}")));
        }
        ended?;
        let read = reader
            .join()
            .map_err(|_| Error::internal("the reader of a program's output panicked"))?;
        read.doing(|| "reading a program's output".into())
    }

    /// Runs to the end and returns standard output as text, without the final newline.
    ///
    /// # Errors
    /// As [`Program::run`]; invalid UTF-8 is replaced.
    pub fn text(self) -> Result<String> {
        let bytes = self.output()?;
        Ok(String::from_utf8_lossy(&bytes)
            .trim_end_matches('\n')
            .to_owned())
    }

    /// Runs to the end and parses standard output as JSON.
    ///
    /// # Errors
    /// As [`Program::run`]; also when the output has another shape.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let line = self.line();
        serde_json::from_slice(&self.output()?)
            .map_err(|cause| Error::stage(format!("`{line}` printed unexpected JSON")).cause(cause))
    }

    /// Runs to the end, giving each line of standard output and standard error to `tap`.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn lines(self, tap: impl Fn(&str) + Send + Sync + 'static) -> Result<()> {
        let tap: Tap = Arc::new(tap);
        self.tried(|program| {
            let tap = Arc::clone(&tap);
            let mut running = program.spawn_with(Some(Arc::clone(&tap)))?;
            let stdout = running.take_stdout();
            let reader = std::thread::spawn(move || each_line(stdout, |line| tap(line)));
            let result = running.wait();
            drop(reader.join());
            result
        })
    }

    /// Starts the program; standard output is a pipe that the caller may take.
    ///
    /// # Errors
    /// When the program is missing or cannot be started.
    pub fn spawn(mut self) -> Result<Running> {
        self.spawn_with(None)
    }

    fn spawn_with(&mut self, tap: Option<Tap>) -> Result<Running> {
        if !self.despite_interrupt {
            interrupt::check()?;
        }
        let line = self.line();
        let (mut command, path) = self.command()?;
        command
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("LANG", "C.UTF-8");
        for name in PASSED {
            let taken = *name != "TMPDIR" || temporary::chosen().is_some();
            if let Some(value) = std::env::var_os(name).filter(|_| taken) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.stdin(match (self.stdin.take(), &self.input) {
            (Some(from), _) => from,
            (None, Some(_)) => Stdio::piped(),
            (None, None) => Stdio::null(),
        });
        let mut child = command.spawn().map_err(|cause| {
            self.busy.refused(&cause);
            Error::host(format!("`{}` cannot be started", self.name.display())).cause(cause)
        })?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input.clone()) {
            // A program that does not read its input to the end says why with its exit status.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let tail = Arc::new(Mutex::new(Vec::new()));
        let errors = child.stderr.take().map(|stderr| {
            let tail = Arc::clone(&tail);
            std::thread::spawn(move || match tap {
                Some(tap) => each_line(stderr, |line| {
                    tap(line);
                    keep(&tail, line.as_bytes());
                    keep(&tail, b"\n");
                }),
                None => each_chunk(stderr, |chunk| keep(&tail, chunk)),
            })
        });
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        Ok(Running {
            child,
            tail,
            errors,
            deadline,
            timeout: self.timeout,
            line,
            hint: self.hint.clone(),
            done: self.done,
            room: self.room.clone(),
            despite_interrupt: self.despite_interrupt,
            path,
            busy: self.busy.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
