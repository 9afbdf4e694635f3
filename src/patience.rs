//! How tests wait: for what they wait for, and without counting seconds. Here is the only time
//! limit and the only sleep of all tests (`scripts/proofs.py check` looks).

use std::time::{Duration, Instant};

/// Longer than anything takes on the slowest and busiest host: what takes longer hangs. No test
/// measures by it.
pub(crate) const HANG: Duration = Duration::from_secs(3600);

/// A moment, for whoever looks again and again.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < HANG, "{what} does not happen");
        pause();
    }
}
