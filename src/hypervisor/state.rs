//! How a guest ends, put together from libvirt's events.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use libvirt_sys as sys;

use super::raw::Listener;
use super::spec::{OnReboot, Outcome};
use crate::mutex::Unpoisoned as _;

/// What libvirt has reported, filled by the event thread.
pub(super) struct State {
    on_reboot: OnReboot,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    rebooted: bool,
    crashed: bool,
    failure: Option<&'static str>,
    outcome: Option<Outcome>,
    destroy: bool,
}

impl State {
    pub(super) fn new(on_reboot: OnReboot) -> Self {
        State {
            on_reboot,
            seen: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unpoisoned()
    }

    pub(super) fn failure(&self) -> Option<&'static str> {
        self.lock().failure
    }

    pub(super) fn crashed(&self) -> bool {
        self.lock().crashed
    }

    /// libvirt will not tell the end any more.
    pub(super) fn lost(&self) {
        let mut seen = self.lock();
        seen.failure
            .get_or_insert("the libvirt daemon ended or hangs");
    }

    /// Whether somebody has to destroy the domain now; true once.
    pub(super) fn must_destroy(&self) -> bool {
        std::mem::take(&mut self.lock().destroy)
    }

    pub(super) fn outcome_within(&self, limit: Duration) -> Option<Outcome> {
        let (seen, _) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |seen| seen.outcome.is_none())
            .unpoisoned();
        seen.outcome
    }
}

impl Listener for State {
    fn lifecycle(&self, event: u32, detail: u32) {
        let mut seen = self.lock();
        match event {
            sys::VIR_DOMAIN_EVENT_CRASHED => seen.crashed = true,
            sys::VIR_DOMAIN_EVENT_SUSPENDED
                if detail == sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR =>
            {
                seen.failure =
                    Some("QEMU cannot write the guest's disk: the host's disk is full, or broken");
                seen.destroy = true;
            }
            sys::VIR_DOMAIN_EVENT_STOPPED => {
                let how = outcome(&seen, detail);
                if how == Outcome::Failed {
                    seen.failure.get_or_insert(
                        "QEMU ended by itself; the host may have been out of memory",
                    );
                }
                seen.outcome = Some(how);
                self.changed.notify_all();
            }
            _ => {}
        }
    }

    fn rebooted(&self) {
        let mut seen = self.lock();
        if self.on_reboot == OnReboot::Destroy {
            seen.rebooted = true;
            seen.destroy = true;
        }
    }
}

fn outcome(seen: &Seen, detail: u32) -> Outcome {
    match detail {
        _ if seen.failure.is_some() => Outcome::Failed,
        _ if seen.crashed => Outcome::Crashed,
        _ if seen.rebooted => Outcome::Rebooted,
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => Outcome::ShutDown,
        sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => Outcome::Destroyed,
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => Outcome::Crashed,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(on_reboot: OnReboot, events: &[(u32, u32)], rebooted: bool) -> (State, Outcome) {
        let state = State::new(on_reboot);
        if rebooted {
            state.rebooted();
        }
        for (event, detail) in events {
            state.lifecycle(*event, *detail);
        }
        let outcome = state.outcome_within(Duration::ZERO).unwrap();
        (state, outcome)
    }

    #[test]
    fn libvirts_events_tell_how_a_guest_ended() {
        use OnReboot::{Destroy, Restart};
        for (on_reboot, rebooted, events, outcome) in [
            (
                Destroy,
                false,
                vec![(4, 0), (6, 1), (5, 0)],
                Outcome::ShutDown,
            ),
            (Destroy, false, vec![(5, 1)], Outcome::Destroyed),
            (Destroy, true, vec![(5, 1)], Outcome::Rebooted),
            (Restart, true, vec![(5, 0)], Outcome::ShutDown),
            (Destroy, false, vec![(8, 0), (5, 2)], Outcome::Crashed),
            (Destroy, false, vec![(5, 5)], Outcome::Failed),
            (Destroy, false, vec![(3, 2), (5, 1)], Outcome::Failed),
            (Destroy, false, vec![(3, 0), (5, 1)], Outcome::Destroyed),
        ] {
            assert_eq!(after(on_reboot, &events, rebooted).1, outcome, "{events:?}");
        }
    }

    #[test]
    fn a_full_host_disk_is_named_and_ends_the_guest() {
        let (state, _) = after(OnReboot::Restart, &[(3, 2), (5, 1)], false);
        assert!(state.must_destroy());
        assert!(!state.must_destroy(), "once");
        assert!(state.failure().unwrap().contains("disk is full"));
    }

    #[test]
    fn an_end_that_nobody_reports_is_waited_for_only_so_long() {
        let state = State::new(OnReboot::Restart);
        assert_eq!(state.outcome_within(Duration::from_millis(10)), None);
    }
}
