//! The groups of one pane: those that are being aggregated, and layers of states that are done.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use datafusion::common::Result;
use hashbrown::HashMap;

use super::aggregate::{Accumulator, Aggregate, Inputs};
use super::groups::{Groups, NONE};
use super::later::Log;
use super::sift::Sift;
use super::sketch::Seen;
use super::view::View;

/// A layer's sketches take no more than about this, bytes: Arrow's binary arrays end at 2 GiB.
const LAYER_BYTES: usize = 256 << 20;
/// Below this, layers are cheaper to keep than to merge.
const MIN_MERGE_ROWS: usize = if cfg!(test) { 4 } else { 4096 };
/// Layers of a pane, at most: each costs when a window closes.
const MAX_LAYERS: usize = 32;

/// States of groups, one row a group. Never changes.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Unique within the store, ascending: by it a checkpoint names the layer.
    pub number: u64,
    /// The groups' keys.
    pub keys: Arc<[u32]>,
    /// First the number of rows, then the states of the aggregates, one after the other.
    pub states: Vec<ArrayRef>,
    /// Keys with their groups, ascending; made when first asked for.
    order: Arc<OnceLock<Vec<(u32, u32)>>>,
    /// By aggregate, what rules have asked for: several ask for the same. (They go with the layer; where a window is one pane, that
    /// is when it has closed.)
    results: Arc<Mutex<BTreeMap<usize, ArrayRef>>>,
}

impl Layer {
    /// States of the groups with these keys.
    pub fn new(number: u64, keys: Arc<[u32]>, states: Vec<ArrayRef>) -> Self {
        Self { number, keys, states, order: Arc::default(), results: Arc::default() }
    }

    /// The groups of some keys, if there are any.
    pub fn groups_of(&self, wanted: &BTreeSet<u32>) -> Vec<u32> {
        if wanted.len() > self.keys.len() / 16 {
            return (0u32..)
                .zip(self.keys.iter())
                .filter(|(_, key)| wanted.contains(key))
                .map(|(group, _)| group)
                .collect();
        }
        let order = self.order.get_or_init(|| {
            let mut order: Vec<(u32, u32)> = self.keys.iter().copied().zip(0..).collect();
            order.sort_unstable();
            order
        });
        let found = wanted.iter().filter_map(|key| order.binary_search_by_key(key, |(k, _)| *k).ok());
        found.map(|at| order[at].1).collect()
    }

    /// Rows that each group has seen.
    pub fn rows(&self) -> &Int64Array {
        self.states[0].as_primitive::<Int64Type>()
    }

    /// What `view` sees of its groups, which are in no other layer.
    pub fn finish(&self, aggregates: &[Aggregate], view: &View) -> Result<Finished> {
        let mut results = vec![None; aggregates.len()];
        let mut at = 1;
        for (number, aggregate) in aggregates.iter().enumerate() {
            let width = aggregate.state_fields()?.len();
            at += width;
            if view.sees(number) {
                results[number] = Some(self.result(number, aggregate, &self.states[at - width..at])?);
            }
        }
        Ok(Finished { keys: self.keys.to_vec(), results })
    }

    fn result(&self, number: usize, aggregate: &Aggregate, states: &[ArrayRef]) -> Result<ArrayRef> {
        let known = || self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let result = known().get(&number).cloned();
        let result = result.map_or_else(|| aggregate.results(states, self.rows()), Ok)?;
        known().insert(number, Arc::clone(&result));
        Ok(result)
    }

    /// Only these groups.
    pub fn select(&self, groups: &[u32]) -> Result<Self> {
        let keys = groups.iter().map(|&g| self.keys[g as usize]).collect();
        let indices = UInt32Array::from(groups.to_vec());
        let states = self.states.iter().map(|s| take(s, &indices, None)).collect::<std::result::Result<_, _>>()?;
        Ok(Self::new(self.number, keys, states))
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.keys.len() * 4
            + self.order.get().map_or(0, Vec::len) * 8
            + self.states.iter().map(Array::get_array_memory_size).sum::<usize>()
    }
}

/// Groups with what their aggregates are.
#[derive(Debug)]
pub struct Finished {
    /// The groups' keys.
    pub keys: Vec<u32>,
    /// One array an aggregate, where it was asked for.
    pub results: Vec<Option<ArrayRef>>,
}

/// Groups that are being aggregated.
#[derive(Debug)]
pub struct Live {
    /// The key of each group.
    keys: Vec<u32>,
    groups: Groups,
    rows: Vec<i64>,
    accumulators: Vec<Accumulator>,
    /// The group of each row at hand.
    at_hand: Vec<usize>,
}

