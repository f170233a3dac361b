//! The outbox: messages still to be sent, in order, and those that could not be.
//!
//! A connection of its own to the store's file, for the sender and for the commands that list what is in it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, ToSql, TransactionBehavior, params};

use crate::error::StoreError;
use crate::schema;

/// The state file, as the sender sees it.
#[derive(Debug)]
pub struct Outbox {
    db: Connection,
    path: PathBuf,
}

/// A message in the outbox, without its content. Times are wall clock, ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The `webhook-id`.
    pub id: String,
    /// The destination's name.
    pub destination: String,
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// The alert's status: `firing`, `updated` or `resolved`.
    pub status: String,
    /// The alert's sequence number.
    pub sequence: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was written.
    pub created_ms: i64,
    /// When it is due: for a dead letter, when it was last.
    pub due_ms: i64,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// A message that is due.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    /// JSON of the alert.
    pub(crate) alert: String,
    pub(crate) attempts: u32,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    /// Tried and kept, due at the time.
    Retry(i64, String),
    Dead(String),
    /// Kept as it was: the destination wants nothing any more.
    Untouched,
}

/// The oldest pending message of each fingerprint at the destination `?1`: the only ones that may be sent.
const HEADS: &str = "FROM outbox o WHERE destination = ?1 AND state = 'pending' AND seq =
    (SELECT min(seq) FROM outbox WHERE destination = ?1 AND fingerprint = o.fingerprint AND state = 'pending')";

impl Outbox {
    /// Opens the state in `dir`, which a [`crate::Store`] has created.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(schema::FILE);
        if let Err(source) = path.metadata() {
            return Err(StoreError::Directory { dir: dir.to_owned(), source });
        }
        Ok(Self { db: schema::open(dir)?, path })
    }

    /// Messages still to be sent, in order.
    pub fn pending(&self) -> Result<Vec<Entry>, StoreError> {
        self.list("pending")
    }

    /// Messages that were given up: refused by the receiver, or tried for a day. In order; kept for 90 days.
    pub fn dead_letters(&self) -> Result<Vec<Entry>, StoreError> {
        self.list("dead")
    }

    /// Makes a dead letter due now, with all its tries, under its old id. Returns whether there is one with this id.
    pub fn retry(&mut self, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let revive = "UPDATE outbox SET state = 'pending', attempts = 0, due_ms = ?2, done_ms = NULL WHERE id = ?1 AND state = 'dead'";
        Ok(self.db.execute(revive, params![id, now_ms]).map_err(|e| self.wrap(e))? > 0)
    }

    /// What may be sent now, at most `limit` messages, those first that have been due for longest.
    pub(crate) fn due(&self, destination: &str, now_ms: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
        let sql =
            format!("SELECT id, coalesce(alert, ''), attempts {HEADS} AND due_ms <= ?2 ORDER BY due_ms, seq LIMIT ?3");
        let message = |row: &Row<'_>| Ok(Message { id: row.get(0)?, alert: row.get(1)?, attempts: row.get(2)? });
        self.select(&sql, params![destination, now_ms, limit], message)
    }

    /// When the next message of a destination is due.
    pub(crate) fn next_due_ms(&self, destination: &str) -> Result<Option<i64>, StoreError> {
        // Not `min`: in this order the index leads to the answer at once, however much waits.
        let sql = format!("SELECT due_ms {HEADS} ORDER BY due_ms, seq LIMIT 1");
        Ok(self.select(&sql, [destination], |row| row.get(0))?.pop())
    }

    /// The destinations that messages wait for.
    pub(crate) fn destinations(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT destination, count(*) FROM outbox WHERE state = 'pending' GROUP BY destination";
        self.select(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Records what became of messages that were tried at `now_ms`: all of it or nothing.
    pub(crate) fn record(&mut self, fates: &[(String, Fate)], now_ms: i64) -> Result<(), StoreError> {
        let db = &mut self.db;
        let mut write = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (id, fate) in fates {
                write_fate(&transaction, id, fate, now_ms)?;
            }
            transaction.commit()
        };
        write().map_err(|e| StoreError::from_sqlite(&self.path, e))
    }

    fn list(&self, state: &str) -> Result<Vec<Entry>, StoreError> {
        let sql = "SELECT id, destination, fingerprint, status, sequence, attempts, created_ms, due_ms, last_error
                   FROM outbox WHERE state = ?1 ORDER BY seq";
        self.select(sql, [state], |row| {
            Ok(Entry {
                id: row.get(0)?,
                destination: row.get(1)?,
                fingerprint: row.get(2)?,
                status: row.get(3)?,
                sequence: row.get(4)?,
                attempts: row.get(5)?,
                created_ms: row.get(6)?,
                due_ms: row.get(7)?,
                last_error: row.get(8)?,
            })
        })
    }

    fn select<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = || self.db.prepare_cached(sql)?.query_map(params, |row| read(row))?.collect::<rusqlite::Result<_>>();
        rows().map_err(|e| self.wrap(e))
    }

    fn wrap(&self, source: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, source)
    }
}

/// A message that was replaced by a newer one while it was under way is no longer there: then nothing is written.
fn write_fate(db: &Connection, id: &str, fate: &Fate, now_ms: i64) -> rusqlite::Result<()> {
    let (sql, values): (&str, &[&dyn ToSql]) = match fate {
        Fate::Delivered => (
            "UPDATE outbox SET state = 'delivered', attempts = attempts + 1, done_ms = ?2, last_error = NULL, alert = NULL WHERE id = ?1",
            &[&id, &now_ms],
        ),
        Fate::Retry(due_ms, error) => (
            "UPDATE outbox SET attempts = attempts + 1, due_ms = ?2, last_error = ?3 WHERE id = ?1",
            &[&id, due_ms, error],
        ),
        Fate::Dead(error) => (
            "UPDATE outbox SET state = 'dead', attempts = attempts + 1, done_ms = ?2, last_error = ?3 WHERE id = ?1",
            &[&id, &now_ms, error],
        ),
        Fate::Untouched => return Ok(()),
    };
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}
