//! The state file: where it is, how it is opened, and its tables, by version.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::lock;

/// The file in the state directory.
pub(crate) const FILE: &str = "state.db";

/// Step `n` takes a file from version `n` to version `n + 1`. Steps are only ever added.
const MIGRATIONS: &[&str] = &[
    "
    -- What the engine needs to go on, opaque here.
    CREATE TABLE checkpoint (
        space TEXT NOT NULL,
        key   BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (space, key)
    );
    -- Open alerts: `Episode` as JSON.
    CREATE TABLE episode (
        fingerprint TEXT PRIMARY KEY,
        state       TEXT NOT NULL
    );
    -- Alerts resolved lately: the end of the last window, event time in microseconds.
    CREATE TABLE resolved (
        fingerprint TEXT PRIMARY KEY,
        last_end    INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX resolved_end ON resolved (last_end);
    -- What is to be sent, and for a while what was. `seq` is the order; times are wall clock, milliseconds since 1970.
    CREATE TABLE outbox (
        seq           INTEGER PRIMARY KEY AUTOINCREMENT,
        id            TEXT NOT NULL UNIQUE,
        destination   TEXT NOT NULL,
        fingerprint   TEXT NOT NULL,
        episode_start INTEGER NOT NULL,
        sequence      INTEGER NOT NULL,
        status        TEXT NOT NULL CHECK (status IN ('firing', 'updated', 'resolved')),
        alert         TEXT,   -- JSON; NULL once delivered
        state         TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
        attempts      INTEGER NOT NULL DEFAULT 0,
        created_ms    INTEGER NOT NULL,
        due_ms        INTEGER NOT NULL,
        done_ms       INTEGER,
        last_error    TEXT
    );
    CREATE INDEX outbox_queue ON outbox (destination, fingerprint, seq) WHERE state = 'pending';
    CREATE INDEX outbox_due   ON outbox (destination, due_ms, seq) WHERE state = 'pending';
    CREATE INDEX outbox_done  ON outbox (done_ms) WHERE done_ms IS NOT NULL;
",
    "
    -- Files with the large values of checkpoint rows. `bytes`: of the whole file.
    CREATE TABLE segment (
        number INTEGER PRIMARY KEY,
        bytes  INTEGER NOT NULL
    );
    -- Where such a value is; NULL: in `value`.
    ALTER TABLE checkpoint ADD COLUMN segment  INTEGER;
    ALTER TABLE checkpoint ADD COLUMN offset   INTEGER;
    ALTER TABLE checkpoint ADD COLUMN length   INTEGER;
    ALTER TABLE checkpoint ADD COLUMN checksum INTEGER;
    CREATE INDEX checkpoint_segment ON checkpoint (segment, length) WHERE segment IS NOT NULL;
",
    "
    -- Every alert, open or resolved, in its newest state: what people look at. Times are wall clock, milliseconds since 1970.
    CREATE TABLE alert (
        id              TEXT PRIMARY KEY,
        rule            TEXT NOT NULL,
        status          TEXT NOT NULL,
        findings        INTEGER NOT NULL,
        state           TEXT NOT NULL,                -- JSON
        changed_ms      INTEGER NOT NULL,
        told            INTEGER NOT NULL DEFAULT 0,   -- whether a state of it was ever put into the outbox
        withheld        TEXT,                         -- why the newest state was not
        acknowledged_ms INTEGER,
        acknowledged_by TEXT,
        verdict         TEXT CHECK (verdict IN ('true', 'false', 'expected')),
        verdict_by      TEXT,
        note            TEXT
    ) WITHOUT ROWID;
    CREATE INDEX alert_changed ON alert (changed_ms);
    CREATE INDEX alert_open ON alert (rule, told, findings) WHERE status <> 'resolved';
    CREATE INDEX alert_verdict ON alert (rule, verdict) WHERE verdict IS NOT NULL;
    INSERT INTO alert (id, rule, status, findings, state, changed_ms, told)
        SELECT json_extract(state, '$.alert.id'), json_extract(state, '$.alert.rule'),
            json_extract(state, '$.alert.status'), json_extract(state, '$.alert.findings'),
            json_extract(state, '$.alert'), CAST(strftime('%s', 'now') AS INTEGER) * 1000, 1
        FROM episode WHERE json_valid(state);
    -- Alerts that a person has resolved: the next commit ends their episodes.
    CREATE TABLE resolve_request (
        alert TEXT PRIMARY KEY
    ) WITHOUT ROWID;
    -- Until when which alerts are not sent. `matchers`: JSON, see `silence.rs`.
    CREATE TABLE silence (
        number     INTEGER PRIMARY KEY AUTOINCREMENT,
        matchers   TEXT NOT NULL,
        starts_ms  INTEGER NOT NULL,
        ends_ms    INTEGER NOT NULL,
        author     TEXT NOT NULL,
        reason     TEXT NOT NULL,
        hits       INTEGER NOT NULL DEFAULT 0
    );
    -- Every try to deliver a message; as long as the message is kept.
    CREATE TABLE attempt (
        message     TEXT NOT NULL,
        started_ms  INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        status      INTEGER,   -- of the reply; NULL: there was none
        error       TEXT       -- NULL: delivered
    );
    CREATE INDEX attempt_message ON attempt (message);
    -- Destinations that are left alone, and when each is tried again; never: it said that it is gone.
    CREATE TABLE breaker (
        destination TEXT PRIMARY KEY,
        opened_ms   INTEGER NOT NULL,
        probe_ms    INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX outbox_content ON outbox (done_ms) WHERE state = 'delivered' AND alert IS NOT NULL;
    CREATE TRIGGER outbox_forgets AFTER DELETE ON outbox BEGIN
        DELETE FROM attempt WHERE message = old.id;
    END;
",
    "
    -- Which messages follow one another: those of a fingerprint, or of a group. `batch`: what is sent in one request has its id.
    ALTER TABLE outbox ADD COLUMN queue TEXT NOT NULL DEFAULT '';
    ALTER TABLE outbox ADD COLUMN batch TEXT;
    UPDATE outbox SET queue = fingerprint;
    DROP INDEX outbox_queue;
    CREATE INDEX outbox_queue ON outbox (destination, queue, seq) WHERE state = 'pending';
    CREATE INDEX outbox_batch ON outbox (batch) WHERE batch IS NOT NULL;
    CREATE INDEX outbox_told ON outbox (destination, fingerprint, created_ms) WHERE queue <> fingerprint;
    DROP TRIGGER outbox_forgets;
    CREATE TRIGGER outbox_forgets AFTER DELETE ON outbox BEGIN
        DELETE FROM attempt WHERE message = coalesce(old.batch, old.id);
    END;
    -- When the newest message of a group goes or went, and whether it is the group's first.
    CREATE TABLE turn (
        destination TEXT NOT NULL,
        queue       TEXT NOT NULL,
        at_ms       INTEGER NOT NULL,
        first       INTEGER NOT NULL,
        PRIMARY KEY (destination, queue)
    ) WITHOUT ROWID;
    -- Which destinations were told of an alert: they, and no others, are told of its end.
    CREATE TABLE told (
        alert       TEXT NOT NULL,
        destination TEXT NOT NULL,
        PRIMARY KEY (alert, destination)
    ) WITHOUT ROWID;
    INSERT OR IGNORE INTO told (alert, destination)
        SELECT json_extract(alert, '$.id'), destination FROM outbox WHERE json_valid(alert);
    CREATE TRIGGER alert_forgets AFTER DELETE ON alert BEGIN
        DELETE FROM told WHERE alert = old.id;
    END;
    ALTER TABLE alert ADD COLUMN incident TEXT NOT NULL DEFAULT '';
    CREATE INDEX alert_incident ON alert (incident, changed_ms);
    UPDATE alert SET incident = 'inc_' || substr(id, 5);
    UPDATE alert SET state = json_set(state, '$.incident', incident) WHERE json_valid(state);
    UPDATE episode SET state = json_set(state, '$.alert.incident', 'inc_' || substr(json_extract(state, '$.alert.id'), 5))
        WHERE json_valid(state);
    UPDATE outbox SET alert = json_set(alert, '$.incident', 'inc_' || substr(json_extract(alert, '$.id'), 5))
        WHERE json_valid(alert);
",
    "
    -- How long the sender has been at work for a destination, ms: a clock that stands still while nothing runs, and that no jump of
    -- the machine's moves. A message's age is counted by it; `worked_ms` is what it showed when the message was written.
    CREATE TABLE lane (
        destination TEXT PRIMARY KEY,
        worked_ms   INTEGER NOT NULL
    ) WITHOUT ROWID;
    ALTER TABLE outbox ADD COLUMN worked_ms INTEGER NOT NULL DEFAULT 0;
",
];

/// Opens the state file in `dir`, which a [`crate::Store`] has created. One of an older version is upgraded, unless another process has the lock: it may be the older
/// program, still at work.
pub(crate) fn open(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(FILE);
    path.metadata().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StoreError::NoState { dir: dir.to_owned() },
        _ => StoreError::Directory { dir: dir.to_owned(), source },
    })?;
    let mut db = connect(dir)?;
    if !missing_steps(&db, &path)?.is_empty() {
        let _lock = lock::take(dir).map_err(|e| match e {
            StoreError::InUse { .. } => StoreError::Older { path: path.clone() },
            other => other,
        })?;
        migrate(&mut db, &path)?;
    }
    Ok(db)
}

