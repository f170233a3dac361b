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
use crate::finding::{Finding, Handling, Mode, Phase, Severity, Window, fingerprint};
use crate::json;
use crate::lifecycle::{Change, Lifecycle};
use crate::silence::{self, Silence};
use crate::writing::to_sql;

/// Open alerts of one rule that are sent one by one, unless the config says otherwise.
pub const STORM: u32 = 100;
/// How many of a storm's entities its alert names.
const TOP: usize = 20;
/// The rule that storms are alerts of.
pub const STORM_RULE: &str = "tripline/storm";
/// How long a resolved alert is kept, ms.
const KEEP_MS: i64 = 90 * 86_400_000;
const HOUR: i64 = 3_600_000_000;
/// How often a storm's numbers are new, event time, µs.
const STORM_WINDOW: i64 = 300_000_000;
/// How the reason begins for which alerts of a storm are not sent.
const A_STORM: &str = "a storm: ";

/// The ledger within a transaction.
pub(crate) struct Ledger<'a> {
    db: &'a Transaction<'a>,
    now_ms: i64,
    storm: i64,
    silences: Vec<Silence>,
    /// Rules with alerts that a storm withholds and that have just changed: the highest severity and the newest time.
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
        let (told, before) = self.known(&alert.id)?;
        let withheld = if change.notify { self.withheld(alert, told, open)? } else { None };
        if withheld.as_ref().or(before.as_ref()).is_some_and(|why| !told && why.starts_with(A_STORM)) {
            let storm = self.storms.entry(alert.rule.clone()).or_insert((alert.severity, alert.detected_at));
            *storm = (storm.0.max(alert.severity), storm.1.max(alert.detected_at));
        }
        let send = change.notify && withheld.is_none();
        self.db
            .prepare_cached(
                "INSERT INTO alert (id, rule, status, findings, state, changed_ms, told, withheld, incident)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10)
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
                alert.incident,
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

    /// Whether an alert was told, and why its newest state was not.
    fn known(&self, id: &str) -> rusqlite::Result<(bool, Option<String>)> {
        let mut select = self.db.prepare_cached("SELECT told, withheld FROM alert WHERE id = ?1")?;
        Ok(select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?.unwrap_or_default())
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
            return Ok(Some(format!("{A_STORM}more than {} open alerts of {}", self.storm, alert.rule)));
        }
        Ok(None)
    }

    fn count(&self, rule: &str, told_only: bool) -> rusqlite::Result<i64> {
        let sql = "SELECT count(*) FROM alert WHERE rule = ?1 AND told >= ?2 AND status <> 'resolved'";
        self.db.prepare_cached(sql)?.query_row(params![rule, told_only], |row| row.get(0))
    }

    /// The storms with news since the last call, as findings about their rules. The same five minutes of event time are news once.
    pub(crate) fn storms(&mut self, lifecycle: &Lifecycle) -> rusqlite::Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for (rule, (severity, at)) in std::mem::take(&mut self.storms) {
            let start = at.div_euclid(STORM_WINDOW).saturating_mul(STORM_WINDOW);
            let window = Window { start, end: start.saturating_add(STORM_WINDOW) };
            let entity = BTreeMap::from([("rule".to_owned(), Value::from(rule.as_str()))]);
            let known = lifecycle.episode(&fingerprint(STORM_RULE, &entity));
            if known.is_none_or(|episode| window.end > episode.end()) {
                findings.push(self.storm(&rule, Finding { severity, entity, window, ..about_storms(at) })?);
            }
        }
        Ok(findings)
    }

    /// A storm's numbers.
    fn storm(&self, rule: &str, mut finding: Finding) -> rusqlite::Result<Finding> {
        let mut select = self.db.prepare_cached(
            "SELECT state FROM alert WHERE rule = ?1 AND status <> 'resolved' ORDER BY findings DESC, id LIMIT ?2",
        )?;
        let states = select.query_map(params![rule, TOP], |row| row.get::<_, String>(0))?;
        let states = states.collect::<rusqlite::Result<Vec<_>>>()?;
        let alerts = states.iter().filter_map(|state| serde_json::from_str::<Alert>(state).ok());
        let top: Vec<Value> = alerts.map(|a| json!({"entity": a.entity, "findings": a.findings})).collect();
        finding.values = Map::from_iter([
            ("alerts".to_owned(), json!(self.count(rule, false)?)),
            ("sent".to_owned(), json!(self.count(rule, true)?)),
            ("top".to_owned(), json!(top)),
        ]);
        Ok(finding)
    }
}

/// What all storms' findings have in common. `at`: event time, µs.
fn about_storms(at: i64) -> Finding {
    Finding {
        rule: STORM_RULE.into(),
        title: "A rule fires for very many entities: the rest is not sent one by one".into(),
        severity: Severity::Info,
        entity: BTreeMap::new(),
        window: Window { start: at, end: at },
        phase: Phase::Closed,
        values: Map::new(),
        detected_at: at,
        watermark: at,
        owasp: Vec::new(),
        attack: Vec::new(),
        quiet: HOUR,
        evidence: Vec::new(),
        handling: Handling::default(),
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
