//! One loop for everybody who watches a guest.

use std::time::Duration;

use super::{Console, Guest, Signs};
use crate::error::Result;
use crate::hypervisor::{DomainEvent, Outcome};

/// What follows a guest by its console, until it ends or has to be ended.
pub(crate) trait Watcher<'a> {
    /// Why the guest ended, or has to be ended.
    type End;

    /// How often time limits are looked at.
    const PAUSE: Duration;

    fn console(&mut self) -> &mut Console<'a, Self::End>;

    /// Takes what the guest does, but for its end.
    fn take(&mut self, guest: &impl Guest, event: DomainEvent);

    /// Takes the last lines, which had no end.
    fn flush(&mut self);

    /// What the end of the guest means.
    fn ended(&self, outcome: Outcome) -> Self::End;

    /// Why the guest has to be ended now, if it has.
    fn overdue(&mut self, guest: &impl Guest) -> Option<Self::End>;

    /// Follows one boot of the guest. The caller ends a guest that did not end itself.
    fn follow(&mut self, guest: &impl Guest) -> Result<Self::End> {
        let console = self.console();
        (console.failure, console.signs) = (None, Signs::since(guest.now()));
        loop {
            let event = guest.next_event(Self::PAUSE)?;
            self.console().signs.now = guest.now();
            match event {
                Some(DomainEvent::Ended(outcome)) => {
                    self.flush();
                    return Ok(self.ended(outcome));
                }
                Some(event) => self.take(guest, event),
                None => {}
            }
            if let Some(end) = self.overdue(guest) {
                self.flush();
                return Ok(end);
            }
        }
    }
}
