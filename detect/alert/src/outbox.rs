//! The outbox: messages still to be sent, in order, and those that could not be.
//!
//! A connection of its own to the store's file, for the sender and for the commands that list what is in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, ToSql, TransactionBehavior, params};
use serde::Serialize;
use serde_json::json;

use crate::error::StoreError;
use crate::failpoint::{Step, reach};
use crate::finding::short_id;
use crate::retry::LONGEST_DELAY_MS;
use crate::schema;

/// The state file, as the sender sees it.
#[derive(Debug)]
pub struct Outbox {
    db: Connection,
    path: PathBuf,
}

/// A message in the outbox, without its content. Times are wall clock, ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The `webhook-id`, unless it is in a batch.
    pub id: String,
    /// What is sent in one request has this `webhook-id`, where alerts are grouped.
    pub batch: Option<String>,
    /// The destination's name.
    pub destination: String,
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// The alert's id, for as long as the content is kept.
    pub alert: Option<String>,
    /// The alert's status: `firing`, `updated` or `resolved`.
    pub status: String,
    /// The alert's sequence number.
    pub sequence: i64,
    /// `pending`, `delivered` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was written, or last revived.
    pub created_ms: i64,
    /// When it is due: for a dead letter, when it was last.
    pub due_ms: i64,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// A try to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When it began, wall clock, ms since 1970.
    pub started_ms: i64,
    /// How long it took, ms.
    pub duration_ms: i64,
    /// The reply's status; `None`: there was no reply.
    pub status: Option<u16>,
    /// What was wrong; `None`: it was delivered.
    pub error: Option<String>,
}

/// A message with all that is kept of it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The message.
    pub entry: Entry,
    /// The alert in it, as JSON; for a day after it was delivered.
    pub content: Option<String>,
    /// The tries, in order.
    pub attempts: Vec<Attempt>,
}

/// What became of sending a message again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It is due now.
    Due,
    /// There is no message with this id.
    Unknown,
    /// It is not in a state to be sent again: still pending, or with `retry`, delivered.
    NotNow,
    /// It was delivered so long ago that its content is no longer kept.
    Forgotten,
}

/// A destination that gets no messages for the time being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// Its name.
    pub destination: String,
    /// Since when, wall clock, ms since 1970.
    pub since_ms: i64,
    /// It has said that it is gone, and is tried again after the next start. Else too many requests have failed, and one is tried now
    /// and then.
    pub gone: bool,
}

/// A time that never comes, ms.
pub(crate) const NEVER: i64 = i64::MAX;

/// A message that is due.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    /// Messages of one queue go one after the other.
    pub(crate) queue: String,
    /// JSON of the alert, or of all that the batch has.
    pub(crate) alerts: Vec<String>,
    pub(crate) attempts: u32,
}

/// What became of a message, and of a try, if there was one.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) id: String,
    pub(crate) fate: Fate,
    pub(crate) attempt: Option<Attempt>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    /// Tried and kept, due at the time.
    Retry(i64, String),
    /// Tried while the breaker was open, and kept without counting it.
    Postponed(i64, String),
    Dead(String),
    /// Kept as it was: the destination wants nothing any more.
    Untouched,
}

/// The oldest pending message of each queue at the destination `?1`: the only ones that may be sent.
const HEADS: &str = "FROM outbox o WHERE destination = ?1 AND state = 'pending' AND seq =
    (SELECT min(seq) FROM outbox WHERE destination = ?1 AND queue = o.queue AND state = 'pending')";
/// The messages that are, or are in, what is called `?1`.
const CALLED: &str = "(id = ?1 OR batch = ?1 OR batch = (SELECT batch FROM outbox WHERE id = ?1))";

