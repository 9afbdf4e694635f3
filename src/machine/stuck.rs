//! A kernel that reports that it gets no further: a timer's interrupt or a processor does not come.
//! It may recover; one that does not says the same again and again, and nothing else.

use std::time::{Duration, Instant};

/// What the first line of such a report says, however it goes on.
const REPORTED: &[&str] = &[
    "detected stalls on CPUs/tasks",
    "self-detected stall on CPU",
    "detected expedited stalls on CPUs/tasks",
    "BUG: soft lockup",
    "BUG: workqueue lockup",
];

/// What stands within one, or comes alone.
const WITHIN: &str = "kthread timer wakeup didn't happen";

/// The kernel gives its other processors so long for their part of a report.
const PART: Duration = Duration::from_secs(10);

/// Whether the kernel's last word was such a report.
#[derive(Debug, Default)]
pub(crate) struct Stuck {
    /// When the report's latest line came.
    reported: Option<Instant>,
    reports: u32,
}

impl Stuck {
    /// Whether a line of the console is a sign of life: it belongs to no report.
    pub(crate) fn is_sign(&mut self, line: &str, now: Instant) -> bool {
        let begins = REPORTED.iter().any(|said| line.contains(said));
        let within = |at| now.duration_since(at) <= PART;
        let goes_on = self.reported.is_some_and(within) && is_kernels(line);
        let report = begins || goes_on || line.contains(WITHIN);
        if report {
            self.reported = Some(now);
            self.reports += u32::from(begins);
        }
        !report
    }

    /// Whether a line that has no end yet is a sign of life.
    pub(crate) fn may_be_sign(&self, pending: &str) -> bool {
        !self.is_reported() || !(pending.is_empty() || is_kernels(pending))
    }

    /// How many reports began since the last reset.
    pub(crate) fn reports(&self) -> u32 {
        self.reports
    }

    /// Whether there was a report, and no sign of life since.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported.is_some()
    }
}

/// Whether a line is the kernel's, or may become one: `[   23.449414] …`.
fn is_kernels(line: &str) -> bool {
    line.strip_prefix('[').is_some_and(|time| {
        let rest =
            time.trim_start_matches([' ', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        rest.is_empty() || rest.starts_with(']')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_no_signs_of_life_and_everything_else_is() {
        let now = Instant::now();
        let report = [
            "[   44.58] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[   44.58] NMI backtrace for cpu 1",
            "[   43.17]  default_idle+0x9/0x20",
            "[  123.45] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [swapper/1:0]",
            "[  123.45] BUG: workqueue lockup - pool cpus=1 node=0 stuck for 43s!",
        ];
        let mut stuck = Stuck::default();
        for line in report {
            assert!(!stuck.is_sign(line, now), "{line}");
        }
        assert_eq!(stuck.reports(), 3);
        assert!(!stuck.may_be_sign("") && !stuck.may_be_sign("[  123.4"));
        assert!(
            stuck.may_be_sign("[ ***  ] A start job is running") && stuck.may_be_sign("login: ")
        );
        assert!(stuck.is_sign("[  OK  ] Started something.", now));
        let later = now + PART + Duration::from_secs(1);
        assert!(stuck.is_sign("[   55.00] systemd[1]: Hostname set to <x>.", later));
        for line in [
            "[   44.58] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' unstable",
            "[   44.58] NMI backtrace for cpu 1",
        ] {
            let mut fresh = Stuck::default();
            assert!(fresh.is_sign(line, now) && !fresh.is_reported(), "{line}");
        }
    }
}
