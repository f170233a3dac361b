//! The desk: what people do with alerts, from beside a running process. A connection of its own to the state file.
//!
//! Acknowledging, verdicts and silences are written at once. Resolving is asked for: the process that has the open alerts ends
//! the episode with its next commit, or the next process does.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::alert::{Alert, Status};
use crate::checkpoint::CheckpointRow;
use crate::error::StoreError;
use crate::schema;
use crate::silence::{self, Silence};

/// The state file, as people see it.
#[derive(Debug)]
pub struct Desk {
    db: Connection,
    path: std::path::PathBuf,
}

/// An alert and what people know of it. Times are wall clock, ms since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// The newest state.
    pub alert: Alert,
    /// When it was written down.
    pub changed_ms: i64,
    /// Whether any state was to be sent.
    pub told: bool,
    /// The destinations that took any: it is in the outbox for them.
    pub destinations: Vec<String>,
    /// Why the newest state was not, if it was not.
    pub withheld: Option<String>,
    /// When somebody took care of it.
    pub acknowledged_ms: Option<i64>,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// What it turned out to be.
    pub verdict: Option<Verdict>,
    /// Who said so.
    pub verdict_by: Option<String>,
    /// What else they said.
    pub note: Option<String>,
}

/// What an alert turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What the rule looks for.
    True,
    /// Not what the rule looks for.
    False,
    /// What the rule looks for, by somebody who may.
    Expected,
}

/// How often a rule was right, of the alerts with a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Precision {
    /// The rule.
    pub rule: String,
    /// Verdicts `true`.
    pub right: i64,
    /// Verdicts `false`.
    pub wrong: i64,
    /// Verdicts `expected`.
    pub expected: i64,
    /// Alerts without a verdict.
    pub open: i64,
}

/// Which alerts to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The resolved ones, too.
    pub resolved: bool,
    /// Only of this rule.
    pub rule: Option<String>,
    /// At most so many, the newest first.
    pub limit: u32,
}

/// Why an id names nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// No such alert.
    #[error("there is no alert {0:?}; `tripline alerts list --all` lists them")]
    Unknown(String),
    /// Several.
    #[error("several alerts begin with {0:?}; give more of the id")]
    Ambiguous(String),
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Verdict {
    /// The word on the command line and in the state file.
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Expected => "expected",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::True, Self::False, Self::Expected].into_iter().find(|v| v.name() == name)
    }
}

const COLUMNS: &str = "state, changed_ms, told, withheld, acknowledged_ms, acknowledged_by, verdict, verdict_by, note,
    (SELECT group_concat(destination, ' ') FROM told WHERE told.alert = alert.id)";

