//! The engine: rules over a stream of request batches, with the answer that one query over the whole log would give.
//!
//! 1. [`compile`](compile::compile) plans a rule and splits it at its lowest aggregates; [`validate`] refuses what cannot be split.
//! 2. [`Engine::push`] gives rows their panes ([`lateness`]), runs the Partial half of every rule on them and keeps the state rows
//!    by pane ([`panes`]).
//! 3. [`Engine::advance`] closes the windows that the watermark has passed, baselines first, and returns the rules' rows.
//!
//! Rows are processed once however many windows they are in. The engine knows no clock and no files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use tokio::task::JoinSet;

use crate::diagnostic::Diagnostic;
use crate::rules::Rule;
use baseline::Baseline;
use compile::{CompiledRule, compile};
use lateness::Paned;
use panes::PaneStore;
use window::WindowSpec;

pub mod baseline;
pub mod checkpoint;
pub mod compile;
#[cfg(test)]
mod equality;
mod hostile;
pub mod lateness;
pub(crate) mod leaf;
pub mod panes;
#[cfg(test)]
mod refusals;
pub mod session;
pub mod validate;
pub mod window;

pub use lateness::FileRows;

/// The rows that one rule returned for one window.
#[derive(Debug)]
pub struct Closed {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Start of the window, µs.
    pub start: i64,
    /// End of the window, µs, exclusive.
    pub end: i64,
    /// At least one row.
    pub rows: RecordBatch,
}

/// Rules and what they remember.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<RuleState>,
    baselines: BTreeMap<String, Baseline>,
    /// Windows that end at or before it are closed, µs.
    closed_to: i64,
    /// Newest `ts` taken in, µs.
    newest: i64,
    schema: SchemaRef,
    late_rows: u64,
    /// Windows of baselines that the last checkpoint holds.
    saved_baselines: BTreeMap<String, BTreeSet<i64>>,
}

/// A rule with its panes. Moves into a task to work, and back.
#[derive(Debug)]
struct RuleState {
    compiled: CompiledRule,
    /// One a split.
    stores: Vec<PaneStore>,
    /// Windows that start before this are not emitted: the rule was added or changed while they ran, µs.
    complete_from: i64,
    /// Whether the last checkpoint knows this plan.
    saved: bool,
}

/// Which rows a rule must not see: its exceptions, as the condition for a row to be kept.
pub type Keep = BTreeMap<String, Expr>;

impl Engine {
    /// Plans `rules`. Those that cannot be planned are returned as diagnostics; the rest runs.
    pub async fn new(rules: &[Rule], keep: &Keep) -> (Self, Vec<Diagnostic>) {
        let mut engine = Self {
            rules: Vec::new(),
            baselines: BTreeMap::new(),
            closed_to: i64::MIN,
            newest: i64::MIN,
            schema: compile::paned_schema(),
            late_rows: 0,
            saved_baselines: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        let mut tables = BTreeMap::new();
        // Baselines first: rules are planned over their schemas. (A baseline sees no other baseline.)
        for rule in rules.iter().filter(|r| r.is_baseline()) {
            match engine.add(rule, &BTreeMap::new(), keep).await {
                Ok(schema) => drop(tables.insert(rule.table_name(), schema)),
                Err(problem) => problems.push(problem),
            }
        }
        for rule in rules.iter().filter(|r| !r.is_baseline()) {
            problems.extend(engine.add(rule, &tables, keep).await.err());
        }
        (engine, problems)
    }

    async fn add(
        &mut self,
        rule: &Rule,
        tables: &BTreeMap<String, SchemaRef>,
        keep: &Keep,
    ) -> std::result::Result<SchemaRef, Diagnostic> {
        let compiled = compile(rule, tables, keep.get(&rule.id).cloned()).await?;
        let schema = compiled.output_schema();
        if rule.is_baseline() {
            let explain = |e| Diagnostic::from_datafusion(&rule.origin, &rule.text, &e);
            self.baselines.insert(rule.table_name(), Baseline::new(rule, &schema).map_err(explain)?);
        }
        let stores = compiled.splits.iter().map(|_| PaneStore::default()).collect();
        self.rules.push(RuleState { compiled, stores, complete_from: i64::MIN, saved: false });
        Ok(schema)
    }

    /// Drops the baselines that no rule joins: they would cost as much as a rule and nobody would see them.
    #[must_use]
    pub fn without_unused_baselines(mut self) -> Self {
        let used: BTreeSet<String> = self.rules.iter().flat_map(|r| r.compiled.baselines.keys().cloned()).collect();
        self.baselines.retain(|table, _| used.contains(table));
        self.rules.retain(|r| !r.compiled.rule.is_baseline() || used.contains(&r.compiled.rule.table_name()));
        self
    }

    /// The rules that run.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|r| &r.compiled.rule)
    }

