//! Groups of open windows that may be enough for a finding, and what is known of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::common::Result;
use hashbrown::HashMap;

use super::pane::{Layer, Live, Pane};
use super::sketch::Seen;
use super::view::{View, WindowGroups};
use super::watch::{self, Watch};
use super::{PaneKey, Store};

/// Keys of a batch that are looked at, at most; others are with the next batch.
const MAX_LOOKS: usize = 64;

/// A key of an open window that may be enough for a finding.
#[derive(Debug)]
pub struct Look {
    /// Which of the store's watches.
    pub watch: usize,
    /// The key.
    pub key: u32,
    /// The window, µs.
    pub window: (i64, i64),
    /// What was there of it in the window before the rows at hand.
    pub before: Vec<Layer>,
    /// The key's rows at hand, in their order.
    pub rows: RecordBatch,
}

impl Store {
    /// Looks at the open window that these rows are in, before they are added.
    pub(super) fn watch(&mut self, pane: i64, rows: &RecordBatch, numbers: &[u32]) -> Result<Vec<Look>> {
        let mut looks = Vec::new();
        let mut watches = std::mem::take(&mut self.watches);
        for (number, watch) in watches.iter_mut().enumerate() {
            // An older pane's window is not the one that is counted; it closes soon.
            if !watch.advance(pane, &self.panes, self.slide) {
                continue;
            }
            let candidates = watch.count(numbers);
            self.heat(&candidates)?;
            let mut due = Vec::new();
            for (key, missing) in self.missing(watch, &candidates, numbers)? {
                if missing > 0 {
                    watch.look_again(key, missing);
                } else {
                    due.push(key);
                }
            }
            // Where a batch holds a whole window, there is no next one: who reads most comes first.
            due.sort_by_key(|key| Reverse(watch.rows(*key)));
            due.truncate(MAX_LOOKS.saturating_sub(looks.len()));
            for (key, rows) in rows_of(&due, rows, numbers)? {
                let before = self.states_so_far(watch.window(), key)?;
                looks.push(Look { watch: number, key, window: watch.window(), before, rows });
            }
        }
        self.watches = watches;
        Ok(looks)
    }

    /// How many distinct values each key lacks at least to reach a watch's threshold, with the rows at hand.
    fn missing(&self, watch: &Watch, keys: &[u32], numbers: &[u32]) -> Result<BTreeMap<u32, u64>> {
        let Some((aggregate, least)) = watch.threshold.distinct.filter(|_| !keys.is_empty()) else {
            return Ok(keys.iter().map(|&key| (key, 0)).collect());
        };
        let mut seen: HashMap<u32, Seen> = keys.iter().map(|&key| (key, Seen::default())).collect();
        for key in numbers {
            seen.entry(*key).and_modify(|s| s.more += 1);
        }
        let keys = &keys.iter().copied().collect();
        let state = self.state_columns(aggregate)?.start;
        let (from, to) = watch.window();
        for pane in watch::in_time(&self.panes, from, to, self.slide) {
            for layer in &pane.layers {
                let states = layer.states[state].as_binary::<i32>();
                for group in layer.groups_of(keys) {
                    let key = layer.keys[group as usize];
                    seen.entry(key).and_modify(|s| s.add_state(states.value(group as usize)));
                }
            }
            for live in pane.live.iter().chain(pane.log.hot()) {
                for (key, seen) in &mut seen {
                    live.add_distinct(aggregate, *key, seen);
                }
            }
        }
        Ok(seen.into_iter().map(|(key, s)| (key, least.saturating_sub(s.at_most()))).collect())
    }

    /// The states of a key in a window, without what came late.
    fn states_so_far(&mut self, (from, to): (i64, i64), key: u32) -> Result<Vec<Layer>> {
        let mut found = Vec::new();
        let range = PaneKey { pane: from, first_end: i64::MIN }..PaneKey { pane: to, first_end: i64::MIN };
        for (_, pane) in self.panes.range_mut(range).filter(|(at, _)| at.first_end <= to) {
            match peek(pane, key)? {
                Peeked::State(state) => found.push(state),
                Peeked::Nothing => {}
                Peeked::Hidden => pane.seal(&mut self.next_number)?,
            }
            found.extend(pane.log.hot().map_or(Ok(None), |hot| hot.state_of(key))?);
            for layer in &pane.layers {
                let groups = layer.groups_of(&BTreeSet::from([key]));
                if !groups.is_empty() {
                    found.push(layer.select(&groups)?);
                }
            }
        }
        Ok(found)
    }

    /// What a rule sees of the keys of looks into one window, each with the first so many of its rows at hand.
    pub fn groups_of(&self, view: &View, looks: &[(&Look, usize)]) -> Result<WindowGroups> {
        let Some((first, _)) = looks.first() else { return Ok(WindowGroups::default()) };
        let mut live = Live::of_few(&self.aggregates)?;
        for (look, rows) in looks {
            look.before.iter().try_for_each(|layer| live.merge(layer, &self.aggregates))?;
            live.update(&vec![look.key; *rows], &look.rows.slice(0, *rows), &self.inputs)?;
        }
        WindowGroups::new(&self.keys, view, first.window, live.finish(view)?)
    }
}

/// The rows of each of some keys, in their order.
fn rows_of(keys: &[u32], rows: &RecordBatch, numbers: &[u32]) -> Result<Vec<(u32, RecordBatch)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut at: HashMap<u32, Vec<u32>> = keys.iter().map(|key| (*key, Vec::new())).collect();
    for (row, key) in (0u32..).zip(numbers) {
        at.entry(*key).and_modify(|at| at.push(row));
    }
    let all = UInt32Array::from_iter_values(keys.iter().flat_map(|key| &at[key]).copied());
    let (all, mut start) = (take_record_batch(rows, &all)?, 0);
    let slice = |key: &u32| {
        start += at[key].len();
        (*key, all.slice(start - at[key].len(), at[key].len()))
    };
    Ok(keys.iter().map(slice).collect())
}

/// What can be seen of a key in what is being aggregated.
enum Peeked {
    Nothing,
    State(Layer),
    /// Something, but not by itself.
    Hidden,
}

fn peek(pane: &Pane, key: u32) -> Result<Peeked> {
    let Some(live) = &pane.live else { return Ok(Peeked::Nothing) };
    let Some(group) = live.group_of(key) else { return Ok(Peeked::Nothing) };
    Ok(live.peek(group)?.map_or(Peeked::Hidden, Peeked::State))
}
