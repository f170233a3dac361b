//! The store: everything that must survive a kill, moved forward by one transaction at a time.
//!
//! File offsets, the engine's windows, the open alerts and the rows of the outbox are in one `SQLite` file, and a
//! [`Commit`] changes all of them or none. What was not committed happens again after a restart, with the same outcome.
//! Large values of checkpoint rows are written to a file beside it first: see [`crate::segments`].

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};

use crate::alert::Alert;
use crate::checkpoint::{self, Checkpoint, Delete, Put};
use crate::error::StoreError;
use crate::failpoint::{Step, reach};
use crate::finding::Finding;
use crate::ledger;
use crate::lifecycle::{Episode, Lifecycle};
use crate::lock;
use crate::routing::Route;
use crate::schema;
use crate::segments::{Segment, Segments};
use crate::writing;

/// How long delivered rows are kept, ms: a replay within it cannot send them again.
const KEEP_DELIVERED_MS: i64 = 7 * 86_400_000;
/// How long what was delivered can be sent again, ms.
const KEEP_CONTENT_MS: i64 = 86_400_000;
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
    /// Rules that are no longer there: their alerts are over.
    pub removed_rules: Vec<String>,
    /// How far event time is, µs: windows that end at or before it have told their findings.
    pub watermark: Option<i64>,
    /// Where event time was when the last source fell silent, µs; `None`: lines come. See [`Lifecycle::heard_until`].
    pub heard: Option<i64>,
    /// The wall clock, ms since 1970.
    pub now_ms: i64,
    /// The destinations that get the alerts.
    pub destinations: Vec<Route>,
}

/// The state file, open for the one process that may change it.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    dir: PathBuf,
    path: PathBuf,
    /// What the tables hold. `None` after a commit that failed: read anew before the next.
    lifecycle: Option<Lifecycle>,
    /// Open alerts of one rule that are sent one by one.
    storm: u32,
    segments: Segments,
    /// Segments with damaged values.
    unreadable: BTreeSet<i64>,
    /// Segments of commits that failed after they were written.
    orphans: Vec<i64>,
    /// The lock lasts as long as the handle.
    _lock: File,
}

impl Store {
    /// Opens or creates the state in `dir`, which is this process's until the store is dropped.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = lock::take(dir)?;
        let db = schema::open_locked(dir)?;
        schema::check_integrity(&db, dir)?;
        let path = dir.join(schema::FILE);
        let listed = checkpoint::listed(&db).map_err(|e| StoreError::from_sqlite(&path, e))?;
        let segments = Segments::open(dir, &listed)?;
        let mut store = Self {
            db,
            dir: dir.to_owned(),
            path,
            lifecycle: None,
            storm: ledger::STORM,
            segments,
            unreadable: BTreeSet::new(),
            orphans: Vec::new(),
            _lock: lock,
        };
        store.lifecycle = Some(store.load()?);
        Ok(store)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same, with another limit for storms: so many open alerts of a rule are sent one by one. (100 otherwise.)
    #[must_use]
    pub fn with_storm_limit(self, storm: u32) -> Self {
        Self { storm, ..self }
    }

    /// The checkpoint rows of an owner.
    pub fn checkpoint(&self, space: &str) -> Result<Checkpoint, StoreError> {
        checkpoint::read(&self.db, &self.segments, space).map_err(|e| self.wrap(e))
    }

