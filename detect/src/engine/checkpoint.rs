//! What the engine remembers, as rows of bytes that somebody else stores in a transaction.
//!
//! Keys: `engine` (closed windows, newest row), `rule/ID` (the plan's fingerprint), `state/ID/SPLIT/NUMBER` (a piece of a
//! pane), `baseline/TABLE/END` (a closed window's rows). Only what changed since the last call is written.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::panes::{PaneKey, Piece, compact};

/// Rows to write and to delete.
#[derive(Debug, Default)]
pub struct Changes {
    /// Key and value.
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys.
    pub deletes: Vec<Vec<u8>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct EngineRow {
    closed_to: i64,
    newest: i64,
    late_rows: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct RuleRow {
    fingerprint: String,
    /// Windows that start before this are not emitted: the rule has not seen all of their rows.
    complete_from: i64,
}

impl Engine {
    /// What changed since the last call.
    pub fn checkpoint(&mut self) -> Result<Changes> {
        let mut changes = Changes::default();
        let engine = EngineRow { closed_to: self.closed_to, newest: self.newest, late_rows: self.late_rows };
        changes.put("engine", json(&engine)?);
        for state in &mut self.rules {
            let id = &state.compiled.rule.id;
            if !std::mem::replace(&mut state.saved, true) {
                let row = RuleRow { fingerprint: state.compiled.fingerprint(), complete_from: state.complete_from };
                changes.put(&format!("rule/{id}"), json(&row)?);
            }
            for (i, store) in state.stores.iter_mut().enumerate() {
                let difference = store.take_changes();
                for (key, piece) in difference.added {
                    let mut value = [key.pane.to_be_bytes(), key.first_end.to_be_bytes()].concat();
                    value.extend(to_ipc(&piece.rows)?);
                    changes.put(&format!("state/{id}/{i}/{}", piece.number), value);
                }
                changes
                    .deletes
                    .extend(difference.removed.into_iter().map(|n| format!("state/{id}/{i}/{n}").into_bytes()));
            }
        }
        for (table, baseline) in &self.baselines {
            let saved = self.saved_baselines.entry(table.clone()).or_default();
            for (end, rows) in baseline.closed() {
                if saved.insert(*end) {
                    changes.put(&format!("baseline/{table}/{end}"), to_ipc(rows)?);
                }
            }
            saved.retain(|end| {
                let held = baseline.closed().contains_key(end);
                if !held {
                    changes.deletes.push(format!("baseline/{table}/{end}").into_bytes());
                }
                held
            });
        }
        Ok(changes)
    }

    /// Puts back what [`Engine::checkpoint`] gave. Returns what could not be used and why, and the rows to delete for it.
    pub fn restore(&mut self, rows: Vec<(Vec<u8>, Vec<u8>)>) -> (Vec<String>, Changes) {
        let mut rows: BTreeMap<String, Vec<u8>> =
            rows.into_iter().map(|(key, value)| (String::from_utf8_lossy(&key).into_owned(), value)).collect();
        let mut notices = Vec::new();
        if let Some(row) = rows.remove("engine").and_then(|v| serde_json::from_slice::<EngineRow>(&v).ok()) {
            self.closed_to = row.closed_to;
            self.newest = row.newest;
            self.late_rows = row.late_rows;
        }
        for state in &mut self.rules {
            let id = state.compiled.rule.id.clone();
            let saved = rows.remove(&format!("rule/{id}")).and_then(|v| serde_json::from_slice::<RuleRow>(&v).ok());
            match saved {
                Some(row) if row.fingerprint == state.compiled.fingerprint() => {
                    state.saved = true;
                    state.complete_from = row.complete_from;
                }
                other => {
                    if other.is_some() {
                        notices.push(format!(
                            "the rule {id} has changed since the last run: it starts fresh with the next whole window"
                        ));
                    }
                    state.complete_from = self.newest.saturating_add(1);
                    continue;
                }
            }
            for (i, store) in state.stores.iter_mut().enumerate() {
                let prefix = format!("state/{id}/{i}/");
                let pieces: Vec<String> = rows
                    .range(prefix.clone()..)
                    .map(|(k, _)| k.clone())
                    .take_while(|k| k.starts_with(&prefix))
                    .collect();
                for key in pieces {
                    let Some(value) = rows.remove(&key) else { continue };
                    match piece(&key[prefix.len()..], &value) {
                        Ok((pane, piece)) => store.restore(pane, piece),
                        Err(e) => {
                            notices.push(format!("the rule {id} lost a piece of its state ({e}): it starts fresh with the next whole window"));
                            state.complete_from = self.newest.saturating_add(1);
                        }
                    }
                }
            }
        }
        let mut by_end: Vec<(i64, String, Vec<u8>)> = Vec::new();
        rows.retain(|key, value| match key.strip_prefix("baseline/").and_then(|k| k.split_once('/')) {
            Some((table, end)) if self.baselines.contains_key(table) => {
                by_end.extend(end.parse().ok().map(|end| (end, table.to_owned(), std::mem::take(value))));
                false
            }
            _ => true,
        });
        by_end.sort();
        for (end, table, value) in by_end {
            let Some(baseline) = self.baselines.get_mut(&table) else { continue };
            match from_ipc(&value).and_then(|rows| baseline.add(end, &rows)) {
                Ok(()) => drop(self.saved_baselines.entry(table).or_default().insert(end)),
                Err(e) => notices.push(format!("the baseline {table} lost the rows of one window ({e})")),
            }
        }
        // What is left belongs to rules that are gone or have changed.
        (notices, Changes { puts: Vec::new(), deletes: rows.into_keys().map(String::into_bytes).collect() })
    }
}

impl Changes {
    fn put(&mut self, key: &str, value: Vec<u8>) {
        self.puts.push((key.as_bytes().to_vec(), value));
    }
}

fn piece(number: &str, value: &[u8]) -> Result<(PaneKey, Piece)> {
    let broken = || DataFusionError::External("the checkpoint is damaged".into());
    let number = number.parse().map_err(|_| broken())?;
    let (pane, rest) = value.split_first_chunk::<8>().ok_or_else(broken)?;
    let (first_end, rest) = rest.split_first_chunk::<8>().ok_or_else(broken)?;
    let key = PaneKey { pane: i64::from_be_bytes(*pane), first_end: i64::from_be_bytes(*first_end) };
    Ok((key, Piece { number, rows: from_ipc(rest)? }))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| DataFusionError::External(Box::new(e)))
}

fn to_ipc(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema())?;
    // A view keeps whole buffers: write only what the rows use.
    writer.write(&compact(rows)?)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn from_ipc(bytes: &[u8]) -> Result<RecordBatch> {
    let mut reader = StreamReader::try_new(bytes, None)?;
    let rows = reader.next().ok_or_else(|| DataFusionError::External("the checkpoint holds no rows".into()))??;
    Ok(rows)
}
