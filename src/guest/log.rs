//! What libguestfs says while it works.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::raw::Message;
use crate::mutex::Unpoisoned as _;
use crate::ui::{StageUi, Unit};

/// How many lines an error can show.
const KEPT: usize = 40;

/// The longest line that is kept, in bytes: the appliance's console belongs to the guest's disk.
const LINE: usize = 1000;

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    rest: Vec<u8>,
    percent: Option<u64>,
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
            state: Mutex::default(),
        }
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
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                if chars.next_if(|c| *c == '[' || *c == '(').is_some() {
                    while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                } else {
                    chars.next();
                }
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.trim_end().to_owned()
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
}
