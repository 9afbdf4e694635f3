//! When a guest was last seen alive.

use std::time::{Duration, Instant};

use super::Guest;
use crate::hypervisor::Counters;
use crate::machine::Stuck;

/// Signs of life.
#[derive(Debug)]
pub(crate) struct Signs {
    /// The time, as everything here counts it.
    pub(crate) now: Instant,
    last: Instant,
    sampled: Instant,
    counters: Counters,
    stuck: Stuck,
}

impl Signs {
    /// Of a guest that begins.
    pub(crate) fn since(now: Instant) -> Self {
        Signs {
            now,
            last: now,
            sampled: now,
            counters: Counters::default(),
            stuck: Stuck::default(),
        }
    }

    /// How long something is ago.
    pub(crate) fn ago(&self, then: Instant) -> Duration {
        self.now.duration_since(then)
    }

    /// There is one.
    pub(crate) fn alive(&mut self) {
        (self.last, self.stuck) = (self.now, Stuck::default());
    }

    /// How long there was none.
    pub(crate) fn quiet(&self) -> Duration {
        self.ago(self.last)
    }

    /// Whether nothing came since the kernel reported that it gets no further.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_reported()
    }

    /// Whether lines of the console, and the one that has no end yet, are one.
    pub(super) fn are_in(&mut self, lines: &[String], pending: &str) -> bool {
        let (stuck, now) = (&mut self.stuck, self.now);
        let said = lines
            .iter()
            .fold(false, |sign, line| stuck.is_sign(line, now) | sign);
        said || stuck.may_be_sign(pending)
    }

    /// Looks at the guest, `every` so often: disk and network are signs, but not what others send.
    /// Says then whether a processor was busy.
    pub(crate) fn sample(&mut self, guest: &impl Guest, every: Duration) -> Option<bool> {
        let pause = self.ago(self.sampled);
        if pause < every {
            return None;
        }
        self.sampled = self.now;
        let Ok(now) = guest.counters() else {
            return Some(false);
        };
        let before = std::mem::replace(&mut self.counters, now);
        let moved = |c: &Counters| (c.disk_read, c.disk_written, c.net_sent);
        if moved(&now) != moved(&before) {
            self.alive();
        }
        let busy = u128::from(now.cpu_time.saturating_sub(before.cpu_time));
        Some(busy > pause.as_nanos() / 5)
    }
}