impl Live {
    /// No groups yet.
    pub fn new(aggregates: &[Aggregate]) -> Result<Self> {
        Self::with(Groups::default(), aggregates)
    }

    /// For a few of the keys.
    pub fn of_few(aggregates: &[Aggregate]) -> Result<Self> {
        Self::with(Groups::Few(HashMap::new()), aggregates)
    }

    fn with(groups: Groups, aggregates: &[Aggregate]) -> Result<Self> {
        let accumulators = aggregates.iter().map(Aggregate::accumulator).collect::<Result<_>>()?;
        Ok(Self { keys: Vec::new(), groups, rows: Vec::new(), accumulators, at_hand: Vec::new() })
    }

    /// The keys, in the groups' order, and how many rows each group has.
    pub fn counts(&self) -> impl Iterator<Item = (u32, i64)> {
        self.keys.iter().copied().zip(self.rows.iter().copied())
    }

    #[inline]
    fn group(&mut self, key: u32) -> usize {
        let group = self.groups.of(key);
        if *group == NONE {
            // No more groups than keys, whose numbers have 32 bits.
            *group = u32::try_from(self.keys.len()).unwrap_or(NONE);
            self.keys.push(key);
            self.rows.push(0);
        }
        *group as usize
    }

    /// Adds rows whose keys are `numbers`.
    pub fn update(&mut self, numbers: &[u32], rows: &RecordBatch, inputs: &[Inputs]) -> Result<()> {
        let mut groups = std::mem::take(&mut self.at_hand);
        groups.clear();
        for &key in numbers {
            let group = self.group(key);
            self.rows[group] += 1;
            groups.push(group);
        }
        let total = self.keys.len();
        for (accumulator, inputs) in self.accumulators.iter_mut().zip(inputs) {
            accumulator.update(inputs, rows, &groups, total)?;
        }
        self.at_hand = groups;
        Ok(())
    }

    /// Adds a layer's states.
    pub fn merge(&mut self, layer: &Layer, aggregates: &[Aggregate]) -> Result<()> {
        let groups: Vec<usize> = layer.keys.iter().map(|&key| self.group(key)).collect();
        for (&group, rows) in groups.iter().zip(layer.rows().values()) {
            self.rows[group] += rows;
        }
        let mut at = 1;
        for (accumulator, aggregate) in self.accumulators.iter_mut().zip(aggregates) {
            let width = aggregate.state_fields()?.len();
            accumulator.merge(&layer.states[at..at + width], &groups, self.keys.len())?;
            at += width;
        }
        Ok(())
    }

    /// The group of a key, if it has one.
    pub fn group_of(&self, key: u32) -> Option<usize> {
        self.groups.get(key).map(|group| group as usize)
    }

    /// Adds the values that an `approx_distinct` has seen for a key.
    pub fn add_distinct(&self, aggregate: usize, key: u32, seen: &mut Seen) {
        if let (Accumulator::Distinct(distinct), Some(group)) = (&self.accumulators[aggregate], self.group_of(key)) {
            distinct.add_to(group, seen);
        }
    }

    /// The state of one group, if that can be had by itself.
    pub fn peek(&self, group: usize) -> Result<Option<Layer>> {
        let mut states: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![self.rows[group]]))];
        for accumulator in &self.accumulators {
            let Some(more) = accumulator.peek(group)? else { return Ok(None) };
            states.extend(more);
        }
        Ok(Some(Layer::new(u64::MAX, [self.keys[group]].into(), states)))
    }

    /// The state of a key's group, if it has one that can be had by itself.
    pub fn state_of(&self, key: u32) -> Result<Option<Layer>> {
        self.group_of(key).map_or(Ok(None), |group| self.peek(group))
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What `view` sees of the groups. (There must be some: some of DataFusion's accumulators cannot say what nothing is.)
    pub fn finish(mut self, view: &View) -> Result<Finished> {
        let total = self.keys.len();
        self.accumulators.iter_mut().for_each(|a| a.settle(total));
        let rows = Int64Array::from(self.rows);
        let results = self.accumulators.iter_mut().enumerate();
        let results = results.map(|(number, a)| view.sees(number).then(|| a.take_results(&rows)).transpose());
        let results = results.collect::<Result<_>>()?;
        Ok(Finished { keys: self.keys, results })
    }

    /// The states, in layers of bounded size. Their numbers count from `next` on.
    pub fn seal(mut self, next: &mut u64) -> Result<Vec<Layer>> {
        let total = self.keys.len();
        self.accumulators.iter_mut().for_each(|a| a.settle(total));
        self.groups = Groups::default();
        let mut layers = Vec::new();
        for range in self.cuts() {
            let all = range == (0..total);
            let rows = if all { std::mem::take(&mut self.rows) } else { self.rows[range.clone()].to_vec() };
            let mut states: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(rows))];
            for accumulator in &mut self.accumulators {
                states.extend(accumulator.take_states(range.clone(), range.end == total)?);
            }
            layers.push(Layer::new(*next, self.keys[range].into(), states));
            *next += 1;
        }
        Ok(layers)
    }

    fn cuts(&self) -> Vec<Range<usize>> {
        let (mut cuts, mut start, mut bytes) = (Vec::new(), 0, 0);
        for group in 0..self.keys.len() {
            bytes += self.accumulators.iter().map(|a| a.state_len(group)).sum::<usize>();
            if bytes > LAYER_BYTES {
                cuts.push(start..group + 1);
                (start, bytes) = (group + 1, 0);
            }
        }
        if start < self.keys.len() {
            cuts.push(start..self.keys.len());
        }
        cuts
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.keys.capacity() * 4
            + self.groups.size()
            + self.rows.capacity() * 8
            + self.accumulators.iter().map(Accumulator::size).sum::<usize>()
    }
}

