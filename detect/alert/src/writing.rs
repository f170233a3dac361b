//! What a commit changes of alerts, within its transaction: the ledger, open episodes, and the outbox.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::alert::{Alert, Ended, Status};
use crate::grouping::{Grouping, Turn};
use crate::json;
use crate::ledger::Ledger;
use crate::lifecycle::{Change, Lifecycle, in_order};
use crate::routing::Route;
use crate::store::Commit;

/// How long a group's last message is remembered, ms: longer than any interval.
const KEEP_TURN_MS: i64 = 7 * 86_400_000;

/// Takes in a commit's findings and lets event time pass, step by step as time went: whether an alert is sent must not depend on
/// what else happens to be in the commit. `asked`: alerts to be ended because a person says so.
pub(crate) fn write(
    db: &Transaction<'_>,
    lifecycle: &mut Lifecycle,
    commit: &Commit,
    asked: &[String],
    storm: u32,
) -> rusqlite::Result<Vec<Alert>> {
    let mut writing = Writing { db, commit, ledger: Ledger::new(db, commit.now_ms, storm)?, written: Vec::new() };
    lifecycle.heard_until(commit.heard);
    let at = commit.watermark.unwrap_or(i64::MIN);
    let removed = lifecycle.open().filter(|alert| commit.removed_rules.contains(&alert.rule));
    let removed = removed.map(|alert| (&alert.id, Ended::RuleRemoved));
    let over: Vec<_> =
        asked.iter().map(|id| (id, Ended::Manual)).chain(removed).map(|(id, why)| (id.clone(), why)).collect();
    let ended = over.iter().filter_map(|(id, why)| lifecycle.end(id, *why, at)).collect();
    writing.add(ended, lifecycle)?;
    for group in in_order(commit.findings.clone()) {
        let changes = lifecycle.take(group, commit.watermark);
        writing.add(changes, lifecycle)?;
        let storms = writing.ledger.storms(lifecycle)?;
        // A storm is told whenever its numbers are new.
        let storms = lifecycle.step(storms, None).into_iter().map(|c| Change { notify: true, ..c }).collect();
        writing.add(storms, lifecycle)?;
    }
    if let Some(watermark) = commit.watermark {
        writing.add(lifecycle.pass(watermark), lifecycle)?;
    }
    let Writing { ledger, written, .. } = writing;
    ledger.forget()?;
    let also = lifecycle.take_began_to_wait();
    keep_episodes(db, lifecycle, &written, &also, commit.watermark)?;
    db.prepare_cached("DELETE FROM turn WHERE at_ms < ?1")?.execute([commit.now_ms.saturating_sub(KEEP_TURN_MS)])?;
    Ok(written)
}

/// A commit under way.
struct Writing<'a> {
    db: &'a Transaction<'a>,
    commit: &'a Commit,
    ledger: Ledger<'a>,
    written: Vec<Alert>,
}

impl Writing<'_> {
    fn add(&mut self, changes: Vec<Change>, lifecycle: &Lifecycle) -> rusqlite::Result<()> {
        for change in changes {
            if self.ledger.write(&change, lifecycle.open())? {
                enqueue(self.db, &change.alert, &self.commit.destinations, self.commit.now_ms)?;
            }
            self.written.push(change.alert);
        }
        Ok(())
    }
}

