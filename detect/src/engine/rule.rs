//! A rule at work: its plan, and its views of the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::baseline::Baseline;
use super::compile::CompiledRule;
use super::state::{Rolling, Store, Threshold, View, WindowGroups};
use super::tasks::guarded;
use super::{Found, Stopwatch, Trouble, Work};
use crate::budget::Budget;

/// A rule and what it keeps beside its stores.
#[derive(Debug)]
pub struct RuleState {
    /// The plan.
    pub compiled: CompiledRule,
    /// One a split.
    pub parts: Vec<Part>,
    /// Windows that start before this are not emitted: the rule was added or changed while they ran, µs.
    pub complete_from: i64,
    /// Whether the last checkpoint knows this plan.
    pub saved: bool,
    /// What it did so far.
    pub work: Work,
    /// How long things take.
    pub stopwatch: Stopwatch,
    /// Decides which rows are findings.
    pub budget: Option<Budget>,
}

/// One split's part of a store.
#[derive(Debug)]
pub struct Part {
    /// The store's number.
    pub store: usize,
    /// What it sees of it.
    pub view: View,
    /// What a group must reach.
    pub threshold: Option<Threshold>,
    rolling: Rolling,
}

impl Part {
    /// A view of the store with this number.
    pub fn new(store: usize, view: View, threshold: Option<Threshold>) -> Self {
        Self { store, view, threshold, rolling: Rolling::default() }
    }
}

impl RuleState {
    /// A rule that has seen nothing; its parts are given when stores are shared out.
    pub fn new(mut compiled: CompiledRule) -> Self {
        Self {
            budget: compiled.budget.take(),
            compiled,
            parts: Vec::new(),
            complete_from: i64::MIN,
            saved: false,
            work: Work::default(),
            stopwatch: Stopwatch::default(),
        }
    }

    /// Whether it has a part of this store.
    pub fn uses(&self, store: usize) -> bool {
        self.parts.iter().any(|p| p.store == store)
    }

    /// Has not seen all rows up to `newest`.
    pub fn starts_fresh(&mut self, newest: i64) {
        self.complete_from = self.complete_from.max(newest.saturating_add(1));
        self.saved = false;
        self.parts.iter_mut().for_each(|p| p.rolling = Rolling::default());
    }

    /// Memory beside the stores, bytes.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|p| p.rolling.size()).sum::<usize>() + self.budget.as_ref().map_or(0, Budget::size)
    }

    /// The window that ends at `end`.
    pub fn window_of(&self, end: i64) -> (i64, i64) {
        (end - self.compiled.window.size, end)
    }

    /// The ends of the windows with rows that end in `(from, to]`.
    pub fn window_ends(&self, from: i64, to: i64, stores: &[Store]) -> BTreeSet<i64> {
        let window = self.compiled.window;
        let keys = self.parts.iter().flat_map(|p| stores[p.store].pane_keys());
        let ends = keys.flat_map(|key| {
            window.ends(window.pane(key.pane)).filter(move |&end| end >= key.first_end && end > from && end <= to)
        });
        ends.filter(|end| end - window.size >= self.complete_from).collect()
    }

    /// Closes the windows that end in `(from, to]`.
    pub async fn close(
        &mut self,
        from: i64,
        to: i64,
        stores: &[Store],
        baselines: &BTreeMap<String, Baseline>,
        troubles: &mut Vec<Trouble>,
    ) -> Vec<Found> {
        let rule = Arc::clone(&self.compiled.rule);
        let mut found = Vec::new();
        for end in self.window_ends(from, to, stores) {
            let (start, end) = self.window_of(end);
            self.show_baselines(baselines, start);
            let rows = guarded(self.closed_rows(end, stores)).await;
            match rows.and_then(|rows| self.admitted(end, rows)) {
                Ok(rows) if rows.num_rows() == 0 => {}
                Ok(rows) => found.push(Found { rule: Arc::clone(&rule), start, end, rows, early: None }),
                Err(e) => troubles.push(Trouble::window_lost(&rule.id, (start, end), &e)),
            }
        }
        self.hide_baselines();
        found
    }

    /// Which of a window's rows are findings.
    fn admitted(&mut self, end: i64, rows: RecordBatch) -> Result<RecordBatch> {
        match &mut self.budget {
            Some(budget) => budget.admit(end, &rows),
            None => Ok(rows),
        }
    }

    /// Lets the plan see what the baselines knew when a window began.
    pub fn show_baselines(&self, baselines: &BTreeMap<String, Baseline>, start: i64) {
        for (name, slot) in &self.compiled.baselines {
            slot.put(baselines.get(name).map(|b| b.as_of(start)));
        }
    }

    /// Lets the memory go that [`RuleState::show_baselines`] shares.
    pub fn hide_baselines(&self) {
        self.compiled.baselines.values().for_each(|slot| slot.put(None));
    }

    /// The rule's rows for the window that ends at `end`, which closes.
    pub async fn closed_rows(&mut self, end: i64, stores: &[Store]) -> Result<RecordBatch> {
        let start = self.stopwatch.read();
        let rows = self.rows(end, stores).await;
        self.work.windows += 1;
        self.work.closing += self.stopwatch.since(start);
        self.work.found += rows.as_ref().map_or(0, |rows| rows.num_rows() as u64);
        rows
    }

    /// A baseline's rows for the window that ends at `end`, which closes.
    pub async fn learnt_rows(&mut self, end: i64, stores: &[Store]) -> Result<RecordBatch> {
        let rows = self.closed_rows(end, stores).await?;
        let start = self.stopwatch.read();
        let rows = self.compiled.peers.as_ref().map_or(Ok(rows.clone()), |peers| peers.fit(&rows));
        self.work.closing += self.stopwatch.since(start);
        rows
    }

    /// The rule's rows for the window that ends at `end`.
    pub async fn rows(&mut self, end: i64, stores: &[Store]) -> Result<RecordBatch> {
        let window = self.window_of(end);
        let next_start = window.0 + self.compiled.window.slide;
        let mut groups = Vec::new();
        for part in &mut self.parts {
            let store = &stores[part.store];
            if let Some(threshold) = part.threshold
                && let Some(sifted) = store.sifted(&part.view, window, threshold)?
            {
                groups.push(sifted);
                continue;
            }
            let wanted = match part.threshold {
                Some(threshold) => Some(part.rolling.candidates(store, window, next_start, threshold)?),
                None => None,
            };
            let nothing = wanted.as_ref().is_some_and(BTreeSet::is_empty);
            groups.push(if nothing {
                WindowGroups::default()
            } else {
                store.window(&part.view, window, wanted.as_ref())?
            });
        }
        if groups.iter().all(WindowGroups::is_empty) {
            return Ok(RecordBatch::new_empty(self.compiled.output_schema()));
        }
        self.rows_of(groups).await
    }

    /// The rule's rows for the groups of each part.
    pub async fn rows_of(&self, groups: Vec<WindowGroups>) -> Result<RecordBatch> {
        for (split, groups) in self.compiled.splits.iter().zip(groups) {
            split.groups.put(groups);
        }
        let rows = self.compiled.run_rest().await;
        for split in &self.compiled.splits {
            split.groups.put(WindowGroups::default());
        }
        rows
    }
}
