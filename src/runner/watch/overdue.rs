//! When a guest has to be ended: its time is over, or it shows no sign of life.

use super::{End, Guest, Phase, Session};
use crate::console::{LAST_WORDS, SAMPLE};

impl Session<'_> {
    /// Why the guest has to be ended now, if it has.
    pub(super) fn overdue(&mut self, guest: &impl Guest) -> Option<End> {
        let (limits, signs) = (self.limits, &self.console.signs);
        if let Some((end, at)) = self.lost
            && signs.ago(at) > LAST_WORDS
        {
            return Some(end);
        }
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
