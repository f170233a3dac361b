//! What happened so far, and waiting for what shall.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whoever waits longer than this waits in vain. Far above what anything takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A list that one thread adds to and others wait on.
#[derive(Debug)]
pub struct Journal<T> {
    entries: Mutex<Entries<T>>,
    changed: Condvar,
}

/// The entries so far.
#[derive(Debug)]
pub struct Entries<T> {
    list: Vec<T>,
    is_complete: bool,
}

impl<T> Deref for Entries<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self { entries: Mutex::new(Entries { list: Vec::new(), is_complete: false }), changed: Condvar::new() }
    }
}

impl<T> Journal<T> {
    /// Adds an entry.
    pub fn push(&self, entry: T) {
        self.entries().list.push(entry);
        self.changed.notify_all();
    }

    /// No entry will be added any more: nobody need wait.
    pub fn complete(&self) {
        self.entries().is_complete = true;
        self.changed.notify_all();
    }

    /// All entries so far.
    pub fn entries(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something in the entries. `None`: it did not before the [`DEADLINE`], or never can.
    pub fn wait_for<R>(&self, find: impl FnMut(&[T]) -> Option<R>) -> Option<R> {
        self.wait_at_most(DEADLINE, find)
    }

    /// The same with a limit of its own.
    pub fn wait_at_most<R>(&self, limit: Duration, mut find: impl FnMut(&[T]) -> Option<R>) -> Option<R> {
        let mut found = None;
        let waited = self.changed.wait_timeout_while(self.entries(), limit, |entries| {
            found = find(entries);
            found.is_none() && !entries.is_complete
        });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        found
    }
}