/// The same for who has the lock, creating the file.
pub(crate) fn open_locked(dir: &Path) -> Result<Connection, StoreError> {
    let mut db = connect(dir)?;
    migrate(&mut db, &dir.join(FILE))?;
    Ok(db)
}

fn connect(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(FILE);
    let wrap = |e| StoreError::from_sqlite(&path, e);
    let db = Connection::open(&path).map_err(wrap)?;
    // The engine and the sender write the same file: neither waits longer than the other's commit.
    db.busy_timeout(Duration::from_secs(10)).map_err(wrap)?;
    db.pragma_update(None, "journal_mode", "wal").map_err(wrap)?;
    db.pragma_update(None, "synchronous", "full").map_err(wrap)?;
    // A burst must not leave a large log file behind for ever.
    db.pragma_update(None, "journal_size_limit", 64 << 20).map_err(wrap)?;
    // All that a commit uses.
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Reads the whole file for damage: at 1 GB/s, seconds for the largest of states.
pub(crate) fn check_integrity(db: &Connection, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(FILE);
    let verdict: String =
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| StoreError::from_sqlite(&path, e))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged { path, detail: verdict }) }
}

/// The steps to the newest version.
fn missing_steps(db: &Connection, path: &Path) -> Result<&'static [&'static str], StoreError> {
    let version: i64 =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| StoreError::from_sqlite(path, e))?;
    let steps = usize::try_from(version).ok().and_then(|v| MIGRATIONS.get(v..));
    steps.ok_or_else(|| StoreError::Newer { path: path.to_owned(), version, known: MIGRATIONS.len() })
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let wrap = |e| StoreError::from_sqlite(path, e);
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    for step in missing_steps(&transaction, path)? {
        transaction.execute_batch(step).map_err(wrap)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len()).map_err(wrap)?;
    transaction.commit().map_err(wrap)
}
