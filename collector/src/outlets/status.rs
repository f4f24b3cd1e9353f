//! How each outlet fares, for health checks and pages.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// One outlet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OutletStatus {
    /// Its name.
    pub name: String,
    /// The newest event that its receiver has; 0 before the first.
    pub last_id: i64,
    /// Attempts that have failed in a row; 0 when all is well.
    pub failed_attempts: u32,
    /// When the next attempt is due, after a failure.
    pub next_try_at: Option<Timestamp>,
    /// Why the last attempt failed; absent when all is well.
    pub last_error: Option<String>,
    /// Events that are held back from it; counted when there is nothing else to do.
    pub held_back: u64,
    /// The last of them, by its number in the outbox.
    pub held_back_last: Option<i64>,
}

/// Where the outlets' tasks write and others read.
#[derive(Default)]
pub(super) struct Board(Mutex<Vec<OutletStatus>>);

impl Board {
    /// Adds an outlet that has done nothing yet.
    pub(super) fn add(&self, name: &str) {
        self.lock().push(OutletStatus { name: name.to_owned(), ..OutletStatus::default() });
    }

    /// All outlets.
    pub(super) fn read(&self) -> Vec<OutletStatus> {
        self.lock().clone()
    }

    /// Changes the status of `name`.
    pub(super) fn write(&self, name: &str, change: impl FnOnce(&mut OutletStatus)) {
        if let Some(status) = self.lock().iter_mut().find(|status| status.name == name) {
            change(status);
        }
    }

    /// The lock; plain values are whole even if a writer panicked.
    fn lock(&self) -> MutexGuard<'_, Vec<OutletStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
