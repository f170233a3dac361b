//! What happened so far, and waiting for what shall.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whoever waits longer than this waits in vain. Far above what anything takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A list that one thread adds to and others wait on.
#[derive(Debug)]
pub struct Journal<T> {
    entries: Mutex<Vec<T>>,
    grown: Condvar,
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self { entries: Mutex::default(), grown: Condvar::new() }
    }
}

impl<T> Journal<T> {
    /// Adds an entry.
    pub fn push(&self, entry: T) {
        self.entries().push(entry);
        self.grown.notify_all();
    }

    /// All entries so far.
    pub fn entries(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something in the entries. `None`: it did not before the [`DEADLINE`].
    pub fn wait_for<R>(&self, mut find: impl FnMut(&[T]) -> Option<R>) -> Option<R> {
        let mut found = None;
        let waited = self.grown.wait_timeout_while(self.entries(), DEADLINE, |entries| {
            found = find(entries);
            found.is_none()
        });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        found
    }
}
