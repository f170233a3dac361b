//! Findings of windows that are still open.
//!
//! Waiting for a window's end costs records. Where more rows cannot take back what a rule's conditions say ([`super::monotone`]), a
//! group that may be enough is looked at as it grows, the row that settled it is found, and the rule's row is told at once.

use std::collections::{BTreeMap, BTreeSet};

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
        let mut together: BTreeMap<(usize, usize, (i64, i64)), Vec<Look>> = BTreeMap::new();
        for (number, look) in looks {
            let Some(watch) = self.stores[number].watches.get_mut(look.watch) else { continue };
            let rule = &self.rules[watch.rule];
            // What the baselines knew when the window began is not sure before the watermark has passed that.
            if !rule.compiled.baselines.is_empty() && baselines_known_to < look.window.0 {
                watch.look_again(look.key, 1);
                if self.postponed.len() < MAX_POSTPONED {
                    self.postponed.push((number, look));
                }
            } else {
                together.entry((number, look.watch, look.window)).or_default().push(look);
            }
        }
        let mut found = Vec::new();
        for ((number, _, window), looks) in together {
            let watch = &self.stores[number].watches[looks[0].watch];
            let rule = &self.rules[watch.rule];
            rule.show_baselines(&self.baselines, window.0);
            // Most looks find nothing: one run of the plan says so for all of them.
            let all: Vec<_> = looks.iter().map(|look| (look, look.rows.num_rows())).collect();
            let nothing = window.0 < rule.complete_from
                || guarded(rows_of(rule, &self.stores[number], &all)).await.is_ok_and(|rows| rows.num_rows() == 0);
            let mut told = BTreeSet::new();
            for look in &looks {
                if nothing {
                    self.stores[number].watches[look.watch].look_again(look.key, 1);
                } else if !told.contains(&look.key)
                    && let Some(settled) = self.look_at(number, look).await
                {
                    told.insert(look.key);
                    found.push(settled);
                }
            }
            self.rules[self.stores[number].watches[looks[0].watch].rule].hide_baselines();
        }
        found
    }

    /// Looks at one group; what its rule reads of baselines is shown.
    async fn look_at(&mut self, number: usize, look: &Look) -> Option<Found> {
        let store = &self.stores[number];
        let rule = &self.rules[store.watches[look.watch].rule];
        let (start, end) = look.window;
        let settled = guarded(settled(rule, store, look)).await;
        let watch = &mut self.stores[number].watches[look.watch];
        match settled {
            Ok(Some((rows, at))) => {
                watch.told(look.key, end);
                // (with baselines no sooner than these were sure)
                let known =
                    if rule.compiled.baselines.is_empty() { at } else { at.max(start.saturating_add(self.lateness)) };
                Some(Found { rule: rule.compiled.rule.clone(), start, end, rows, early: Some(known) })
            }
            Ok(None) => {
                watch.look_again(look.key, 1);
                None
            }
            Err(e) => {
                watch.told(look.key, end);
                self.troubles.push(Trouble::window_lost(&rule.compiled.rule.id, look.window, &e));
                None
            }
        }
    }
}

/// The rule's row for a key as it was when it came into the result, and `ts` of the request that brought it there, µs.
async fn settled(rule: &RuleState, store: &Store, look: &Look) -> Result<Option<(RecordBatch, i64)>> {
    let total = look.rows.num_rows();
    let mut settled = rows_of(rule, store, &[(look, total)]).await?;
    if settled.num_rows() == 0 {
        return Ok(None);
    }
    // Not in the result with `below` rows, in it with `enough`.
    let (mut below, mut enough) = (0, total);
    while enough - below > 1 {
        let middle = below.midpoint(enough);
        let rows = rows_of(rule, store, &[(look, middle)]).await?;
        if rows.num_rows() == 0 {
            below = middle;
        } else {
            (enough, settled) = (middle, rows);
        }
    }
    let ts = look.rows.column(store.grouping.source.ts()).as_primitive::<TimestampMicrosecondType>();
    Ok(Some((settled, ts.value(enough.saturating_sub(1)))))
}

/// The rule's rows for keys of one window, each after so many of its rows at hand.
async fn rows_of(rule: &RuleState, store: &Store, looks: &[(&Look, usize)]) -> Result<RecordBatch> {
    let Some((first, _)) = looks.first() else { return Ok(RecordBatch::new_empty(rule.compiled.output_schema())) };
    let groups = store.seen_by(&rule.parts[0].view, first.window, &store.groups_of(looks)?)?;
    rule.rows_of(vec![groups]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringViewArray, TimestampMicrosecondArray, UInt16Array, new_null_array};

    use crate::engine::{FileRows, Keep};
    use crate::lookups::Lookups;
    use crate::rules::Rule;

    /// One request a second; the client and the status of each.
    fn rows(requests: &[(String, u16)]) -> FileRows {
        let schema = tripline_ingest::schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "ts" => {
                    let seconds = (0i64..).take(requests.len()).map(|s| s * 1_000_000);
                    Arc::new(TimestampMicrosecondArray::from_iter_values(seconds).with_timezone("UTC"))
                }
                "client" => Arc::new(StringViewArray::from_iter_values(requests.iter().map(|(client, _)| client))),
                "status" => Arc::new(UInt16Array::from_iter_values(requests.iter().map(|(_, status)| *status))),
                _ => new_null_array(field.data_type(), requests.len()),
            }
        });
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        FileRows { rows, newest_before: None, lateness: 0 }
    }

    /// In a quiet log one batch may hold a whole window: then there is no later one to look with.
    #[tokio::test]
    async fn who_reads_most_is_looked_at_first() {
        let sql = "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client, count(*) AS n \
                   FROM tumble(requests, ts, INTERVAL '1 hour') GROUP BY window_start, window_end, client \
                   HAVING count(*) >= 3 AND sum(CASE WHEN status = 200 THEN 1 ELSE 0 END) >= 5";
        let rule = Rule::parse("test/rule", "rule.sql", sql).unwrap();
        let (mut engine, problems) = Engine::new(&[rule], &Keep::new(), &Lookups::default()).await;
        assert!(problems.is_empty(), "{}", problems[0]);
        let harmless = (0..6 * 200).map(|i| (format!("192.0.2.{}", i % 200), 404));
        let thief = (0..20).map(|_| ("198.51.100.7".to_owned(), 200));
        let found = engine.push(&[rows(&harmless.chain(thief).collect::<Vec<_>>())]).await.unwrap();
        assert_eq!(found.iter().map(|f| f.early).collect::<Vec<_>>(), [Some(1_204_000_000)]);
    }
}
