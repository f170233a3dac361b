//! The store: everything that must survive a kill, moved forward by one transaction at a time.
//!
//! File offsets, the engine's windows, the open alerts and the rows of the outbox are in one `SQLite` file, and a
//! [`Commit`] changes all of them or none. What was not committed happens again after a restart, with the same outcome.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::alert::{Alert, Status};
use crate::error::StoreError;
use crate::finding::Finding;
use crate::json;
use crate::lifecycle::{Change, Episode, Lifecycle};
use crate::schema;

/// How long delivered rows are kept, ms: a replay within it cannot send them again.
const KEEP_DELIVERED_MS: i64 = 7 * 86_400_000;
/// How long dead letters are kept for somebody to look at, ms.
const KEEP_DEAD_MS: i64 = 90 * 86_400_000;

/// One step of the engine.
#[derive(Debug, Default)]
pub struct Commit {
    /// Checkpoint rows that are gone. Done before the puts.
    pub deletes: Vec<Delete>,
    /// Checkpoint rows that are new or changed.
    pub puts: Vec<Put>,
    /// What the windows that closed in this step found, in any order.
    pub findings: Vec<Finding>,
    /// How far event time is, µs: windows that end at or before it have told their findings.
    pub watermark: Option<i64>,
    /// The wall clock, ms since 1970.
    pub now_ms: i64,
    /// Names of the destinations that get the alerts.
    pub destinations: Vec<String>,
}

/// A checkpoint row as it is read: key and value.
pub type CheckpointRow = (Vec<u8>, Vec<u8>);

/// A checkpoint row to write. `space` keeps the keys of different owners apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Whose row it is.
    pub space: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Checkpoint rows to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// One row, if there is one.
    Key {
        /// Whose row it is.
        space: &'static str,
        /// Its key.
        key: Vec<u8>,
    },
    /// All rows of an owner.
    Space(&'static str),
}

/// The state file, open for the one process that may change it.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    dir: PathBuf,
    path: PathBuf,
    /// What the tables hold. `None` after a commit that failed: read anew before the next.
    lifecycle: Option<Lifecycle>,
    /// The lock lasts as long as the handle.
    _lock: File,
}

impl Store {
    /// Opens or creates the state in `dir`, which is this process's until the store is dropped.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = lock(dir)?;
        let db = schema::open(dir)?;
        schema::check_integrity(&db, dir)?;
        let mut store = Self { db, dir: dir.to_owned(), path: dir.join(schema::FILE), lifecycle: None, _lock: lock };
        store.lifecycle = Some(store.load()?);
        Ok(store)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The checkpoint rows of an owner, keys and values, in the order of the keys.
    pub fn checkpoint(&self, space: &str) -> Result<Vec<CheckpointRow>, StoreError> {
        let read = || {
            let mut select =
                self.db.prepare_cached("SELECT key, value FROM checkpoint WHERE space = ?1 ORDER BY key")?;
            select.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.wrap(e))
    }

    /// Writes a step: all of it, or on an error nothing. Returns the alerts that it changed, sent or not.
    pub fn commit(&mut self, commit: Commit) -> Result<Vec<Alert>, StoreError> {
        let mut lifecycle = match self.lifecycle.take() {
            Some(lifecycle) => lifecycle,
            None => self.load()?,
        };
        let Commit { deletes, puts, findings, watermark, now_ms, destinations } = commit;
        let changes = lifecycle.step(findings, watermark);
        let write = |db: &mut Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write_checkpoint(&transaction, &deletes, &puts)?;
            write_alerts(&transaction, &lifecycle, &changes, watermark)?;
            for change in changes.iter().filter(|c| c.notify) {
                enqueue(&transaction, &change.alert, &destinations, now_ms)?;
            }
            forget(&transaction, now_ms)?;
            transaction.commit()
        };
        write(&mut self.db).map_err(|e| StoreError::from_sqlite(&self.path, e))?;
        self.lifecycle = Some(lifecycle);
        Ok(changes.into_iter().map(|c| c.alert).collect())
    }

    /// The alerts that are not resolved, by fingerprint.
    pub fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        Ok(self.episodes()?.into_iter().map(|e| e.alert).collect())
    }

    fn load(&self) -> Result<Lifecycle, StoreError> {
        let read = || {
            let mut select = self.db.prepare("SELECT fingerprint, last_end FROM resolved")?;
            select
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, i64)>>>()
        };
        Ok(Lifecycle::restore(self.episodes()?, read().map_err(|e| self.wrap(e))?))
    }

    fn episodes(&self) -> Result<Vec<Episode>, StoreError> {
        let read = || {
            let mut select = self.db.prepare("SELECT state FROM episode ORDER BY fingerprint")?;
            select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        let parse = |state: String| {
            serde_json::from_str(&state)
                .map_err(|e| StoreError::Damaged { path: self.path.clone(), detail: format!("an open alert: {e}") })
        };
        read().map_err(|e| self.wrap(e))?.into_iter().map(parse).collect()
    }

    fn wrap(&self, source: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, source)
    }
}

