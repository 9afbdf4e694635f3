//! How many targets may run guests at once: without hardware acceleration a guest keeps a processor
//! busy, and one that gets too little of it gives up waiting for its own devices.

use std::sync::{Condvar, Mutex};

use crate::host::accel::Accel;
use crate::mutex::Unpoisoned as _;

/// Processors that a target's guests keep busy: its gate boots two machines.
const EACH: usize = 2;

/// Room for the guests of several targets.
#[derive(Debug)]
pub(super) struct Guests {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Guests {
    /// Room on this host.
    pub(super) fn of_host(accel: Accel) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Guests::of(accel, processors)
    }

    fn of(accel: Accel, processors: usize) -> Self {
        let room = match accel.is_emulated() {
            false => usize::MAX,
            true => (processors / EACH).max(1),
        };
        Guests {
            free: Mutex::new(room),
            changed: Condvar::new(),
        }
    }

    /// Waits until one more target may run guests; it may while the result lives.
    pub(super) fn enter(&self) -> Inside<'_> {
        let free = self.free.lock().unpoisoned();
        let waited = self.changed.wait_while(free, |free| *free == 0);
        *waited.unpoisoned() -= 1;
        Inside(self)
    }
}

/// One target's right to run guests.
#[derive(Debug)]
#[must_use]
pub struct Inside<'a>(&'a Guests);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unpoisoned() += 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn without_acceleration_guests_have_processors_of_their_own() {
        for (processors, room) in [(1, 1), (2, 1), (3, 1), (8, 4)] {
            let guests = Guests::of(Accel::Tcg, processors);
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        let inside = guests.enter();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop(inside);
                    });
                }
            });
            assert!((1..=room).contains(&most.into_inner()));
            assert_eq!(*guests.free.lock().unwrap(), room);
        }
        let guests = Guests::of(Accel::Kvm, 1);
        let inside: Vec<_> = (0..9).map(|_| guests.enter()).collect();
        assert_eq!(inside.len(), 9);
    }
}
