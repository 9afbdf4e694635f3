//! Ends an appliance that hangs, or that nobody waits for any more.
//!
//! A call into libguestfs blocks until the appliance answers. One thread per session looks at a
//! deadline and at signals, and kills the appliance's QEMU: the call then fails at once.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::host::interrupt::{self, ActionGuard};
use crate::mutex::Unpoisoned as _;

/// How often the appliance is looked for while it has to end: a signal may arrive before it exists.
const RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct State {
    /// The end of the call that runs now, if one does.
    deadline: Option<Instant>,
    limit: Duration,
    overdue: bool,
    closed: bool,
}

/// Shared with the callbacks that prove that a call is alive.
#[derive(Debug, Default)]
pub(super) struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

impl Clock {
    /// A call begins that may be silent for `limit`.
    pub(super) fn begin(&self, limit: Duration) {
        let mut state = self.lock();
        state.limit = limit;
        state.deadline = Some(Instant::now() + limit);
        self.changed.notify_all();
    }

    /// The call goes on: its time starts anew.
    pub(super) fn alive(&self) {
        let mut state = self.lock();
        if state.deadline.is_some() {
            state.deadline = Some(Instant::now() + state.limit);
        }
    }

    /// The call that runs will never end: it is over now.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        if state.deadline.is_some() {
            state.deadline = Some(Instant::now());
            self.changed.notify_all();
        }
    }

    /// The call is over. The limit that it exceeded, if the appliance was ended for that.
    pub(super) fn end(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.deadline = None;
        state.overdue.then_some(state.limit)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

/// The thread and the signal action; dropped before the handle is closed.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Arc<Clock>,
    signal: Option<ActionGuard>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the appliance whose command line contains `marker`; `cancel` ends a transfer.
    pub(super) fn start(
        clock: &Arc<Clock>,
        marker: &str,
        cancel: impl Fn() + Send + 'static,
    ) -> Self {
        let signalled = Arc::clone(clock);
        let signal = interrupt::on_signal(move || {
            cancel();
            signalled.changed.notify_all();
        });
        let (watched, marker) = (Arc::clone(clock), marker.to_owned());
        Watch {
            clock: Arc::clone(clock),
            signal: Some(signal),
            thread: Some(std::thread::spawn(move || watch(&watched, &marker))),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.signal.take());
        self.clock.lock().closed = true;
        self.clock.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn watch(clock: &Clock, marker: &str) {
    let mut state = clock.lock();
    while !state.closed {
        let Some(deadline) = state.deadline else {
            state = clock.changed.wait(state).unpoisoned();
            continue;
        };
        let late = Instant::now() >= deadline;
        state.overdue |= late;
        let wait = match late || interrupt::raised() {
            true => {
                kill_children_with(marker);
                RETRY
            }
            // A signal that arrives between the look and the wait is seen a second later.
            false => deadline
                .saturating_duration_since(Instant::now())
                .min(Duration::from_secs(1)),
        };
        state = clock.changed.wait_timeout(state, wait).unpoisoned().0;
    }
}

/// Kills this process' children whose command line contains `marker`.
pub(super) fn kill_children_with(marker: &str) {
    use rustix::process::{Pid, Signal, kill_process};
    for pid in children_with(marker) {
        if let Some(pid) = Pid::from_raw(pid) {
            // It may have ended by itself since.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Process ids of this process' children whose command line contains `marker`.
pub(super) fn children_with(marker: &str) -> Vec<i32> {
    let marker = marker.as_bytes();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = |proc: &PathBuf| {
        let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(2));
        parent.and_then(|p| p.parse().ok()) == Some(std::process::id())
    };
    let marked = |proc: &PathBuf| {
        let line = std::fs::read(proc.join("cmdline")).unwrap_or_default();
        line.windows(marker.len()).any(|part| part == marker)
    };
    processes
        .map(|entry| entry.path())
        .filter(|proc| ours(proc) && marked(proc))
        .filter_map(|proc| proc.file_name()?.to_str()?.parse().ok())
        .collect()
}
