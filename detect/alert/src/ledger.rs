//! The ledger: every alert in its newest state, and whether it is sent. Written in the transaction of the commit that
//! changes it.
//!
//! What is withheld stays listed, with the reason: a rule that only observes, an alert of another rule that says the same
//! (`suppressed_by`), a silence, or a storm: past [`STORM`] open alerts of a rule further ones are not sent one by one, and one
//! alert, `tripline/storm`, tells of all of them. The end of an alert is told if, and only if, any of it was.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::{Map, Value, json};

use crate::alert::{Alert, Status};
use crate::finding::{Finding, Handling, Mode, Phase, Severity, Window};
use crate::json;
use crate::lifecycle::Change;
use crate::silence::{self, Silence};
use crate::store::to_sql;

/// Open alerts of one rule that are sent one by one, unless the config says otherwise.
pub const STORM: u32 = 100;
/// How many of a storm's entities its alert names.
const TOP: usize = 20;
/// The rule that storms are alerts of.
pub const STORM_RULE: &str = "tripline/storm";
/// How long a resolved alert is kept, ms.
const KEEP_MS: i64 = 90 * 86_400_000;
const HOUR: i64 = 3_600_000_000;

/// The ledger within a transaction.
pub(crate) struct Ledger<'a> {
    db: &'a Transaction<'a>,
    now_ms: i64,
    storm: i64,
    silences: Vec<Silence>,
    /// What was withheld from storms: the rule, with the highest severity and the newest time.
    storms: BTreeMap<String, (Severity, i64)>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(db: &'a Transaction<'a>, now_ms: i64, storm: u32) -> rusqlite::Result<Self> {
        let mut silences = silence::current(db, now_ms)?;
        silences.retain(|s| s.starts_ms <= now_ms);
        Ok(Self { db, now_ms, storm: i64::from(storm), silences, storms: BTreeMap::new() })
    }

    /// Writes a change down. Returns whether it is to be sent. `open`: the alerts that are open with it.
    pub(crate) fn write<'b>(
        &mut self,
        change: &Change,
        open: impl Iterator<Item = &'b Alert>,
    ) -> rusqlite::Result<bool> {
        let alert = &change.alert;
        let told = self.was_told(&alert.id)?;
        let withheld = if change.notify { self.withheld(alert, told, open)? } else { None };
        let send = change.notify && withheld.is_none();
        self.db
            .prepare_cached(
                "INSERT INTO alert (id, rule, status, findings, state, changed_ms, told, withheld)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (id) DO UPDATE SET status = ?3, findings = ?4, state = ?5, changed_ms = ?6,
                     told = max(told, ?7), withheld = CASE WHEN NOT ?9 THEN withheld
                         WHEN ?3 = 'resolved' AND NOT told THEN coalesce(withheld, ?8) ELSE ?8 END",
            )?
            .execute(params![
                alert.id,
                alert.rule,
                alert.status.name(),
                i64::try_from(alert.findings).unwrap_or(i64::MAX),
                json::to_string(alert).map_err(to_sql)?,
                self.now_ms,
                send,
                withheld,
                change.notify,
            ])?;
        Ok(send)
    }

    /// Forgets what was resolved long ago.
    pub(crate) fn forget(&self) -> rusqlite::Result<()> {
        let before = self.now_ms.saturating_sub(KEEP_MS);
        self.db.prepare_cached("DELETE FROM alert WHERE changed_ms < ?1 AND status = 'resolved'")?.execute([before])?;
        self.db.prepare_cached("DELETE FROM silence WHERE ends_ms < ?1")?.execute([before])?;
        Ok(())
    }

    fn was_told(&self, id: &str) -> rusqlite::Result<bool> {
        let mut select = self.db.prepare_cached("SELECT told FROM alert WHERE id = ?1")?;
        Ok(select.query_row([id], |row| row.get(0)).optional()?.unwrap_or(false))
    }

    /// Why a state is not sent.
    fn withheld<'b>(
        &mut self,
        alert: &Alert,
        told: bool,
        mut open: impl Iterator<Item = &'b Alert>,
    ) -> rusqlite::Result<Option<String>> {
        if alert.status == Status::Resolved {
            return Ok((!told).then(|| "nothing of it was sent".to_owned()));
        }
        if alert.handling.mode == Mode::Observe {
            return Ok(Some("the rule observes".into()));
        }
        let says_the_same = |other: &&Alert| {
            let listed = alert.handling.suppressed_by.contains(&other.rule);
            listed && other.handling.mode == Mode::Alert && is_same(alert, other)
        };
        if !alert.handling.suppressed_by.is_empty()
            && let Some(other) = open.find(says_the_same)
        {
            return Ok(Some(format!("{} says the same: {}", other.rule, other.id)));
        }
        if let Some(silence) = self.silences.iter().find(|s| s.covers(alert)) {
            silence::hit(self.db, silence.number)?;
            return Ok(Some(format!("silence {}", silence.number)));
        }
        if !told && alert.rule != STORM_RULE && self.count(&alert.rule, true)? >= self.storm {
            let storm = self.storms.entry(alert.rule.clone()).or_insert((alert.severity, alert.detected_at));
            *storm = (storm.0.max(alert.severity), storm.1.max(alert.detected_at));
            return Ok(Some(format!("a storm: more than {} open alerts of {}", self.storm, alert.rule)));
        }
        Ok(None)
    }

    fn count(&self, rule: &str, told_only: bool) -> rusqlite::Result<i64> {
        let sql = "SELECT count(*) FROM alert WHERE rule = ?1 AND told >= ?2 AND status <> 'resolved'";
        self.db.prepare_cached(sql)?.query_row(params![rule, told_only], |row| row.get(0))
    }

    /// The storms that withheld something, as findings about their rules. Once an hour of event time each is news.
    pub(crate) fn storms(&mut self) -> rusqlite::Result<Vec<Finding>> {
        let storms = std::mem::take(&mut self.storms);
        storms.into_iter().map(|(rule, (severity, at))| self.storm(&rule, severity, at)).collect()
    }

    fn storm(&self, rule: &str, severity: Severity, at: i64) -> rusqlite::Result<Finding> {
        let mut select = self.db.prepare_cached(
            "SELECT state FROM alert WHERE rule = ?1 AND status <> 'resolved' ORDER BY findings DESC, id LIMIT ?2",
        )?;
        let states = select.query_map(params![rule, TOP], |row| row.get::<_, String>(0))?;
        let states = states.collect::<rusqlite::Result<Vec<_>>>()?;
        let alerts = states.iter().filter_map(|state| serde_json::from_str::<Alert>(state).ok());
        let top: Vec<Value> = alerts.map(|a| json!({"entity": a.entity, "findings": a.findings})).collect();
        let start = at.div_euclid(HOUR).saturating_mul(HOUR);
        Ok(Finding {
            rule: STORM_RULE.into(),
            title: "A rule fires for very many entities: the rest is not sent one by one".into(),
            severity,
            entity: [("rule".to_owned(), Value::from(rule))].into(),
            window: Window { start, end: start.saturating_add(HOUR) },
            phase: Phase::Closed,
            values: Map::from_iter([
                ("alerts".to_owned(), json!(self.count(rule, false)?)),
                ("sent".to_owned(), json!(self.count(rule, true)?)),
                ("top".to_owned(), json!(top)),
            ]),
            detected_at: at,
            owasp: Vec::new(),
            attack: Vec::new(),
            quiet: HOUR,
            evidence: Vec::new(),
            handling: Handling::default(),
        })
    }
}

/// Whether two alerts are about one entity: they share columns, and those are equal.
fn is_same(a: &Alert, b: &Alert) -> bool {
    let shared: BTreeSet<_> = a.entity.keys().filter(|name| b.entity.contains_key(*name)).collect();
    !shared.is_empty() && shared.into_iter().all(|name| a.entity.get(name) == b.entity.get(name))
}

/// Alerts that a person wants resolved.
pub(crate) fn resolve_requests(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut select = db.prepare_cached("SELECT alert FROM resolve_request ORDER BY alert")?;
    select.query_map([], |row| row.get(0))?.collect()
}