    /// The rules that run, planned.
    pub fn compiled(&self) -> impl Iterator<Item = &CompiledRule> {
        self.rules.iter().map(|r| &r.compiled)
    }

    /// Rows so far that came too late for at least one window of some rule.
    pub fn late_rows(&self) -> u64 {
        self.late_rows
    }

    /// Windows that end at or before it are closed, µs.
    pub fn closed_to(&self) -> i64 {
        self.closed_to
    }

    /// Takes in rows. Batches of one file come in the file's order.
    pub async fn push(&mut self, files: &[FileRows]) -> Result<()> {
        let windows: BTreeSet<WindowSpec> = self.rules.iter().map(|r| r.compiled.window).collect();
        let mut paned: BTreeMap<WindowSpec, Arc<Vec<Paned>>> = BTreeMap::new();
        let mut late_rows = 0;
        for window in windows {
            let mut groups = Vec::new();
            let mut late = 0;
            for file in files {
                let assigned = lateness::assign(file, window, self.closed_to, &self.schema)?;
                groups.extend(assigned.groups);
                late += assigned.late_rows;
            }
            // The windows nest: what is late for some window is late for one with the shortest slide.
            late_rows = late.max(late_rows);
            paned.insert(window, Arc::new(groups));
        }
        self.late_rows += late_rows;
        self.newest = files.iter().filter_map(FileRows::newest).max().unwrap_or(i64::MIN).max(self.newest);
        self.each_rule(|mut rule| {
            let groups = paned.get(&rule.compiled.window).cloned();
            async move { rule.absorb(groups.as_deref().map_or(&[], Vec::as_slice)).await.map(|()| (rule, ())) }
        })
        .await?;
        Ok(())
    }

    /// Closes every window that ends at or before `watermark` and returns what the rules found, in the order of (window's end, rule).
    pub async fn advance(&mut self, watermark: i64) -> Result<Vec<Closed>> {
        if watermark <= self.closed_to {
            return Ok(Vec::new());
        }
        let from = self.closed_to;
        self.close_baselines(from, watermark).await?;
        let baselines = Arc::new(std::mem::take(&mut self.baselines));
        let shared = Arc::clone(&baselines);
        let closed = self
            .each_rule(move |mut rule| {
                let baselines = Arc::clone(&shared);
                async move {
                    let closed = if rule.compiled.rule.is_baseline() {
                        Vec::new()
                    } else {
                        rule.close(from, watermark, &baselines).await?
                    };
                    Ok((rule.forgetting(watermark), closed))
                }
            })
            .await;
        self.baselines = Arc::into_inner(baselines).unwrap_or_default();
        let mut closed: Vec<Closed> = closed?.into_iter().flatten().collect();
        closed.sort_by(|a, b| (a.end, &a.rule.id).cmp(&(b.end, &b.rule.id)));
        self.closed_to = watermark;
        let longest = self.rules.iter().map(|r| r.compiled.window.size).max().unwrap_or(0);
        for baseline in self.baselines.values_mut() {
            baseline.forget_before(watermark.saturating_sub(longest));
        }
        Ok(closed)
    }

    /// Closes all windows: the log is at its end.
    pub async fn finish(&mut self) -> Result<Vec<Closed>> {
        self.advance(i64::MAX).await
    }