impl Desk {
    /// Opens the state in `dir`, which `tripline run` has created.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: schema::open(dir)?, path: dir.join(schema::FILE) })
    }

    /// Alerts, those of an incident together, the newest change first.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Record>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, max(changed_ms) OVER (PARTITION BY incident) AS newest FROM alert
             WHERE (?1 OR status <> 'resolved') AND (?2 IS NULL OR rule = ?2)
             ORDER BY newest DESC, incident, changed_ms DESC, id LIMIT ?3"
        );
        let read = || {
            let mut select = self.db.prepare(&sql)?;
            select
                .query_map(params![filter.resolved, filter.rule, filter.limit], record)?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| self.wrap(e))
    }

    /// One alert. `id`: whole, or so much of its begin that no other begins so.
    pub fn show(&self, id: &str) -> Result<Record, DeskError> {
        let sql = format!("SELECT {COLUMNS} FROM alert WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2");
        let read = || {
            let mut select = self.db.prepare(&sql)?;
            select.query_map([id], record)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut found = read().map_err(|e| self.wrap(e))?;
        match (found.pop(), found.is_empty()) {
            (Some(record), true) => Ok(record),
            (Some(_), false) => Err(DeskError::Ambiguous(id.to_owned())),
            (None, _) => Err(DeskError::Unknown(id.to_owned())),
        }
    }

    /// All alerts of an incident that are kept. `id`: of the incident or of one of its alerts, whole or its begin.
    pub fn incident(&self, id: &str) -> Result<Vec<Record>, DeskError> {
        let incident = match id.strip_prefix("inc_") {
            // It has the name of its first alert, which may be gone.
            Some(_) => self.incident_called(id)?,
            None => self.show(id)?.alert.incident,
        };
        let sql = format!("SELECT {COLUMNS} FROM alert WHERE incident = ?1 ORDER BY id");
        let read = || {
            let mut select = self.db.prepare(&sql)?;
            select.query_map([&incident], record)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(read().map_err(|e| self.wrap(e))?)
    }

    fn incident_called(&self, id: &str) -> Result<String, DeskError> {
        let sql = "SELECT DISTINCT incident FROM alert WHERE substr(incident, 1, length(?1)) = ?1 LIMIT 2";
        let read =
            || self.db.prepare(sql)?.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>();
        let mut found = read().map_err(|e| self.wrap(e))?;
        match (found.pop(), found.is_empty()) {
            (Some(incident), true) => Ok(incident),
            (Some(_), false) => Err(DeskError::Ambiguous(id.to_owned())),
            (None, _) => Err(DeskError::Unknown(id.to_owned())),
        }
    }

    /// What the running process keeps in a space of its checkpoint: small values by key.
    pub fn kept(&self, space: &str) -> Result<Vec<CheckpointRow>, StoreError> {
        let sql = "SELECT key, value FROM checkpoint WHERE space = ?1 AND segment IS NULL ORDER BY key";
        let read = || {
            let mut select = self.db.prepare(sql)?;
            select.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| self.wrap(e))
    }

    /// Somebody takes care of an alert.
    pub fn acknowledge(&mut self, id: &str, by: &str, now_ms: i64) -> Result<Record, DeskError> {
        let id = self.show(id)?.alert.id;
        let sql = "UPDATE alert SET acknowledged_ms = ?2, acknowledged_by = ?3 WHERE id = ?1";
        self.db.execute(sql, params![id, now_ms, by]).map_err(|e| self.wrap(e))?;
        self.show(&id)
    }

    /// Says what an alert turned out to be, and asks for its end if it is open.
    pub fn resolve(&mut self, id: &str, verdict: Verdict, by: &str, note: Option<&str>) -> Result<Record, DeskError> {
        let record = self.show(id)?;
        let id = record.alert.id;
        let mut write = || {
            let transaction = self.db.transaction()?;
            transaction.execute(
                "UPDATE alert SET verdict = ?2, verdict_by = ?3, note = ?4 WHERE id = ?1",
                params![id, verdict.name(), by, note],
            )?;
            if record.alert.status != Status::Resolved {
                transaction.execute("INSERT OR IGNORE INTO resolve_request (alert) VALUES (?1)", [&id])?;
            }
            transaction.commit()
        };
        write().map_err(|e| StoreError::from_sqlite(&self.path, e))?;
        self.show(&id)
    }

    /// How often rules were right, by rule.
    pub fn precision(&self) -> Result<Vec<Precision>, StoreError> {
        let sql = "SELECT rule, coalesce(sum(verdict = 'true'), 0), coalesce(sum(verdict = 'false'), 0),
                       coalesce(sum(verdict = 'expected'), 0), sum(verdict IS NULL)
                   FROM alert GROUP BY rule ORDER BY rule";
        let read = || {
            let precision = |row: &Row<'_>| {
                let [right, wrong, expected, open] = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
                Ok(Precision { rule: row.get(0)?, right, wrong, expected, open })
            };
            self.db.prepare(sql)?.query_map([], precision)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| self.wrap(e))
    }

    /// Withholds what matches. [`Silence::check`] says what is wrong with one. Returns its number.
    pub fn silence(&mut self, silence: &Silence) -> Result<i64, StoreError> {
        silence::insert(&self.db, silence).map_err(|e| self.wrap(e))
    }

    /// Ends a silence. Returns whether it was in force.
    pub fn unsilence(&mut self, number: i64, now_ms: i64) -> Result<bool, StoreError> {
        silence::end(&self.db, number, now_ms).map_err(|e| self.wrap(e))
    }

    /// Silences that have not ended.
    pub fn silences(&self, now_ms: i64) -> Result<Vec<Silence>, StoreError> {
        silence::current(&self.db, now_ms).map_err(|e| self.wrap(e))
    }

    /// Whether an alert's end was asked for and is still to come.
    pub fn is_resolving(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM resolve_request WHERE alert = ?1";
        let found = self.db.query_row(sql, [id], |_| Ok(())).optional();
        Ok(found.map_err(|e| self.wrap(e))?.is_some())
    }

    fn wrap(&self, source: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, source)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let state: String = row.get(0)?;
    let verdict: Option<String> = row.get(6)?;
    // (a name has no blanks)
    let names: Option<String> = row.get(9)?;
    Ok(Record {
        alert: serde_json::from_str(&state)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.into()))?,
        changed_ms: row.get(1)?,
        told: row.get(2)?,
        withheld: row.get(3)?,
        acknowledged_ms: row.get(4)?,
        acknowledged_by: row.get(5)?,
        verdict: verdict.as_deref().and_then(Verdict::from_name),
        verdict_by: row.get(7)?,
        note: row.get(8)?,
        destinations: names.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
    })
}
