//! Findings of windows that are still open.
//!
//! Waiting for a window's end costs records. Where more rows cannot take back what a rule's conditions say ([`super::monotone`]), a
//! group that may be enough is looked at as it grows, the row that settled it is found, and the rule's row is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;

use super::baseline::Baseline;
use super::rule::RuleState;
use super::state::{Look, Store};
use super::tasks::{each, guarded};
use super::{Engine, Found, Stopwatch, Trouble};

/// Looks that wait for baselines, at most; what is not looked at is found when its window closes.
const MAX_POSTPONED: usize = 4096;

/// Who looks into the open windows of stores, each in its store's task. (A rule whose windows are looked at has one store: no two
/// tasks run its plan.)
pub(super) struct Lookout {
    rules: Vec<RuleState>,
    baselines: BTreeMap<String, Baseline>,
    /// Windows of baselines that end at or before it are closed, µs.
    known_to: i64,
    lateness: i64,
    stopwatch: Stopwatch,
}

/// What came of looking into a store's open windows.
#[derive(Default)]
pub(super) struct Looked {
    found: Vec<Found>,
    /// To be looked at when the baselines of their window are sure.
    postponed: Vec<Look>,
    troubles: Vec<Trouble>,
    time: Duration,
}

impl Engine {
    /// Lends out what looking takes, until [`Engine::end_lookout`]. `known_to`: windows of baselines that end at or before it are
    /// closed, µs.
    pub(super) fn begin_lookout(&mut self, known_to: i64) -> Arc<Lookout> {
        Arc::new(Lookout {
            rules: std::mem::take(&mut self.rules),
            baselines: std::mem::take(&mut self.baselines),
            known_to,
            lateness: self.lateness,
            stopwatch: self.stopwatch.clone(),
        })
    }

    /// Takes back what was lent.
    pub(super) fn end_lookout(&mut self, lookout: Arc<Lookout>) {
        if let Some(lookout) = Arc::into_inner(lookout) {
            (self.rules, self.baselines) = (lookout.rules, lookout.baselines);
        }
    }

    /// Notes what came of looking into a store, and returns what was found.
    pub(super) fn looked(&mut self, store: usize, looked: Looked) -> Vec<Found> {
        let room = MAX_POSTPONED.saturating_sub(self.postponed.len());
        self.postponed.extend(looked.postponed.into_iter().take(room).map(|look| (store, look)));
        self.troubles.extend(looked.troubles);
        self.early_time += looked.time;
        looked.found
    }

    /// Looks again at what was postponed, now that baselines are closed up to `known_to`, µs.
    pub(super) async fn look_at_postponed(&mut self, known_to: i64) -> Result<Vec<Found>> {
        if self.postponed.is_empty() {
            return Ok(Vec::new());
        }
        let mut looks: BTreeMap<usize, Vec<Look>> = BTreeMap::new();
        for (number, look) in std::mem::take(&mut self.postponed) {
            looks.entry(number).or_default().push(look);
        }
        let lookout = self.begin_lookout(known_to);
        let stores = std::mem::take(&mut self.stores).into_iter().enumerate();
        let work = stores.map(|(number, store)| (store, looks.remove(&number).unwrap_or_default())).collect();
        let looked = each(work, |(mut store, looks)| {
            let lookout = Arc::clone(&lookout);
            async move {
                let looked = lookout.look(&mut store, looks).await;
                (store, looked)
            }
        })
        .await?;
        self.end_lookout(lookout);
        let mut found = Vec::new();
        for (number, (store, looked)) in looked.into_iter().enumerate() {
            self.stores.push(store);
            found.extend(self.looked(number, looked));
        }
        Ok(found)
    }
}

impl Lookout {
    /// Looks at groups of a store's open windows.
    pub(super) async fn look(&self, store: &mut Store, looks: Vec<Look>) -> Looked {
        let start = self.stopwatch.read();
        let mut looked = Looked::default();
        let mut together: BTreeMap<(usize, (i64, i64)), Vec<Look>> = BTreeMap::new();
        for look in looks {
            let Some(watch) = store.watches.get_mut(look.watch) else { continue };
            // What the baselines knew when the window began is not sure before the watermark has passed that.
            if !self.rules[watch.rule].compiled.baselines.is_empty() && self.known_to < look.window.0 {
                watch.look_again(look.key, 1);
                looked.postponed.push(look);
            } else {
                together.entry((look.watch, look.window)).or_default().push(look);
            }
        }
        for ((watch, window), looks) in together {
            let rule = &self.rules[store.watches[watch].rule];
            rule.show_baselines(&self.baselines, window.0);
            // Most looks find nothing: one run of the plan says so for all of them.
            let all: Vec<_> = looks.iter().map(|look| (look, look.rows.num_rows())).collect();
            let nothing = window.0 < rule.complete_from
                || guarded(rows_of(rule, store, &all)).await.is_ok_and(|rows| rows.num_rows() == 0);
            let mut told = BTreeSet::new();
            for look in &looks {
                if nothing {
                    store.watches[watch].look_again(look.key, 1);
                } else if !told.contains(&look.key)
                    && let Some(settled) = self.look_at(rule, store, look, &mut looked.troubles).await
                {
                    told.insert(look.key);
                    looked.found.push(settled);
                }
            }
            rule.hide_baselines();
        }
        looked.time = self.stopwatch.since(start);
        looked
    }

    /// Looks at one group; what its rule reads of baselines is shown.
    async fn look_at(
        &self,
        rule: &RuleState,
        store: &mut Store,
        look: &Look,
        troubles: &mut Vec<Trouble>,
    ) -> Option<Found> {
        let (start, end) = look.window;
        let settled = guarded(settled(rule, store, look)).await;
        let watch = &mut store.watches[look.watch];
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
                troubles.push(Trouble::window_lost(&rule.compiled.rule.id, look.window, &e));
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
    rule.rows_of(vec![store.groups_of(&rule.parts[0].view, looks)?]).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
