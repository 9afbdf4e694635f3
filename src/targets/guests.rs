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
    pub(super) fn of_host() -> Self {
        Guests::on(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn on(processors: usize) -> Self {
        Guests {
            free: Mutex::new((processors / EACH).max(1)),
            changed: Condvar::new(),
        }
    }

    /// Waits until one more target may run guests by `accel`; it may while the result lives.
    pub(super) fn enter(&self, accel: Accel) -> Inside<'_> {
        if !accel.is_emulated() {
            return Inside(None);
        }
        let free = self.free.lock().unpoisoned();
        let waited = self.changed.wait_while(free, |free| *free == 0);
        *waited.unpoisoned() -= 1;
        Inside(Some(self))
    }
}

/// One target's right to run guests.
#[derive(Debug)]
#[must_use]
pub struct Inside<'a>(Option<&'a Guests>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(guests) = self.0 {
            *guests.free.lock().unpoisoned() += 1;
            guests.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::machine::Arch;

    #[test]
    fn without_acceleration_guests_have_processors_of_their_own() {
        // A host's hardware runs its own architecture only.
        let foreign = Arch::ALL.iter().find(|arch| arch.is_foreign()).unwrap();
        let emulated = [Accel::Tcg, Accel::Kvm.on(*foreign)];
        for (processors, room) in [(1, 1), (2, 1), (3, 1), (8, 4)] {
            let guests = Guests::on(processors);
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for guest in 0..6 {
                    let (guests, now, most) = (&guests, &now, &most);
                    scope.spawn(move || {
                        let inside = guests.enter(emulated[guest % 2]);
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
    }

    #[test]
    fn accelerated_guests_wait_for_nobody() {
        let guests = Guests::on(1);
        let emulated = guests.enter(Accel::Tcg);
        let inside: Vec<_> = (0..9).map(|_| guests.enter(Accel::Kvm)).collect();
        assert_eq!(inside.len(), 9);
        assert_eq!(*guests.free.lock().unwrap(), 0);
        drop((emulated, inside));
        assert_eq!(*guests.free.lock().unwrap(), 1);
    }
}
