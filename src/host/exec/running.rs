//! A started program, and what it prints.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::STDERR_KEPT;
use super::busy::Busy;
use crate::error::{Context as _, Error, Result};
use crate::host::{interrupt, space};
use crate::mutex::Unpoisoned as _;

pub(super) type Tap = Arc<dyn Fn(&str) + Send + Sync>;

/// A started program. Dropping it kills its process group.
#[derive(Debug)]
pub struct Running {
    pub(super) child: Child,
    pub(super) tail: Arc<Mutex<Vec<u8>>>,
    pub(super) errors: Option<JoinHandle<()>>,
    pub(super) deadline: Option<Instant>,
    pub(super) timeout: Option<Duration>,
    pub(super) line: String,
    pub(super) hint: Option<String>,
    pub(super) done: Option<i32>,
    pub(super) room: Option<PathBuf>,
    pub(super) despite_interrupt: bool,
    pub(super) path: PathBuf,
    pub(super) busy: Busy,
}

impl Running {
    /// The process id, which is the process group's too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard output.
    ///
    /// # Panics
    /// When taken twice, which is a bug.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child
            .stdout
            .take()
            .expect("standard output is taken once")
    }

    /// The exit status if the program has ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn try_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .doing(|| "waiting for a program".into())
    }

    /// The last lines of standard error so far.
    pub fn stderr_tail(&self) -> String {
        String::from_utf8_lossy(&self.tail.lock().unpoisoned())
            .trim()
            .to_owned()
    }

    /// Waits for a successful end.
    ///
    /// # Errors
    /// When the program fails, its time is over, or imgforge is interrupted (it is killed then).
    pub fn wait(mut self) -> Result<()> {
        let status = loop {
            if let Some(status) = self.try_status()? {
                // A child that the program left behind would keep its pipes open for ever.
                self.end_group();
                break status;
            }
            if !self.despite_interrupt {
                interrupt::check()?;
            }
            self.room.as_deref().map_or(Ok(()), space::check)?;
            if self
                .deadline
                .is_some_and(|deadline| Instant::now() > deadline)
            {
                let limit = self.timeout.unwrap_or_default();
                return Err(self.failed(&format!(
                    "did not end within {}",
                    crate::units::elapsed(limit)
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(errors) = self.errors.take() {
            drop(errors.join());
        }
        if !status.success() {
            // It may have been faster than we look.
            self.room.as_deref().map_or(Ok(()), space::check)?;
        }
        match (status.success(), status.code(), status.signal()) {
            (true, ..) => Ok(()),
            (_, code @ Some(_), _) if code == self.done => Ok(()),
            (_, Some(code), _) => {
                self.busy.ended(&self.path, code, &self.stderr_tail());
                Err(self.failed(&format!("ended with exit code {code}")))
            }
            (_, _, signal) => Err(self.failed(&format!(
                "was ended by signal {}",
                signal.unwrap_or_default()
            ))),
        }
    }

    /// Interrupts the program, as Ctrl-C does, and waits so long for its own clean-up.
    pub fn interrupt(mut self, limit: Duration) {
        self.signal_group(Signal::INT);
        let deadline = Instant::now() + limit;
        while matches!(self.try_status(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end_group(&self) {
        self.signal_group(Signal::KILL);
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process_group(group, signal);
        }
    }

    fn failed(&self, how: &str) -> Error {
        let tail = self.stderr_tail();
        let mut error = Error::stage(format!("`{}` {how}", super::shorten(&self.line))).evidence(
            tail.lines()
                .rev()
                .take(12)
                .collect::<Vec<_>>()
                .into_iter()
                .rev(),
        );
        // Programs are run in the C locale, so that this is what all of them say.
        if tail.contains("No space left on device") {
            error = error.hint(crate::error::DISK_FULL);
        }
        if let Some(hint) = &self.hint {
            error = error.hint(hint.clone());
        }
        error
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        self.end_group();
        drop(self.child.wait());
    }
}

pub(super) fn keep(tail: &Mutex<Vec<u8>>, chunk: &[u8]) {
    let mut tail = tail.lock().unpoisoned();
    tail.extend_from_slice(chunk);
    let excess = tail.len().saturating_sub(STDERR_KEPT);
    tail.drain(..excess);
}

pub(super) fn each_chunk(mut from: impl Read, mut act: impl FnMut(&[u8])) {
    let mut buffer = [0u8; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        act(&buffer[..n]);
    }
}

/// Lines end at `\n` or `\r` (progress bars); at most 4 KiB of one are kept.
pub(super) fn each_line(from: impl Read, mut act: impl FnMut(&str)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(chunk) = from.fill_buf() {
        if chunk.is_empty() {
            break;
        }
        for byte in chunk {
            match byte {
                b'\n' | b'\r' if line.is_empty() => {}
                b'\n' | b'\r' => {
                    act(&String::from_utf8_lossy(&line));
                    line.clear();
                }
                _ if line.len() < STDERR_KEPT => line.push(*byte),
                _ => {}
            }
        }
        let read = chunk.len();
        from.consume(read);
    }
    if !line.is_empty() {
        act(&String::from_utf8_lossy(&line));
    }
}