    async fn close_baselines(&mut self, from: i64, watermark: i64) -> Result<()> {
        for rule in self.rules.iter_mut().filter(|r| r.compiled.rule.is_baseline()) {
            let Some(baseline) = self.baselines.get_mut(&rule.compiled.rule.table_name()) else { continue };
            for end in rule.window_ends(from, watermark) {
                let rows = rule.rows(end).await?;
                baseline.add(end, &rows)?;
            }
        }
        Ok(())
    }

    /// Runs `work` for every rule, as many at a time as the runtime has threads, and returns the results in the rules' order.
    async fn each_rule<T, F>(&mut self, mut work: impl FnMut(RuleState) -> F) -> Result<Vec<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<(RuleState, T)>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for (i, rule) in std::mem::take(&mut self.rules).into_iter().enumerate() {
            let task = work(rule);
            tasks.spawn(async move { (i, task.await) });
        }
        let mut done = BTreeMap::new();
        while let Some(result) = tasks.join_next().await {
            let (i, result) = result.map_err(|e| DataFusionError::External(Box::new(e)))?;
            done.insert(i, result?);
        }
        let mut results = Vec::new();
        for (rule, result) in done.into_values() {
            self.rules.push(rule);
            results.push(result);
        }
        Ok(results)
    }
}

impl RuleState {
    /// Runs the Partial halves and keeps their state rows.
    async fn absorb(&mut self, groups: &[Paned]) -> Result<()> {
        let lateness: BTreeSet<Option<i64>> = groups.iter().map(|g| g.late_until).collect();
        for late_until in lateness {
            let rows = groups.iter().filter(|g| g.late_until == late_until).map(|g| g.rows.clone()).collect();
            self.compiled.input.put(rows);
            for (split, store) in self.compiled.splits.iter().zip(&mut self.stores) {
                let states = self.compiled.run_partial(split).await?;
                store.add(split, self.compiled.window, states, late_until)?;
            }
        }
        self.compiled.input.put(Vec::new());
        self.merge_pieces().await
    }

    async fn merge_pieces(&mut self) -> Result<()> {
        for (split, store) in self.compiled.splits.iter().zip(&mut self.stores) {
            for key in store.fragmented() {
                let merged = self.compiled.run_reduce(split, store.pieces(key)).await?;
                store.replace(key, merged);
            }
        }
        Ok(())
    }

    /// The ends of the windows with rows that end in `(from, to]`.
    fn window_ends(&self, from: i64, to: i64) -> BTreeSet<i64> {
        let window = self.compiled.window;
        let keys = self.stores.iter().flat_map(PaneStore::keys);
        let ends = keys
            .flat_map(|key| window.ends(key.pane).filter(move |&end| end >= key.first_end && end > from && end <= to));
        ends.filter(|end| end - window.size >= self.complete_from).collect()
    }

    async fn close(&mut self, from: i64, to: i64, baselines: &BTreeMap<String, Baseline>) -> Result<Vec<Closed>> {
        let rule = Arc::new(self.compiled.rule.clone());
        let mut closed = Vec::new();
        for end in self.window_ends(from, to) {
            let start = end - self.compiled.window.size;
            for (name, slot) in &self.compiled.baselines {
                slot.put(baselines.get(name).map(|b| b.as_of(start)).unwrap_or_default());
            }
            let rows = self.rows(end).await?;
            if rows.num_rows() > 0 {
                closed.push(Closed { rule: Arc::clone(&rule), start, end, rows });
            }
        }
        for slot in self.compiled.baselines.values() {
            slot.put(Vec::new());
        }
        Ok(closed)
    }

    /// The rule's rows for the window that ends at `end`.
    async fn rows(&mut self, end: i64) -> Result<RecordBatch> {
        for (split, store) in self.compiled.splits.iter().zip(&self.stores) {
            split.state_input.put(store.window(split, self.compiled.window, end)?);
        }
        let rows = self.compiled.run_rest().await?;
        for split in &self.compiled.splits {
            split.state_input.put(Vec::new());
        }
        Ok(concat_batches(&self.compiled.output_schema(), &rows)?)
    }

    fn forgetting(mut self, closed_to: i64) -> Self {
        for store in &mut self.stores {
            store.forget(self.compiled.window, closed_to);
        }
        self
    }
}
