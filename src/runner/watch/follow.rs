//! What a session takes from its guest, and when the guest has to be ended: its time is over, or it shows
//! no sign of life.

use std::time::Duration;

use super::{End, PROGRESS, Phase, Session};
use crate::console::{Console, Guest, SAMPLE, Watcher};
use crate::hypervisor::{DomainEvent, Outcome};
use crate::runner::{EVENTS_PORT, OUTPUT_PORT};

impl<'a> Watcher<'a> for Session<'a> {
    type End = End;

    const PAUSE: Duration = Duration::from_millis(500);

    fn console(&mut self) -> &mut Console<'a, End> {
        &mut self.console
    }

    fn take(&mut self, guest: &impl Guest, event: DomainEvent) {
        // The runner probes its port with NULs; that says nothing about the step.
        if matches!(&event, DomainEvent::Channel { data, .. } if data.iter().any(|b| *b != 0)) {
            self.console.signs.alive();
        }
        match event {
            DomainEvent::Console(data) => {
                let (lines, pending) = self.console.hear(&data, true);
                for line in lines {
                    self.console_line(&line);
                    self.unlock.line();
                }
                if !self.trusted {
                    self.question(guest, &pending);
                }
            }
            DomainEvent::Channel { name, data } if name == OUTPUT_PORT => {
                let lines = self.output.0.push(&data, &self.console.mask);
                for line in lines {
                    match line.strip_prefix(PROGRESS) {
                        Some(what) => self.progress(what),
                        None => self.output_line(&line),
                    }
                }
            }
            DomainEvent::Channel { name, data } if name == EVENTS_PORT => {
                for event in self.events.push(&data) {
                    self.event(guest, event);
                }
            }
            DomainEvent::Channel { .. } | DomainEvent::Ended(_) => {}
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.console.finish() {
            self.console_line(&line);
        }
        if let Some(line) = self.output.0.finish(&self.console.mask) {
            self.output_line(&line);
        }
    }

    fn ended(&self, outcome: Outcome) -> End {
        match self.console.failure() {
            Some(End::Panicked) => End::Panicked,
            _ => End::Ended(outcome),
        }
    }

    fn overdue(&mut self, guest: &impl Guest) -> Option<End> {
        if let Some(end) = self.console.final_failure() {
            return Some(*end);
        }
        let (limits, signs) = (self.limits, &self.console.signs);
        match self.phase {
            Phase::Booting(since) if signs.ago(since) > limits.boot => {
                return Some(End::NoRunner(limits.boot));
            }
            Phase::Step(n, since) => {
                let limit = self.job.step(n)?.limit + limits.slack;
                if signs.ago(since) > limit {
                    return Some(End::StepTimeout(n, limit));
                }
            }
            Phase::Between(since) | Phase::Finishing(since) if signs.ago(since) > limits.finish => {
                return Some(End::NoPowerOff(limits.finish));
            }
            _ => {}
        }
        let signs = &mut self.console.signs;
        // A step may be busy without a word.
        if signs.sample(guest, SAMPLE) == Some(true) && matches!(self.phase, Phase::Step(..)) {
            signs.alive();
        }
        if signs.is_stuck() && signs.quiet() > limits.device {
            return Some(End::Stuck(limits.device));
        }
        (signs.quiet() > limits.stall).then_some(End::Stalled(limits.stall))
    }
}
