//! Silences: for a while, alerts that match are kept and listed, but not sent.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use crate::alert::Alert;
use crate::routing::matches;

/// The longest that a silence may last, ms: a year.
pub const MAX_SILENCE_MS: i64 = 366 * 86_400_000;
/// The most matchers, and the most bytes of a text in a silence.
const MAX_MATCHERS: usize = 32;
const MAX_TEXT: usize = 1_024;

/// A silence. Times are wall clock, ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// Its number.
    pub number: i64,
    /// What must match, all of it: `rule`, `severity`, `id`, `incident`, or a column of the entity; `*` in a value stands for any text.
    pub matchers: BTreeMap<String, String>,
    /// From when.
    pub starts_ms: i64,
    /// Until when.
    pub ends_ms: i64,
    /// Who set it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// How many notifications it has withheld.
    pub hits: i64,
}

/// What is wrong with a silence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// It would match everything.
    #[error("a silence needs something to match, such as rule=api1/* or client=192.0.2.7")]
    NoMatcher,
    /// No `=`.
    #[error("{0:?} is no matcher; write NAME=VALUE, such as rule=api1/* or client=192.0.2.7")]
    NotAMatcher(String),
    /// Both cannot hold.
    #[error("{0} is given twice, and all matchers must hold; make a silence of each, or use * in a value")]
    Twice(String),
    /// Too much of it.
    #[error("a silence has at most {MAX_MATCHERS} matchers, and texts of at most {MAX_TEXT} bytes")]
    TooLarge,
    /// Author or reason.
    #[error("a silence needs an author and a reason: whoever finds it must know whom to ask")]
    NoReason,
    /// Its times.
    #[error("a silence ends after it begins, and within a year")]
    Times,
}

impl Silence {
    /// Reads matchers.
    pub fn matchers(words: &[String]) -> Result<BTreeMap<String, String>, SilenceError> {
        let pair = |word: &String| {
            let (name, value) = word.split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        };
        let mut matchers = BTreeMap::new();
        for word in words {
            let (name, value) = pair(word).ok_or_else(|| SilenceError::NotAMatcher(word.clone()))?;
            if matchers.insert(name.clone(), value).is_some() {
                return Err(SilenceError::Twice(name));
            }
        }
        Ok(matchers)
    }

    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), SilenceError> {
        let mut texts =
            self.matchers.iter().flat_map(|(name, value)| [name, value]).chain([&self.author, &self.reason]);
        let length = self.ends_ms.saturating_sub(self.starts_ms);
        match () {
            () if self.matchers.is_empty() => Err(SilenceError::NoMatcher),
            () if self.matchers.len() > MAX_MATCHERS || texts.any(|t| t.len() > MAX_TEXT) => {
                Err(SilenceError::TooLarge)
            }
            () if self.author.trim().is_empty() || self.reason.trim().is_empty() => Err(SilenceError::NoReason),
            () if !(1..=MAX_SILENCE_MS).contains(&length) => Err(SilenceError::Times),
            () => Ok(()),
        }
    }

    /// Whether an alert is withheld by it.
    pub fn covers(&self, alert: &Alert) -> bool {
        let own = |name: &str| match name {
            "rule" => Some(alert.rule.as_str()),
            "severity" => Some(alert.severity.name()),
            "id" => Some(alert.id.as_str()),
            "incident" => Some(alert.incident.as_str()),
            _ => None,
        };
        let of_entity = |name: &str, pattern: &str| match alert.entity.get(name) {
            Some(Value::String(text)) => matches(pattern, text),
            Some(value) => matches(pattern, &value.to_string()),
            None => false,
        };
        // (alerts of Tripline's own may be about a `rule`)
        let is = |name: &str, pattern: &str| {
            own(name).is_some_and(|text| matches(pattern, text)) || of_entity(name, pattern)
        };
        self.matchers.iter().all(|(name, pattern)| is(name, pattern))
    }
}

/// Silences that have not ended at `now_ms`, in the order of their numbers; those too that are yet to begin.
pub(crate) fn current(db: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Silence>> {
    let mut select = db.prepare_cached(
        "SELECT number, matchers, starts_ms, ends_ms, author, reason, hits FROM silence WHERE ends_ms > ?1 ORDER BY number",
    )?;
    let silence = |row: &rusqlite::Row<'_>| {
        let matchers: String = row.get(1)?;
        Ok(Silence {
            number: row.get(0)?,
            // What cannot be read matches nothing.
            matchers: serde_json::from_str(&matchers)
                .unwrap_or_else(|_| BTreeMap::from([(String::new(), String::new())])),
            starts_ms: row.get(2)?,
            ends_ms: row.get(3)?,
            author: row.get(4)?,
            reason: row.get(5)?,
            hits: row.get(6)?,
        })
    };
    select.query_map([now_ms], silence)?.collect()
}

/// Counts a notification that a silence withheld.
pub(crate) fn hit(db: &Connection, number: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE silence SET hits = hits + 1 WHERE number = ?1")?.execute([number]).map(|_| ())
}

/// Writes one; its number is given back.
pub(crate) fn insert(db: &Connection, silence: &Silence) -> rusqlite::Result<i64> {
    let matchers = serde_json::to_string(&silence.matchers).unwrap_or_default();
    let sql = "INSERT INTO silence (matchers, starts_ms, ends_ms, author, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.execute(sql, params![matchers, silence.starts_ms, silence.ends_ms, silence.author, silence.reason])?;
    Ok(db.last_insert_rowid())
}

/// Ends one. Returns whether it was in force.
pub(crate) fn end(db: &Connection, number: i64, now_ms: i64) -> rusqlite::Result<bool> {
    let ended = db.execute("UPDATE silence SET ends_ms = ?2 WHERE number = ?1 AND ends_ms > ?2", [number, now_ms])?;
    Ok(ended > 0)
}
