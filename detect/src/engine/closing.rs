//! Closing windows: what they hold is complete, and rules say what they find in it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::baseline::windowed;
use super::rule::RuleState;
use super::state::Store;
use super::tasks::{each, guarded};
use super::{Engine, Found, Trouble};

/// What came of closing the windows of one rule.
enum Closed {
    Rule(Vec<Found>, Vec<Trouble>),
    /// The rows of each window of a baseline, by its end.
    Baseline(Vec<(i64, Result<RecordBatch>)>),
}

impl Engine {
    /// Closes every window that ends at or before `watermark` and returns what the rules found, in the order of (window's end, rule).
    pub async fn advance(&mut self, watermark: i64) -> Result<Vec<Found>> {
        if watermark <= self.closed_to {
            return Ok(Vec::new());
        }
        self.seal(watermark).await?;
        // Baselines come first, as rules join them; but nearly always all rules look at windows that began before those that the
        // baselines close: then all is done at once.
        let at_once = self.is_independent(watermark) && !self.feeds(watermark);
        if !at_once {
            self.close(|rule| rule.compiled.rule.is_baseline(), watermark).await?;
            self.feed(watermark).await?;
        }
        let mut found = self.close(|rule| at_once || !rule.compiled.rule.is_baseline(), watermark).await?;
        found.extend(self.look_at_postponed(watermark).await?);
        // (what was told early comes first)
        found.sort_by(|a, b| (a.early.is_none(), a.end, &a.rule.id).cmp(&(b.early.is_none(), b.end, &b.rule.id)));
        self.closed_to = watermark;
        for (number, store) in self.stores.iter_mut().enumerate() {
            if store.forget(watermark)? {
                // They know their keys by the old numbers.
                self.postponed.retain(|(store, _)| *store != number);
            }
        }
        self.prepared.forget(&mut self.stores);
        self.forget_baselines()?;
        Ok(found)
    }

    /// Closes all windows: the log is at its end.
    pub async fn finish(&mut self) -> Result<Vec<Found>> {
        self.advance(i64::MAX).await
    }

    /// Completes the panes that no row can be added to any more.
    async fn seal(&mut self, watermark: i64) -> Result<()> {
        let stores = std::mem::take(&mut self.stores);
        let sealed = each(stores, move |mut store| async move {
            let result = guarded(async { store.seal(watermark) }).await;
            (store, result)
        })
        .await?;
        for (number, (store, result)) in sealed.into_iter().enumerate() {
            self.stores.push(store);
            if let Err(e) = result {
                self.store_failed(number, &e);
            }
        }
        Ok(())
    }

    /// Whether no rule's window that closes now began after a baseline's window that closes now.
    fn is_independent(&self, watermark: i64) -> bool {
        let ends = |baselines: bool| {
            let rules = self.rules.iter().filter(move |r| r.compiled.rule.is_baseline() == baselines);
            rules.flat_map(|r| {
                r.window_ends(self.closed_to, watermark, &self.stores).into_iter().map(|end| r.window_of(end))
            })
        };
        let last_start = ends(false).map(|(start, _)| start).max().unwrap_or(i64::MIN);
        ends(true).all(|(_, end)| end > last_start)
    }

    /// Whether rows that a baseline learns now are put into windows over it.
    fn feeds(&self, watermark: i64) -> bool {
        self.rules.iter().any(|r| {
            r.compiled.rule.is_baseline()
                && has_windows(&self.stores, &r.compiled.rule.table_name())
                && !r.window_ends(self.closed_to, watermark, &self.stores).is_empty()
        })
    }

    /// Closes the windows of some rules.
    async fn close(&mut self, which: impl Fn(&RuleState) -> bool, watermark: i64) -> Result<Vec<Found>> {
        let from = self.closed_to;
        let (stores, baselines) =
            (Arc::new(std::mem::take(&mut self.stores)), Arc::new(std::mem::take(&mut self.baselines)));
        let shared = (Arc::clone(&stores), Arc::clone(&baselines));
        let rules = std::mem::take(&mut self.rules).into_iter().map(|rule| (which(&rule), rule)).collect();
        let closed = each(rules, move |(wanted, mut rule)| {
            let (stores, baselines) = shared.clone();
            async move {
                if !wanted {
                    return (rule, Closed::Baseline(Vec::new()));
                }
                if !rule.compiled.rule.is_baseline() {
                    let mut troubles = Vec::new();
                    let found = rule.close(from, watermark, &stores, &baselines, &mut troubles).await;
                    return (rule, Closed::Rule(found, troubles));
                }
                let mut windows = Vec::new();
                for end in rule.window_ends(from, watermark, &stores) {
                    windows.push((end, guarded(rule.learnt_rows(end, &stores)).await));
                }
                (rule, Closed::Baseline(windows))
            }
        })
        .await?;
        self.stores = Arc::into_inner(stores).unwrap_or_default();
        self.baselines = Arc::into_inner(baselines).unwrap_or_default();
        let mut found = Vec::new();
        for (rule, closed) in closed {
            match closed {
                Closed::Rule(rows, troubles) => {
                    found.extend(rows);
                    self.troubles.extend(troubles);
                }
                Closed::Baseline(windows) => self.learn(&rule, windows),
            }
            self.rules.push(rule);
        }
        Ok(found)
    }

    /// Puts what baselines have learnt into the windows over them.
    async fn feed(&mut self, watermark: i64) -> Result<()> {
        let learnt = std::mem::take(&mut self.learnt);
        if learnt.is_empty() {
            return Ok(());
        }
        for number in 0..self.stores.len() {
            let store = &mut self.stores[number];
            let Some(table) = store.grouping.source.baseline().map(ToOwned::to_owned) else { continue };
            let fed = guarded(async {
                for (_, rows) in learnt.iter().filter(|(of, _)| *of == table) {
                    store.absorb(&windowed(rows)?, None).await?;
                }
                store.seal(watermark)
            });
            if let Err(e) = fed.await {
                self.store_failed(number, &e);
            }
        }
        Ok(())
    }

    /// Adds the rows of closed windows to a baseline.
    fn learn(&mut self, rule: &RuleState, windows: Vec<(i64, Result<RecordBatch>)>) {
        let id = &rule.compiled.rule;
        let table = id.table_name();
        for (end, rows) in windows {
            let Some(baseline) = self.baselines.get_mut(&table) else { continue };
            match rows.and_then(|rows| baseline.add(end, &rows).map(|()| rows)) {
                Ok(rows) if has_windows(&self.stores, &table) => self.learnt.push((table.clone(), rows)),
                Ok(_) => {}
                Err(e) => self.troubles.push(Trouble::window_lost(&id.id, rule.window_of(end), &e)),
            }
        }
    }
}

/// Whether a rule puts windows over a baseline.
fn has_windows(stores: &[Store], baseline: &str) -> bool {
    stores.iter().any(|store| store.grouping.source.baseline() == Some(baseline))
}