/// Keeps what the lifecycle needs to go on after a restart: the episodes of what was written, and `also` of these fingerprints.
fn keep_episodes(
    db: &Transaction<'_>,
    lifecycle: &Lifecycle,
    written: &[Alert],
    also: &[String],
    watermark: Option<i64>,
) -> rusqlite::Result<()> {
    for alert in written.iter().filter(|a| a.status == Status::Resolved) {
        db.prepare_cached("DELETE FROM episode WHERE fingerprint = ?1")?.execute([&alert.fingerprint])?;
        if let Some(end) = lifecycle.resolved_end(&alert.fingerprint) {
            db.prepare_cached("INSERT OR REPLACE INTO resolved (fingerprint, last_end) VALUES (?1, ?2)")?
                .execute(params![alert.fingerprint, end])?;
        }
    }
    let touched: BTreeSet<_> = written.iter().map(|a| &a.fingerprint).chain(also).collect();
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

/// Adds an alert's state to the outbox, once a destination; told again, it changes nothing. The first that a destination is told of
/// an alert fires there, and its end is told where anything was, whatever has become of severity and routes.
fn enqueue(db: &Transaction<'_>, alert: &Alert, routes: &[Route], now_ms: i64) -> rusqlite::Result<()> {
    for route in routes {
        let pair = params![alert.id, route.destination];
        let told = db.prepare_cached("SELECT 1 FROM told WHERE alert = ?1 AND destination = ?2")?.exists(pair)?;
        let status = match alert.status {
            Status::Resolved if told => Status::Resolved,
            Status::Updated if told && route.takes(alert) => Status::Updated,
            Status::Firing | Status::Updated if route.takes(alert) => Status::Firing,
            _ => continue,
        };
        add(db, &Alert { status, ..alert.clone() }, route, now_ms)?;
        if !told {
            db.prepare_cached("INSERT INTO told (alert, destination) VALUES (?1, ?2)")?.execute(pair)?;
        }
    }
    Ok(())
}

/// Adds a message to the outbox.
fn add(db: &Transaction<'_>, alert: &Alert, route: &Route, now_ms: i64) -> rusqlite::Result<()> {
    let destination = &route.destination;
    let sequence = signed(alert.sequence);
    let id = alert.webhook_id(destination);
    let (queue, due_ms) = match &route.grouping {
        None => (alert.fingerprint.clone(), now_ms),
        Some(grouping) => match turn(db, grouping, destination, alert, &id, now_ms)? {
            Some(turn) => turn,
            None => return Ok(()),
        },
    };
    if alert.status == Status::Updated {
        // The newer update says all that the older would have.
        db.prepare_cached(
            "DELETE FROM outbox WHERE destination = ?1 AND queue = ?2 AND fingerprint = ?3 AND episode_start = ?4
             AND status = 'updated' AND state = 'pending' AND batch IS NULL AND sequence < ?5",
        )?
        .execute(params![destination, queue, alert.fingerprint, alert.episode_start, sequence])?;
    }
    let text = json::to_string(alert).map_err(to_sql)?;
    let status = alert.status.name();
    db.prepare_cached(
        "INSERT INTO outbox
             (id, destination, queue, fingerprint, episode_start, sequence, status, alert, created_ms, due_ms, worked_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, coalesce((SELECT worked_ms FROM lane WHERE destination = ?2), 0))
         ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        id,
        destination,
        queue,
        alert.fingerprint,
        alert.episode_start,
        sequence,
        status,
        text,
        now_ms,
        due_ms
    ])?;
    Ok(())
}

/// The queue that an alert goes into where alerts are grouped, and when it is due. `None`: it need not be told again.
fn turn(
    db: &Transaction<'_>,
    grouping: &Grouping,
    destination: &str,
    alert: &Alert,
    id: &str,
    now_ms: i64,
) -> rusqlite::Result<Option<(String, i64)>> {
    let known = db.prepare_cached("SELECT 1 FROM outbox WHERE id = ?1")?.exists([id])?;
    let told: Option<i64> = db
        .prepare_cached(
            "SELECT max(created_ms) FROM outbox WHERE destination = ?1 AND fingerprint = ?2 AND queue <> fingerprint",
        )?
        .query_row(params![destination, alert.fingerprint], |row| row.get(0))?;
    let repeats = alert.status == Status::Updated && told.is_some_and(|told| grouping.is_recent(told, now_ms));
    if known || repeats {
        return Ok(None);
    }
    let queue = grouping.key(alert);
    let last = db
        .prepare_cached("SELECT at_ms, first FROM turn WHERE destination = ?1 AND queue = ?2")?
        .query_row(params![destination, queue], |row| Ok(Turn { at_ms: row.get(0)?, first: row.get(1)? }))
        .optional()?;
    let turn = grouping.turn(last, now_ms);
    db.prepare_cached("INSERT OR REPLACE INTO turn (destination, queue, at_ms, first) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![destination, queue, turn.at_ms, turn.first])?;
    Ok(Some((queue, turn.at_ms)))
}

/// `SQLite` has no unsigned numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn to_sql(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