/// One pane.
#[derive(Debug, Default)]
pub struct Pane {
    /// What is being aggregated.
    pub live: Option<Live>,
    /// What is done.
    pub layers: Vec<Layer>,
    /// Rows that wait to be aggregated.
    pub log: Log,
    /// Rows that wait, without a number for their key.
    pub sift: Sift,
    /// So many of the layers came out of a merge.
    folded: usize,
}

impl Pane {
    /// What is being aggregated.
    pub fn live(&mut self, aggregates: &[Aggregate]) -> Result<&mut Live> {
        let live = match self.live.take() {
            Some(live) => live,
            None => Live::new(aggregates)?,
        };
        Ok(self.live.insert(live))
    }

    /// Aggregates the rows that wait.
    pub fn aggregate_log(&mut self, aggregates: &[Aggregate], inputs: &[Inputs]) -> Result<()> {
        let log = std::mem::take(&mut self.log);
        if log.rows() > 0 {
            log.replay(None, self.live(aggregates)?, inputs)?;
        }
        Ok(())
    }

    /// Turns what is being aggregated into layers.
    pub fn seal(&mut self, next: &mut u64) -> Result<()> {
        if let Some(live) = self.live.take() {
            self.layers.extend(live.seal(next)?);
        }
        Ok(())
    }

    /// Merges the layers if that pays: those that came since the last time have more groups than it left.
    pub fn fold(&mut self, aggregates: &[Aggregate], next: &mut u64) -> Result<()> {
        let (old, new) = self.layers.split_at(self.folded.min(self.layers.len()));
        let rows = |layers: &[Layer]| layers.iter().map(|l| l.keys.len()).sum::<usize>();
        let pays = rows(new) > rows(old).max(MIN_MERGE_ROWS) || new.len() > MAX_LAYERS;
        if self.layers.len() < 2 || !pays {
            return Ok(());
        }
        let mut merged = Live::new(aggregates)?;
        for layer in &self.layers {
            merged.merge(layer, aggregates)?;
        }
        self.layers = merged.seal(next)?;
        self.folded = self.layers.len();
        Ok(())
    }

    /// The keys and how many rows each has, layer by layer: a key may come more than once.
    pub fn counts(&self) -> impl Iterator<Item = (u32, i64)> {
        let done = self.layers.iter().flat_map(|l| l.keys.iter().copied().zip(l.rows().values().iter().copied()));
        done.chain(self.live.iter().flat_map(Live::counts)).chain(self.log.keys().map(|key| (key, 1)))
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.log.size()
            + self.sift.size()
            + self.live.as_ref().map_or(0, Live::size)
            + self.layers.iter().map(Layer::size).sum::<usize>()
    }

    /// Gives the keys new numbers: `renumbered[old]`.
    pub fn renumber(&mut self, renumbered: &[u32]) {
        self.log.renumber(renumbered);
        for layer in &mut self.layers {
            layer.keys = layer.keys.iter().map(|&key| renumbered[key as usize]).collect();
            layer.order = Arc::default();
        }
        if let Some(live) = &mut self.live {
            live.groups = Groups::default();
            for (group, key) in (0u32..).zip(&mut live.keys) {
                *key = renumbered[*key as usize];
                *live.groups.of(*key) = group;
            }
        }
    }
}