impl Outbox {
    /// Opens the state in `dir`, which a [`crate::Store`] has created.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: schema::open(dir)?, path: dir.join(schema::FILE) })
    }

    /// Messages still to be sent, in order.
    pub fn pending(&self) -> Result<Vec<Entry>, StoreError> {
        self.list("pending")
    }

    /// Messages that were given up: refused by the receiver, or tried for a day. In order; kept for 90 days.
    pub fn dead_letters(&self) -> Result<Vec<Entry>, StoreError> {
        self.list("dead")
    }

    /// What was delivered in the last seven days, in order.
    pub fn delivered(&self) -> Result<Vec<Entry>, StoreError> {
        self.list("delivered")
    }

    /// One message, its content as far as it is kept, and all tries to deliver it. `id`: whole, or so much of its begin that no
    /// other begins so.
    pub fn message(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, alert FROM outbox WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2");
        let mut found = self.select(&sql, [id], |row| Ok((entry(row)?, row.get(12)?)))?;
        let Some((entry, content)) = (if found.len() == 1 { found.pop() } else { None }) else { return Ok(None) };
        let sql = "SELECT started_ms, duration_ms, status, error FROM attempt WHERE message = ?1 ORDER BY rowid";
        let attempts = self.select(sql, [entry.batch.as_ref().unwrap_or(&entry.id)], |row| {
            Ok(Attempt { started_ms: row.get(0)?, duration_ms: row.get(1)?, status: row.get(2)?, error: row.get(3)? })
        })?;
        Ok(Some(Kept { entry, content, attempts }))
    }

    /// Sends again, under its old id, what was delivered or is dead: receivers that know ids will take it for what it is.
    pub fn replay(&mut self, id: &str, now_ms: i64) -> Result<Again, StoreError> {
        let revive = format!("{REVIVE} WHERE {CALLED} AND state <> 'pending' AND alert IS NOT NULL");
        if self.db.execute(&revive, params![id, now_ms]).map_err(|e| self.wrap(e))? > 0 {
            return Ok(Again::Due);
        }
        Ok(match self.message(id)? {
            None => Again::Unknown,
            Some(kept) if kept.entry.state == "pending" => Again::NotNow,
            Some(_) => Again::Forgotten,
        })
    }

    /// Makes a dead letter due now, with all its tries, under its old id. Returns whether there is one with this id.
    pub fn retry(&mut self, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let revive = format!("{REVIVE} WHERE {CALLED} AND state = 'dead'");
        Ok(self.db.execute(&revive, params![id, now_ms]).map_err(|e| self.wrap(e))? > 0)
    }

    /// What may be sent now, at most `limit` messages of queues that are not `busy`, those first that have been due for longest. Where
    /// alerts are grouped, what goes in one message is written down first: its id must be the same in every try.
    /// `several`: alerts a message, at most.
    pub(crate) fn due(
        &mut self,
        destination: &str,
        now_ms: i64,
        busy: &BTreeSet<String>,
        limit: usize,
        several: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = format!(
            "SELECT id, coalesce(alert, ''), attempts, queue, batch, queue <> fingerprint
             {HEADS} AND due_ms <= ?2 ORDER BY due_ms, seq LIMIT ?3"
        );
        let heads = self.select(&sql, params![destination, now_ms, limit + busy.len()], |row| {
            let alerts = vec![row.get(1)?];
            let message = Message { id: row.get(0)?, alerts, attempts: row.get(2)?, queue: row.get(3)? };
            Ok((message, row.get::<_, Option<String>>(4)?, row.get::<_, bool>(5)?))
        })?;
        let mut messages = Vec::new();
        for (message, batch, grouped) in heads.into_iter().filter(|(m, ..)| !busy.contains(&m.queue)).take(limit) {
            let batch = match batch {
                None if grouped => Some(self.gather(destination, &message.queue, now_ms, several)?),
                known => known,
            };
            messages.push(match batch {
                None => message,
                Some(id) => {
                    let sql =
                        "SELECT coalesce(alert, '') FROM outbox WHERE batch = ?1 AND state = 'pending' ORDER BY seq";
                    Message { alerts: self.select(sql, [&id], |row| row.get(0))?, id, ..message }
                }
            });
        }
        Ok(messages)
    }

    /// Makes one message of what is due in a queue. Returns its id.
    fn gather(&mut self, destination: &str, queue: &str, now_ms: i64, several: u32) -> Result<String, StoreError> {
        let members =
            "SELECT id FROM outbox WHERE destination = ?1 AND queue = ?2 AND state = 'pending' AND batch IS NULL
                       AND due_ms <= ?3 ORDER BY seq LIMIT ?4";
        let db = &mut self.db;
        let mut write = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let ids = transaction
                .prepare_cached(members)?
                .query_map(params![destination, queue, now_ms, several], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            let batch = match ids.as_slice() {
                [only] => only.clone(),
                several => short_id("msg_", &json!(several)),
            };
            for id in &ids {
                let mut update = transaction.prepare_cached("UPDATE outbox SET batch = ?2 WHERE id = ?1")?;
                update.execute(params![id, batch])?;
            }
            transaction.commit()?;
            Ok(batch)
        };
        let batch = write().map_err(|e| StoreError::from_sqlite(&self.path, e))?;
        let _ = reach(Step::Gathered);
        Ok(batch)
    }

    /// For a style that takes one alert a message: what was put together to go in one goes alone.
    pub(crate) fn dissolve(&self, destination: &str) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET batch = NULL WHERE destination = ?1 AND state = 'pending' AND batch <> id";
        self.db.execute(sql, [destination]).map(|_| ()).map_err(|e| self.wrap(e))
    }

    /// Makes due what only a clock that was ahead has put off. Returns how many messages.
    pub(crate) fn set_right(&self, destination: &str, now_ms: i64) -> Result<usize, StoreError> {
        let sql = "UPDATE outbox SET due_ms = ?2, created_ms = min(created_ms, ?2)
                   WHERE destination = ?1 AND state = 'pending' AND due_ms > ?2 AND (created_ms > ?2 OR due_ms > ?3)";
        let latest = now_ms.saturating_add(LONGEST_DELAY_MS);
        self.db.execute(sql, params![destination, now_ms, latest]).map_err(|e| self.wrap(e))
    }

    /// When the next message of a queue that is not `busy` is due, and when it was written.
    pub(crate) fn next_due(
        &self,
        destination: &str,
        busy: &BTreeSet<String>,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        // Not `min`: in this order the index leads to the answer at once, however much waits.
        let sql = format!("SELECT due_ms, created_ms, queue {HEADS} ORDER BY due_ms, seq LIMIT ?2");
        let heads = self.select(&sql, params![destination, busy.len() + 1], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        let next = heads.into_iter().find(|(_, _, queue)| !busy.contains(queue));
        Ok(next.map(|(due_ms, created_ms, _)| (due_ms, created_ms)))
    }

    /// The destinations that messages wait for.
    pub(crate) fn destinations(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT destination, count(*) FROM outbox WHERE state = 'pending' GROUP BY destination";
        self.select(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Records what became of messages that were tried at `now_ms`: all of it or nothing.
    pub(crate) fn record(&mut self, recorded: &[Recorded], now_ms: i64) -> Result<(), StoreError> {
        let db = &mut self.db;
        let mut write = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for Recorded { id, fate, attempt } in recorded {
                let kept = write_fate(&transaction, id, fate, now_ms)?;
                if let Some(attempt) = attempt.as_ref().filter(|_| kept) {
                    write_attempt(&transaction, id, attempt)?;
                }
            }
            transaction.commit()
        };
        write().map_err(|e| StoreError::from_sqlite(&self.path, e))
    }

    /// Writes down when a destination that is left alone is tried again ([`NEVER`]: it is gone); `None`: it is not left alone.
    pub(crate) fn record_breaker(&self, name: &str, probe_ms: Option<i64>, now_ms: i64) -> Result<(), StoreError> {
        let result = match probe_ms {
            Some(probe_ms) => self.db.execute(
                "INSERT INTO breaker (destination, opened_ms, probe_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (destination) DO UPDATE SET probe_ms = ?3",
                params![name, now_ms, probe_ms],
            ),
            None => self.db.execute("DELETE FROM breaker WHERE destination = ?1", [name]),
        };
        result.map(|_| ()).map_err(|e| self.wrap(e))
    }

    /// The destinations that are left alone.
    pub fn left_alone(&self) -> Result<Vec<LeftAlone>, StoreError> {
        let sql = "SELECT destination, opened_ms, probe_ms FROM breaker ORDER BY destination";
        self.select(sql, [], |row| {
            Ok(LeftAlone { destination: row.get(0)?, since_ms: row.get(1)?, gone: row.get::<_, i64>(2)? == NEVER })
        })
    }

    /// How long the sender has been at work for a destination, as far as it is written down, ms.
    pub(crate) fn worked_ms(&self, destination: &str) -> Result<i64, StoreError> {
        let worked = self.select("SELECT worked_ms FROM lane WHERE destination = ?1", [destination], |row| row.get(0));
        Ok(worked?.pop().unwrap_or_default())
    }

    /// Writes that down, and gives up what was written no later than `before` by it. Returns how many messages.
    pub(crate) fn record_work(
        &mut self,
        destination: &str,
        worked_ms: i64,
        before: Option<i64>,
        now_ms: i64,
    ) -> Result<usize, StoreError> {
        let db = &mut self.db;
        let mut write = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT OR REPLACE INTO lane (destination, worked_ms) VALUES (?1, ?2)",
                params![destination, worked_ms],
            )?;
            let sql = "UPDATE outbox SET state = 'dead', done_ms = ?3 WHERE destination = ?1 AND state = 'pending' AND worked_ms <= ?2";
            let dead = before.map_or(Ok(0), |before| transaction.execute(sql, params![destination, before, now_ms]))?;
            transaction.commit()?;
            Ok(dead)
        };
        write().map_err(|e| StoreError::from_sqlite(&self.path, e))
    }

    fn list(&self, state: &str) -> Result<Vec<Entry>, StoreError> {
        self.select(&format!("SELECT {COLUMNS} FROM outbox WHERE state = ?1 ORDER BY seq"), [state], entry)
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

const COLUMNS: &str =
    "id, destination, fingerprint, status, sequence, state, attempts, created_ms, due_ms, last_error, batch,
     CASE WHEN json_valid(alert) THEN json_extract(alert, '$.id') END AS alert_id";
const REVIVE: &str = "UPDATE outbox SET state = 'pending', attempts = 0, created_ms = ?2, due_ms = ?2, done_ms = NULL,
     worked_ms = coalesce((SELECT worked_ms FROM lane WHERE lane.destination = outbox.destination), 0)";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        destination: row.get(1)?,
        fingerprint: row.get(2)?,
        status: row.get(3)?,
        sequence: row.get(4)?,
        state: row.get(5)?,
        attempts: row.get(6)?,
        created_ms: row.get(7)?,
        due_ms: row.get(8)?,
        last_error: row.get(9)?,
        batch: row.get(10)?,
        alert: row.get(11)?,
    })
}

