//! How many rows each key has in the window that closes: only keys with enough of them are put together.
//!
//! Merging every group of every pane at every close costs more than all else. A pane's counts are added once, when the first
//! window that ends after it closes, and subtracted once.

use std::collections::{BTreeMap, BTreeSet};

use super::watch::{Threshold, in_time};
use super::{PaneKey, Store, sketch};
use arrow::array::AsArray;
use datafusion::common::Result;

/// Counts of the rows of each key in the panes of `from..to`, without what came late.
#[derive(Debug)]
pub struct Rolling {
    counts: Vec<u32>,
    from: i64,
    to: i64,
    generation: u64,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { counts: Vec::new(), from: i64::MIN, to: i64::MIN, generation: 0 }
    }
}

impl Rolling {
    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.counts.capacity() * 4
    }

    /// The keys that may reach `threshold` in a window. Windows come in the order of their ends.
    pub fn candidates(
        &mut self,
        store: &Store,
        (start, end): (i64, i64),
        next_start: i64,
        threshold: Threshold,
    ) -> Result<BTreeSet<u32>> {
        if self.generation != store.generation {
            *self = Self { generation: store.generation, ..Self::default() };
        }
        self.counts.resize(store.keys.len().max(self.counts.len()), 0);
        self.subtract(store, start);
        self.from = start;
        for pane in in_time(&store.panes, self.to.max(start), end, store.slide) {
            for (key, rows) in pane.counts() {
                self.counts[key as usize] = self.counts[key as usize].saturating_add(clamp(rows));
            }
        }
        self.to = end;

        // What came late for some windows is little, and is counted as it is.
        let mut late: BTreeMap<u32, i64> = BTreeMap::new();
        let range = PaneKey { pane: start, first_end: i64::MIN }..PaneKey { pane: end, first_end: i64::MIN };
        for (at, pane) in
            store.panes.range(range).filter(|(at, _)| at.first_end > at.pane + store.slide && at.first_end <= end)
        {
            debug_assert!(at.pane >= start);
            pane.counts().for_each(|(key, rows)| *late.entry(key).or_default() += rows);
        }
        let enough = clamp(threshold.rows);
        let mut candidates: BTreeSet<u32> =
            (0u32..).zip(&self.counts).filter(|(_, count)| **count >= enough).map(|(key, _)| key).collect();
        candidates.extend(
            late.iter()
                .filter(|(key, rows)| i64::from(self.counts[**key as usize]) + **rows >= threshold.rows)
                .map(|(key, _)| *key),
        );
        // While the panes are still there.
        self.subtract(store, next_start);
        self.from = next_start;
        if let Some((aggregate, least)) = threshold.distinct.filter(|_| !store.aggregates_later()) {
            retain_distinct(store, (start, end), &mut candidates, aggregate, least)?;
        }
        Ok(candidates)
    }

    /// Takes out the panes before `start`.
    fn subtract(&mut self, store: &Store, start: i64) {
        for pane in in_time(&store.panes, self.from, start.min(self.to), store.slide) {
            for (key, rows) in pane.counts() {
                let count = &mut self.counts[key as usize];
                *count = count.saturating_sub(clamp(rows));
            }
        }
    }
}

/// Drops the keys whose sketches together cannot have `least` distinct values.
fn retain_distinct(
    store: &Store,
    window: (i64, i64),
    candidates: &mut BTreeSet<u32>,
    aggregate: usize,
    least: u64,
) -> Result<()> {
    if candidates.is_empty() {
        return Ok(());
    }
    let state = store.state_columns(aggregate)?.start;
    let mut bounds: BTreeMap<u32, u64> = BTreeMap::new();
    for layer in store.layers(window) {
        let states = layer.states[state].as_binary::<i32>();
        for group in layer.groups_of(candidates) {
            let bound = bounds.entry(layer.keys[group as usize]).or_default();
            *bound = bound.saturating_add(sketch::at_most(states.value(group as usize)));
        }
    }
    candidates.retain(|key| bounds.get(key).is_some_and(|&bound| bound >= least));
    Ok(())
}

fn clamp(rows: i64) -> u32 {
    u32::try_from(rows.max(0)).unwrap_or(u32::MAX)
}
