//! What libguestfs says while it works.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use super::raw::Message;
use crate::machine::Stuck;
use crate::mutex::Unpoisoned as _;
use crate::ui::{StageUi, Unit, printable};

/// How many lines an error can show.
const KEPT: usize = 40;

/// The longest line that is kept, in bytes: the appliance's console belongs to the guest's disk.
const LINE: usize = 1000;

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    rest: Vec<u8>,
    percent: Option<u64>,
    /// What its kernel reports until the appliance is ready.
    stuck: Option<Stuck>,
}

/// Keeps the last lines and passes everything on to the stage.
#[derive(Debug)]
pub(super) struct Log {
    ui: Option<StageUi>,
    state: Mutex<State>,
}

impl Log {
    pub(super) fn new(ui: Option<StageUi>) -> Self {
        Log {
            ui,
            state: Mutex::new(State {
                stuck: Some(Stuck::default()),
                ..State::default()
            }),
        }
    }

    /// The appliance is ready: from now on what its kernel reports is its own affair.
    pub(super) fn ready(&self) {
        self.state.lock().unpoisoned().stuck = None;
    }

    /// Whether the kernel of an appliance that starts reports again that it gets no further. A host that
    /// was busy for a while makes it report once.
    pub(super) fn is_stuck(&self) -> bool {
        let state = self.state.lock().unpoisoned();
        (state.stuck.as_ref()).is_some_and(|stuck| stuck.reports() > 1)
    }

    /// The last lines, oldest first.
    pub(super) fn tail(&self) -> Vec<String> {
        let state = self.state.lock().unpoisoned();
        let rest = clean(&state.rest);
        state
            .lines
            .iter()
            .cloned()
            .chain((!rest.is_empty()).then_some(rest))
            .collect()
    }

    pub(super) fn take(&self, message: &Message) {
        match message {
            Message::Progress { position, total } => self.progress(*position, *total),
            Message::Text(bytes) => self.text(bytes),
        }
    }

    fn progress(&self, position: u64, total: u64) {
        let percent = (position.saturating_mul(100))
            .checked_div(total)
            .map(|p| p.min(100));
        let mut state = self.state.lock().unpoisoned();
        if let (Some(ui), Some(now)) = (&self.ui, percent)
            && state.percent.replace(now) != Some(now)
        {
            ui.progress(now, 100, Unit::Percent);
        }
    }

    fn text(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unpoisoned();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = clean(&std::mem::take(&mut state.rest));
                    if line.is_empty() {
                        continue;
                    }
                    if let Some(stuck) = &mut state.stuck
                        && stuck.is_sign(&line, Instant::now())
                    {
                        *stuck = Stuck::default();
                    }
                    if let Some(ui) = &self.ui {
                        ui.line(line.clone());
                    }
                    state.lines.push_back(line);
                    if state.lines.len() > KEPT {
                        state.lines.pop_front();
                    }
                }
                _ if state.rest.len() < LINE => state.rest.push(*byte),
                _ => {}
            }
        }
    }
}

/// Text without control characters and terminal sequences.
fn clean(bytes: &[u8]) -> String {
    let text = printable(&String::from_utf8_lossy(bytes));
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_clean_lines_and_only_the_last_stay() {
        let log = Log::new(None);
        for number in 0..50 {
            log.take(&Message::Text(format!("\x1b[2Jline {number}").into_bytes()));
            log.take(&Message::Text(b" ends\r\n\r\n".to_vec()));
        }
        log.take(&Message::Text(b"no end \xff\x07".to_vec()));
        let tail = log.tail();
        assert_eq!(tail.len(), KEPT + 1);
        assert_eq!(tail[0], "line 10 ends");
        assert_eq!(tail[KEPT], "no end \u{fffd}");
    }

    #[test]
    fn a_kernel_that_reports_a_stall_again_is_stuck_unless_the_appliance_is_ready() {
        let report = "[   43.17] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n\
                      [   43.17] rcu: rcu_preempt kthread timer wakeup didn't happen for 5253 jiffies!\n";
        let say = |log: &Log, texts: &[&str]| {
            for text in texts {
                log.take(&Message::Text(text.as_bytes().to_vec()));
            }
            log.is_stuck()
        };
        let log = Log::new(None);
        assert!(!say(&log, &[report]));
        assert!(!say(&log, &["udevd started\n", report]));
        assert!(say(&log, &[report]));
        let log = Log::new(None);
        log.ready();
        assert!(!say(&log, &[report, report]));
    }
}