fn write_attempt(db: &Connection, id: &str, attempt: &Attempt) -> rusqlite::Result<()> {
    let Attempt { started_ms, duration_ms, status, error } = attempt;
    db.prepare_cached(
        "INSERT INTO attempt (message, started_ms, duration_ms, status, error) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![id, started_ms, duration_ms, status, error])?;
    Ok(())
}

/// A message that was replaced by a newer one while it was under way is no longer there: then nothing is written,
/// and the answer is no.
fn write_fate(db: &Connection, id: &str, fate: &Fate, now_ms: i64) -> rusqlite::Result<bool> {
    let (sql, values): (&str, &[&dyn ToSql]) = match fate {
        Fate::Delivered => (
            "UPDATE outbox SET state = 'delivered', attempts = attempts + 1, done_ms = ?2, last_error = NULL WHERE (id = ?1 OR batch = ?1) AND state = 'pending'",
            &[&id, &now_ms],
        ),
        Fate::Retry(due_ms, error) => (
            "UPDATE outbox SET attempts = attempts + 1, due_ms = ?2, last_error = ?3 WHERE (id = ?1 OR batch = ?1) AND state = 'pending'",
            &[&id, due_ms, error],
        ),
        Fate::Dead(error) => (
            "UPDATE outbox SET state = 'dead', attempts = attempts + 1, done_ms = ?2, last_error = ?3 WHERE (id = ?1 OR batch = ?1) AND state = 'pending'",
            &[&id, &now_ms, error],
        ),
        // Tried, and it cost no try: the destination was the trouble.
        Fate::Postponed(due_ms, error) => (
            "UPDATE outbox SET due_ms = ?2, last_error = ?3 WHERE (id = ?1 OR batch = ?1) AND state = 'pending'",
            &[&id, due_ms, error],
        ),
        Fate::Untouched => return Ok(true),
    };
    Ok(db.prepare_cached(sql)?.execute(values)? > 0)
}
