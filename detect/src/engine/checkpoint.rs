//! What the engine remembers, as rows of bytes that somebody else stores in a transaction.
//!
//! Keys: `engine` (closed windows, newest row), `rule/ID` (the plan's fingerprint), `store/STORE` (what its layers consist of),
//! `state/STORE/NUMBER` (a layer of a pane),
//! `budget/ID` (evidence of a rule with a budget). Only what changed since the last call is written. (Baselines are kept apart: see
//! `baseline/durable.rs`.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Engine;
use super::state::PaneKey;
use super::state::durable::Layout;
use crate::budget::Budget;

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
    /// Where its state is. Other rules decide over that, too: they may come to share it.
    #[serde(default)]
    stores: Vec<String>,
}

impl Engine {
    /// What changed since the last call.
    pub fn checkpoint(&mut self) -> Result<Changes> {
        let mut changes = Changes::default();
        let engine = EngineRow { closed_to: self.closed_to, newest: self.newest, late_rows: self.late_rows };
        changes.put("engine", json(&engine)?);
        let ids = self.store_ids()?;
        for state in &mut self.rules {
            if let Some(evidence) = state.budget.as_mut().and_then(Budget::take_changes) {
                changes.put(&format!("budget/{}", state.compiled.rule.id), evidence);
            }
            if !std::mem::replace(&mut state.saved, true) {
                let row = RuleRow {
                    fingerprint: state.compiled.fingerprint(),
                    complete_from: state.complete_from,
                    stores: state.parts.iter().map(|p| ids[p.store].clone()).collect(),
                };
                changes.put(&format!("rule/{}", state.compiled.rule.id), json(&row)?);
            }
        }
        for (id, store) in ids.into_iter().zip(&mut self.stores) {
            let difference = store.take_changes()?;
            if !difference.added.is_empty() && self.saved_stores.insert(id.clone()) {
                changes.put(&format!("store/{id}"), json(&store.layout()?)?);
            }
            for (key, number, rows) in difference.added {
                let mut value = [key.pane.to_be_bytes(), key.first_end.to_be_bytes()].concat();
                value.extend(to_ipc(&rows)?);
                changes.put(&format!("state/{id}/{number}"), value);
            }
            changes.deletes.extend(difference.removed.into_iter().map(|n| format!("state/{id}/{n}").into_bytes()));
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
        let ids = self.store_ids().unwrap_or_default();
        let newest = self.newest;
        let mut fresh = BTreeSet::new();
        for state in &mut self.rules {
            let id = state.compiled.rule.id.clone();
            let saved = rows.remove(&format!("rule/{id}")).and_then(|v| serde_json::from_slice::<RuleRow>(&v).ok());
            let evidence = state.budget.as_ref().and_then(|_| rows.remove(&format!("budget/{id}")));
            match saved {
                Some(row)
                    if row.fingerprint == state.compiled.fingerprint()
                        && state.parts.iter().map(|p| &ids[p.store]).eq(&row.stores) =>
                {
                    state.saved = true;
                    state.complete_from = row.complete_from;
                    if let (Some(budget), Some(evidence)) = (&mut state.budget, evidence)
                        && !budget.restore(&evidence)
                    {
                        notices.push(format!("the evidence of the rule {id} is damaged: it begins anew"));
                    }
                }
                other => {
                    if other.is_some() {
                        notices.push(format!(
                            "the rule {id} has changed since the last run: it starts fresh with the next whole window"
                        ));
                    }
                    state.starts_fresh(newest);
                    fresh.insert(id);
                }
            }
        }
        for (number, id) in ids.into_iter().enumerate() {
            if let Err(why) = self.restore_store(number, &id, &mut rows) {
                self.stores[number].clear();
                for state in self.rules.iter_mut().filter(|r| r.uses(number)) {
                    let rule = &state.compiled.rule.id;
                    if fresh.insert(rule.clone()) {
                        notices.push(format!(
                            "the rule {rule} lost its state ({why}): it starts fresh with the next whole window"
                        ));
                    }
                    state.starts_fresh(newest);
                }
            }
        }
        // What is left belongs to rules that are gone or have changed.
        (notices, Changes { puts: Vec::new(), deletes: rows.into_keys().map(String::into_bytes).collect() })
    }
}

impl Engine {
    /// Names of the stores, the same after a restart with the same rules.
    fn store_ids(&self) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        for store in &self.stores {
            let layout = store.layout()?;
            let hash = Sha256::digest(format!("{} {}", layout.grouping, layout.slide));
            let name = format!("{hash:x}")[..16].to_owned();
            let same = ids.iter().filter(|id| id.starts_with(&name)).count();
            ids.push(format!("{name}-{same}"));
        }
        Ok(ids)
    }

    /// Puts back the layers of one store. The error is why its rules must start fresh.
    fn restore_store(
        &mut self,
        number: usize,
        id: &str,
        rows: &mut BTreeMap<String, Vec<u8>>,
    ) -> std::result::Result<(), String> {
        let prefix = format!("state/{id}/");
        let keys: Vec<String> =
            rows.range(prefix.clone()..).map(|(k, _)| k.clone()).take_while(|k| k.starts_with(&prefix)).collect();
        let Some(layout) = rows.remove(&format!("store/{id}")) else { return Ok(()) };
        let layout: Layout = serde_json::from_slice(&layout).map_err(|e| e.to_string())?;
        let store = &mut self.stores[number];
        for key in keys {
            let Some(value) = rows.get(&key) else { continue };
            let put_back = layer(&key[prefix.len()..], value)
                .and_then(|(pane, number, layer)| store.restore(&layout, pane, number, &layer));
            put_back.map_err(|e| e.strip_backtrace())?;
            if store.layout().is_ok_and(|own| own == layout) {
                rows.remove(&key);
            }
        }
        if store.layout().is_ok_and(|own| own == layout) {
            self.saved_stores.insert(id.to_owned());
        }
        Ok(())
    }
}

impl Changes {
    fn put(&mut self, key: &str, value: Vec<u8>) {
        self.puts.push((key.as_bytes().to_vec(), value));
    }
}

fn layer(number: &str, value: &[u8]) -> Result<(PaneKey, u64, RecordBatch)> {
    let broken = || DataFusionError::External("the checkpoint is damaged".into());
    let number = number.parse().map_err(|_| broken())?;
    let (pane, rest) = value.split_first_chunk::<8>().ok_or_else(broken)?;
    let (first_end, rest) = rest.split_first_chunk::<8>().ok_or_else(broken)?;
    let key = PaneKey { pane: i64::from_be_bytes(*pane), first_end: i64::from_be_bytes(*first_end) };
    Ok((key, number, from_ipc(rest)?))
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

/// Gives a batch its own string buffers, where it would keep those of a larger one alive.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_view_opt() {
            Some(views) => Arc::new(views.gc()) as ArrayRef,
            None => Arc::clone(column),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}