    /// Writes a step: all of it, or on an error nothing. Returns the alerts that it changed, sent or not.
    ///
    /// After an error the same step can be tried again: [`StoreError::may_pass`] says when that makes sense.
    pub fn commit(&mut self, commit: &Commit) -> Result<Vec<Alert>, StoreError> {
        let mut lifecycle = match self.lifecycle.take() {
            Some(lifecycle) => lifecycle,
            None => self.load()?,
        };
        let requests = ledger::resolve_requests(&self.db).map_err(|e| self.wrap(e))?;
        let moves = checkpoint::moves(&self.db, &self.segments, &mut self.unreadable).map_err(|e| self.wrap(e))?;
        let large = commit.puts.iter().filter(|put| put.is_large()).map(|put| &put.value);
        let values: Vec<&[u8]> = moves.iter().map(|m| &m.value).chain(large).map(Vec::as_slice).collect();
        let segment = if values.is_empty() { None } else { Some(self.segments.write(&values)?) };
        let written = transact(&mut self.db, |db| {
            let freed = checkpoint::write(db, &commit.deletes, &commit.puts, &moves, segment.as_ref())?;
            for id in &requests {
                db.prepare_cached("DELETE FROM resolve_request WHERE alert = ?1")?.execute([id])?;
            }
            let alerts = writing::write(db, &mut lifecycle, commit, &requests, self.storm)?;
            forget(db, commit.now_ms)?;
            Ok((freed, alerts))
        });
        let (freed, alerts) = written.map_err(|e| self.failed(e, segment.as_ref()))?;
        for number in freed.into_iter().chain(self.orphans.drain(..)) {
            self.segments.remove(number);
        }
        self.lifecycle = Some(lifecycle);
        Ok(alerts)
    }

    /// After a transaction that failed.
    fn failed(&mut self, source: rusqlite::Error, segment: Option<&Segment>) -> StoreError {
        let error = self.wrap(source);
        match (segment, &error) {
            (Some(segment), StoreError::DiskFull { .. }) => self.segments.remove(segment.number),
            // If it was the disk that did not confirm the commit, a crash now may bring it back.
            (Some(segment), _) => self.orphans.push(segment.number),
            (None, _) => {}
        }
        error
    }

    /// The alerts that are not resolved, by fingerprint.
    pub fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        Ok(self.episodes()?.into_iter().map(|e| e.alert).collect())
    }

    /// The destinations that the sender leaves alone: see [`crate::outbox::LeftAlone`].
    pub fn failing_destinations(&self) -> Result<Vec<String>, StoreError> {
        let read = || {
            let mut select = self.db.prepare_cached("SELECT destination FROM breaker ORDER BY destination")?;
            select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        read().map_err(|e| self.wrap(e))
    }

    /// Whether somebody has asked for an alert's end: the next commit brings it.
    pub fn is_asked(&self) -> Result<bool, StoreError> {
        Ok(!ledger::resolve_requests(&self.db).map_err(|e| self.wrap(e))?.is_empty())
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

/// Does all of `write` or nothing.
fn transact<T>(
    db: &mut Connection,
    write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let written = write(&transaction)?;
    reach(Step::BeforeCommit).map_err(|_| rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None))?;
    transaction.commit()?;
    // What is committed is committed: there is no error here.
    let _ = reach(Step::AfterCommit);
    Ok(written)
}

fn forget(db: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE outbox SET alert = NULL WHERE state = 'delivered' AND done_ms < ?1 AND alert IS NOT NULL",
    )?
    .execute([now_ms.saturating_sub(KEEP_CONTENT_MS)])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_loses_nothing_and_the_step_can_be_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let put = |key: u16, value| Put { space: "engine", key: key.to_be_bytes().into(), value };
        let before = Commit { puts: vec![put(0, b"before".to_vec())], ..Commit::default() };
        store.commit(&before).unwrap();
        let mut step = Commit { puts: vec![put(0, vec![1; 8_192])], ..Commit::default() };
        step.puts.extend((1..300).map(|key| put(key, vec![2; 4_000])));
        let segments = || std::fs::read_dir(dir.path().join("segments")).unwrap().count();

        // SQLite reports a file at its greatest size as it reports a full disk.
        store.db.pragma_update(None, "max_page_count", 1).unwrap();
        for _ in 0..3 {
            let error = store.commit(&step).unwrap_err();
            assert!(matches!(error, StoreError::DiskFull { .. }) && error.may_pass(), "{error}");
            assert_eq!(segments(), 0, "what failed must not fill the disk");
        }
        assert_eq!(store.checkpoint("engine").unwrap().rows, [(vec![0, 0], b"before".to_vec())]);
        store.db.pragma_update(None, "max_page_count", 1 << 20).unwrap();
        store.commit(&step).unwrap();
        let rows = store.checkpoint("engine").unwrap().rows;
        assert_eq!((rows.len(), rows[0].1.len(), segments()), (300, 8_192, 1));
    }
}
