//! Findings of windows that are still open.
//!
//! Waiting for a window's end costs records. Where more rows cannot take back what a rule's conditions say ([`super::monotone`]), a
//! group that may be enough is looked at as it grows, the row that settled it is found, and the rule's row is told at once.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;

use super::rule::RuleState;
use super::state::{Look, Store};
use super::tasks::guarded;
use super::{Engine, Found, Trouble};

/// Looks that wait for baselines, at most; what is not looked at is found when its window closes.
const MAX_POSTPONED: usize = 4096;

impl Engine {
    /// Looks at groups of open windows, each with the number of its store.
    /// `baselines_known_to`: windows of baselines that end at or before it are closed, µs.
    pub(super) async fn look(&mut self, looks: Vec<(usize, Look)>, baselines_known_to: i64) -> Vec<Found> {
        let mut found = Vec::new();
        let mut told = BTreeSet::new();
        for (number, look) in looks {
            if told.contains(&(number, look.watch, look.key, look.window)) {
                continue;
            }
            let store = &self.stores[number];
            let Some(watch) = store.watches.get(look.watch) else { continue };
            let rule = &self.rules[watch.rule];
            let (start, end) = look.window;
            // What the baselines knew when the window began is not sure before the watermark has passed that.
            if !rule.compiled.baselines.is_empty() && baselines_known_to < start {
                self.stores[number].watches[look.watch].look_again(look.key, 1);
                if self.postponed.len() < MAX_POSTPONED {
                    self.postponed.push((number, look));
                }
                continue;
            }
            let settled = if start < rule.complete_from {
                Ok(None)
            } else {
                rule.show_baselines(&self.baselines, start);
                let settled = guarded(settled(rule, store, &look)).await;
                rule.hide_baselines();
                settled
            };
            let (id, watch) = (&rule.compiled.rule, &mut self.stores[number].watches[look.watch]);
            match settled {
                Ok(Some((rows, at))) => {
                    watch.told(look.key, end);
                    told.insert((number, look.watch, look.key, look.window));
                    // (with baselines no sooner than these were sure)
                    let known = if rule.compiled.baselines.is_empty() {
                        at
                    } else {
                        at.max(start.saturating_add(self.lateness))
                    };
                    found.push(Found { rule: id.clone(), start, end, rows, early: Some(known) });
                }
                Ok(None) => watch.look_again(look.key, 1),
                Err(e) => {
                    watch.told(look.key, end);
                    self.troubles.push(Trouble::window_lost(&id.id, look.window, &e));
                }
            }
        }
        found
    }
}

/// The rule's row for a key as it was when it came into the result, and `ts` of the request that brought it there, µs.
async fn settled(rule: &RuleState, store: &Store, look: &Look) -> Result<Option<(RecordBatch, i64)>> {
    let total = look.rows.num_rows();
    let mut settled = rows_after(rule, store, look, total).await?;
    if settled.num_rows() == 0 {
        return Ok(None);
    }
    // Not in the result with `below` rows, in it with `enough`.
    let (mut below, mut enough) = (0, total);
    while enough - below > 1 {
        let middle = below.midpoint(enough);
        let rows = rows_after(rule, store, look, middle).await?;
        if rows.num_rows() == 0 {
            below = middle;
        } else {
            (enough, settled) = (middle, rows);
        }
    }
    let ts = look.rows.column(store.grouping.source.ts()).as_primitive::<TimestampMicrosecondType>();
    Ok(Some((settled, ts.value(enough.saturating_sub(1)))))
}

/// The rule's row for a key after the first `n` of the rows at hand.
async fn rows_after(rule: &RuleState, store: &Store, look: &Look, n: usize) -> Result<RecordBatch> {
    let groups = store.seen_by(&rule.parts[0].view, look.window, &store.group_of(look, n)?)?;
    rule.rows_of(vec![groups]).await
}
