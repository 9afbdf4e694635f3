//! What is asked of a running guest.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::hypervisor::{Counters, Domain, DomainEvent};

/// What a running guest can be asked.
pub trait Guest {
    /// The next event, or `None` after `timeout`.
    ///
    /// # Errors
    /// When imgforge is interrupted.
    fn next_event(&self, timeout: Duration) -> Result<Option<DomainEvent>>;

    /// Writes to a port.
    ///
    /// # Errors
    /// When nobody reads there.
    fn send(&self, port: &str, data: &[u8]) -> Result<()>;

    /// Types on the serial console.
    ///
    /// # Errors
    /// When nobody reads there.
    fn type_in(&self, data: &[u8]) -> Result<()>;

    /// What the guest has done so far.
    ///
    /// # Errors
    /// When the guest is gone.
    fn counters(&self) -> Result<Counters>;

    /// Writes the screen to a file, as PNG.
    ///
    /// # Errors
    /// When the guest is gone.
    fn screenshot(&self, to: &Path) -> Result<()>;

    /// Whether its kernel told the host that it panicked.
    fn crashed(&self) -> bool {
        false
    }

    /// The time by which it is watched.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

impl Guest for Domain {
    fn next_event(&self, timeout: Duration) -> Result<Option<DomainEvent>> {
        Domain::next_event(self, timeout)
    }

    fn send(&self, port: &str, data: &[u8]) -> Result<()> {
        Domain::send(self, port, data)
    }

    fn type_in(&self, data: &[u8]) -> Result<()> {
        Domain::console_send(self, data)
    }

    fn counters(&self) -> Result<Counters> {
        Domain::counters(self)
    }

    fn screenshot(&self, to: &Path) -> Result<()> {
        Domain::screenshot(self, to)
    }

    fn crashed(&self) -> bool {
        Domain::crashed(self)
    }
}
