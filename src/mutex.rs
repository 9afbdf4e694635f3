//! What a lock guards counts also after a thread that held it has panicked: none is left half changed.

use std::sync::PoisonError;

/// The result of whatever takes a lock.
pub(crate) trait Unpoisoned<T> {
    /// The guard, whoever has panicked with it.
    fn unpoisoned(self) -> T;
}

impl<T> Unpoisoned<T> for Result<T, PoisonError<T>> {
    fn unpoisoned(self) -> T {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
