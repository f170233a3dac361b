//! Alerts and outbox in numbers, for who watches the program: a reader beside the one that writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Row};

use crate::deliver::Outcome;
use crate::error::StoreError;
use crate::schema;

/// How messages for one destination stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxFigures {
    /// The destination's name.
    pub destination: String,
    /// Messages to be sent.
    pub pending: u64,
    /// When the oldest of them was written, wall clock, ms since 1970.
    pub oldest_ms: i64,
}

/// The state file, to look at.
#[derive(Debug)]
pub struct Figures {
    db: Connection,
    path: PathBuf,
}

impl Figures {
    /// Looks at the state in `dir`, which a [`crate::Store`] has created.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(schema::FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags).map_err(|e| StoreError::from_sqlite(&path, e))?;
        Ok(Self { db, path })
    }

    /// Messages to be sent, by destination; none where nothing waits. (Those that were sent are not looked at: they are many.)
    pub fn outbox(&self) -> Result<Vec<OutboxFigures>, StoreError> {
        let sql = "SELECT destination, count(*), min(created_ms) FROM outbox WHERE state = 'pending'
                   GROUP BY destination ORDER BY destination";
        let figures = |row: &Row<'_>| {
            Ok(OutboxFigures { destination: row.get(0)?, pending: row.get(1)?, oldest_ms: row.get(2)? })
        };
        self.select(sql, figures)
    }

    /// Open alerts by rule.
    pub fn open_alerts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql =
            "SELECT json_extract(state, '$.alert.rule') AS rule, count(*) FROM episode GROUP BY rule ORDER BY rule";
        self.select(sql, |row| Ok((row.get::<_, Option<String>>(0)?.unwrap_or_default(), row.get(1)?)))
    }

    /// Destinations whose breaker is open.
    pub fn failing(&self) -> Result<Vec<String>, StoreError> {
        self.select("SELECT destination FROM breaker ORDER BY destination", |row| row.get(0))
    }

    fn select<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, StoreError> {
        let rows = || self.db.prepare_cached(sql)?.query_map([], |row| read(row))?.collect::<rusqlite::Result<_>>();
        rows().map_err(|e| StoreError::from_sqlite(&self.path, e))
    }
}

/// What became of the tries of a sender since it began, by destination.
#[derive(Debug, Clone, Default)]
pub struct Tries(Arc<Mutex<BTreeMap<String, Outcome>>>);

impl Tries {
    /// Counts some.
    pub(crate) fn add(&self, destination: &str, outcome: Outcome) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(destination) {
            Some(sum) => sum.add(outcome),
            None => drop(all.insert(destination.to_owned(), outcome)),
        }
    }

    /// All so far.
    pub fn so_far(&self) -> BTreeMap<String, Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
