//! When a guest has to be ended: its time is over, or it shows no sign of life.

use std::time::{Duration, Instant};

use super::{Counters, End, Guest, LAST_WORDS, Phase, SAMPLE, Session};

impl Session<'_> {
    /// Why the guest has to be ended now, if it has.
    pub(super) fn overdue(&mut self, guest: &impl Guest) -> Option<End> {
        let limits = self.limits;
        if self.panicked.is_some_and(|at| self.since(at) > LAST_WORDS) {
            return Some(End::Panicked);
        }
        if let Some((_, meaning)) = self.dead_end.filter(|(at, _)| self.since(*at) > LAST_WORDS) {
            return Some(End::DeadEnd(meaning));
        }
        match self.phase {
            Phase::Booting(since) if self.since(since) > limits.boot => {
                return Some(End::NoRunner(limits.boot));
            }
            Phase::Step(n, since) => {
                let limit = self.job.step(n)?.limit + limits.slack;
                if self.since(since) > limit {
                    return Some(End::StepTimeout(n, limit));
                }
            }
            Phase::Between(since) | Phase::Finishing(since)
                if self.since(since) > limits.finish =>
            {
                return Some(End::NoPowerOff(limits.finish));
            }
            _ => {}
        }
        self.sample(guest);
        let quiet = self.since(self.signs.last);
        if self.stuck.is_reported() && quiet > limits.device {
            return Some(End::Stuck(limits.device));
        }
        (quiet > limits.stall).then_some(End::Stalled(limits.stall))
    }

    pub(super) fn since(&self, then: Instant) -> Duration {
        self.now.duration_since(then)
    }

    /// Disk and network are signs of life, but not what others send; so is a processor that is busy in
    /// a step's time.
    fn sample(&mut self, guest: &impl Guest) {
        let pause = self.since(self.signs.sampled);
        if pause < SAMPLE {
            return;
        }
        self.signs.sampled = self.now;
        let Ok(now) = guest.counters() else { return };
        let before = std::mem::replace(&mut self.signs.counters, now);
        let moved = |c: &Counters| (c.disk_read, c.disk_written, c.net_sent);
        let busy = u128::from(now.cpu_time.saturating_sub(before.cpu_time)) > pause.as_nanos() / 5;
        if moved(&now) != moved(&before) || (busy && matches!(self.phase, Phase::Step(..))) {
            self.is_alive();
        }
    }
}
