//! Ctrl-C and SIGTERM: one flag that every wait looks at, and actions that end blocking calls.
//!
//! A second signal changes nothing: guards are already cleaning up, and SIGKILL plus `imgforge gc`
//! is the way out of a guard that hangs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Context, Error, Kind, Result};
use crate::mutex::Unpoisoned as _;

static SIGNAL: AtomicI32 = AtomicI32::new(0);

type Action = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Actions {
    next: u64,
    list: BTreeMap<u64, Action>,
}

static ACTIONS: Mutex<Actions> = Mutex::new(Actions {
    next: 0,
    list: BTreeMap::new(),
});

/// Starts the thread that receives SIGINT, SIGTERM and SIGHUP, and lets a limit on file sizes fail
/// the write instead of ending the process. Call once, from the command line.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn install() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .doing(|| "installing the signal handlers".into())?;
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .doing(|| "installing the signal handlers".into())?;
    std::thread::spawn(move || signals.forever().for_each(raise));
    Ok(())
}

/// Behaves as if `signal` had arrived.
pub fn raise(signal: i32) {
    SIGNAL.store(signal, Ordering::SeqCst);
    let actions = ACTIONS.lock().unpoisoned();
    actions.list.values().for_each(|action| action());
}

/// Whether a signal has arrived.
pub fn raised() -> bool {
    SIGNAL.load(Ordering::SeqCst) != 0
}

/// Ends the current work if a signal has arrived. Every loop that waits calls this. What comes next is the command
/// line's to say, which knows what ended.
///
/// # Errors
/// [`Kind::Interrupted`] with the signal's number.
pub fn check() -> Result<()> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Error::new(Kind::Interrupted(signal), "interrupted")),
    }
}

/// Runs `action` (from the signal thread) when a signal arrives, until the guard is dropped.
#[must_use]
pub fn on_signal(action: impl Fn() + Send + 'static) -> ActionGuard {
    let mut actions = ACTIONS.lock().unpoisoned();
    let id = actions.next;
    actions.next += 1;
    actions.list.insert(id, Box::new(action));
    ActionGuard(id)
}

/// Keeps an action of [`on_signal`] registered.
#[derive(Debug)]
pub struct ActionGuard(u64);

impl Drop for ActionGuard {
    fn drop(&mut self) {
        ACTIONS.lock().unpoisoned().list.remove(&self.0);
    }
}
