//! What somebody else keeps of baselines, so that they outlive the process: the rows of each closed window, and now and then
//! all that is newest, so that a start need not read a fortnight of windows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;

use super::super::Engine;
use super::{Baseline, Table};
use crate::rules::Rule;

/// The rows that a baseline gained when a window was closed.
#[derive(Debug, Clone)]
pub struct ClosedWindow {
    /// The baseline's name as a table.
    pub table: String,
    /// The window's end, µs.
    pub end: i64,
    /// When the last of the rows ceases to hold, µs.
    pub until: i64,
    /// At least one row, with the columns of the baseline's rule.
    pub rows: RecordBatch,
}

impl Engine {
    /// Somebody takes what is closed: see [`Engine::take_closed_windows`].
    #[must_use]
    pub fn with_kept_baselines(mut self) -> Self {
        self.baselines.values_mut().for_each(Baseline::keep_unsaved);
        self
    }

    /// What baselines have gained since the last call.
    pub fn take_closed_windows(&mut self) -> Vec<ClosedWindow> {
        let mut closed = Vec::new();
        for (table, baseline) in &mut self.baselines {
            let max_age = baseline.table.max_age;
            let windows = baseline.take_unsaved().into_iter().map(|(end, rows)| {
                let until = end.saturating_add(max_age);
                ClosedWindow { table: table.clone(), end, until, rows }
            });
            closed.extend(windows);
        }
        closed
    }

    /// Puts back rows of a closed window, or of several as one. In the order of the windows' ends, after [`Engine::restore`].
    pub fn restore_baseline(&mut self, table: &str, end: i64, rows: &RecordBatch) -> Result<()> {
        let start = self.seen_from(table);
        let Some(baseline) = self.baselines.get_mut(table) else { return Ok(()) };
        baseline.put_back(end, rows)?;
        baseline.forget_before(start)
    }

    /// The newest row of each key of a baseline, but for windows that some rule may still have to look past; and the end of the
    /// newest window among these, µs. Nothing if there is nothing.
    pub fn settled_baseline(&self, table: &str) -> Result<Option<(i64, Vec<RecordBatch>)>> {
        let Some(baseline) = self.baselines.get(table) else { return Ok(None) };
        let view = baseline.as_of(self.seen_from(table));
        let Some(newest) = view.runs.first().map(|run| run.newest) else { return Ok(None) };
        Ok(Some((newest, view.bare_rows(None)?)))
    }

    /// The columns of a baseline's rows.
    pub fn baseline_schema(&self, table: &str) -> Option<SchemaRef> {
        self.baselines.get(table).map(|baseline| baseline.table.row_schema())
    }

    /// The baselines, by name as a table: each with its rule, and what it looks like.
    pub fn baselines(&self) -> impl Iterator<Item = (String, (Arc<Rule>, Table))> {
        let rules = self.rules.iter().map(|r| &r.compiled.rule);
        rules.filter_map(|rule| {
            let table = self.baselines.get(&rule.table_name()).filter(|_| rule.is_baseline())?;
            Some((rule.table_name(), (Arc::clone(rule), table.table().clone())))
        })
    }

    /// Names of the baselines, with how many rows each holds and the bytes that they take.
    pub fn baseline_sizes(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.baselines.iter().map(|(table, baseline)| (table.as_str(), baseline.rows(), baseline.size()))
    }

    /// No window looks at what a baseline knew before this, µs.
    fn seen_from(&self, table: &str) -> i64 {
        let joins = self.rules.iter().filter(|rule| rule.compiled.baselines.contains_key(table));
        self.closed_to.saturating_sub(joins.map(|rule| rule.compiled.window.size).max().unwrap_or(0))
    }

    /// No window looks at what any baseline knew before this, µs.
    pub fn baselines_seen_from(&self) -> i64 {
        self.baselines.keys().map(|table| self.seen_from(table)).min().unwrap_or(self.closed_to)
    }

    /// Lets baselines forget what no window can see any more.
    pub(in crate::engine) fn forget_baselines(&mut self) -> Result<()> {
        let starts: Vec<i64> = self.baselines.keys().map(|table| self.seen_from(table)).collect();
        self.baselines.values_mut().zip(starts).try_for_each(|(baseline, start)| baseline.forget_before(start))
    }
}