/// Creates the directory, for this user only (it will hold log lines), and takes the lock in it.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let wrap = |source| StoreError::Directory { dir: dir.to_owned(), source };
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir).map_err(wrap)?;
    let file = File::options().create(true).append(true).open(dir.join("state.lock")).map_err(wrap)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(wrap(source)),
    }
}

fn write_checkpoint(db: &Transaction<'_>, deletes: &[Delete], puts: &[Put]) -> rusqlite::Result<()> {
    for delete in deletes {
        match delete {
            Delete::Key { space, key } => db
                .prepare_cached("DELETE FROM checkpoint WHERE space = ?1 AND key = ?2")?
                .execute(params![space, key])?,
            Delete::Space(space) => db.prepare_cached("DELETE FROM checkpoint WHERE space = ?1")?.execute([space])?,
        };
    }
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO checkpoint (space, key, value) VALUES (?1, ?2, ?3)")?;
    for put in puts {
        insert.execute(params![put.space, put.key, put.value])?;
    }
    Ok(())
}

fn write_alerts(
    db: &Transaction<'_>,
    lifecycle: &Lifecycle,
    changes: &[Change],
    watermark: Option<i64>,
) -> rusqlite::Result<()> {
    let ended = changes.iter().filter(|c| c.alert.status == Status::Resolved);
    for alert in ended.map(|c| &c.alert) {
        db.prepare_cached("DELETE FROM episode WHERE fingerprint = ?1")?.execute([&alert.fingerprint])?;
        if let Some(end) = lifecycle.resolved_end(&alert.fingerprint) {
            db.prepare_cached("INSERT OR REPLACE INTO resolved (fingerprint, last_end) VALUES (?1, ?2)")?
                .execute(params![alert.fingerprint, end])?;
        }
    }
    let touched: BTreeSet<_> = changes.iter().map(|c| c.alert.fingerprint.as_str()).collect();
    for (fingerprint, episode) in touched.into_iter().filter_map(|f| Some((f, lifecycle.episode(f)?))) {
        let state = serde_json::to_string(episode).map_err(to_sql)?;
        db.prepare_cached("INSERT OR REPLACE INTO episode (fingerprint, state) VALUES (?1, ?2)")?
            .execute(params![fingerprint, state])?;
    }
    if let Some(watermark) = watermark {
        db.prepare_cached("DELETE FROM resolved WHERE last_end < ?1")?
            .execute([Lifecycle::forgotten_before(watermark)])?;
    }
    Ok(())
}

/// Adds an alert's state to the outbox, once a destination; told again, it changes nothing.
fn enqueue(db: &Transaction<'_>, alert: &Alert, destinations: &[String], now_ms: i64) -> rusqlite::Result<()> {
    let text = json::to_string(alert).map_err(to_sql)?;
    for destination in destinations {
        let id = alert.webhook_id(destination);
        if alert.status == Status::Updated {
            // The newer update says all that the older would have.
            db.prepare_cached(
                "DELETE FROM outbox WHERE destination = ?1 AND fingerprint = ?2 AND episode_start = ?3
                 AND status = 'updated' AND state = 'pending' AND sequence < ?4",
            )?
            .execute(params![
                destination,
                alert.fingerprint,
                alert.episode_start,
                signed(alert.sequence)
            ])?;
        }
        db.prepare_cached(
            "INSERT INTO outbox (id, destination, fingerprint, episode_start, sequence, status, alert, created_ms, due_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            id,
            destination,
            alert.fingerprint,
            alert.episode_start,
            signed(alert.sequence),
            alert.status.name(),
            text,
            now_ms
        ])?;
    }
    Ok(())
}

fn forget(db: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM outbox WHERE state = 'delivered' AND done_ms < ?1")?
        .execute([now_ms.saturating_sub(KEEP_DELIVERED_MS)])?;
    let dead = db
        .prepare_cached("DELETE FROM outbox WHERE state = 'dead' AND done_ms < ?1")?
        .execute([now_ms.saturating_sub(KEEP_DEAD_MS)])?;
    if dead > 0 {
        tracing::warn!(dead, "dead letters of 90 days ago were deleted");
    }
    Ok(())
}

/// `SQLite` has no unsigned numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_sql(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_loses_nothing_and_the_step_can_be_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let step = |value: &[u8]| Commit {
            puts: vec![Put { space: "engine", key: vec![1], value: value.into() }],
            ..Commit::default()
        };
        store.commit(step(b"before")).unwrap();
        // SQLite reports a file at its greatest size as it reports a full disk.
        store.db.pragma_update(None, "max_page_count", 1).unwrap();
        let error = store.commit(step(&vec![0; 1 << 20])).unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        assert_eq!(store.checkpoint("engine").unwrap(), [(vec![1], b"before".to_vec())]);
        store.db.pragma_update(None, "max_page_count", 1 << 20).unwrap();
        store.commit(step(&vec![0; 1 << 20])).unwrap();
        assert_eq!(store.checkpoint("engine").unwrap()[0].1.len(), 1 << 20);
    }
}
