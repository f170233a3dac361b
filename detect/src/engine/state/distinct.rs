//! `approx_distinct` for many groups: DataFusion's sketches, kept another way.
//!
//! DataFusion keeps a growing list of hashes for each group, so that every new client costs allocations, and every row a jump through
//! memory. Here a row's hash is appended to one log; from time to time the log is sorted into the groups. What comes out is what
//! DataFusion's own accumulator would give, bit for bit: up to [`SPARSE_LIMIT`] distinct hashes as they are, beyond that the
//! registers of a `HyperLogLog` sketch (2^14 of them, standard error 0.8 %).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, UInt64Array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use datafusion::common::{Result, exec_datafusion_err};

/// More distinct hashes than these become a sketch. DataFusion refuses longer lists.
const SPARSE_LIMIT: usize = 256;
/// Registers of a sketch are addressed by so many bits of a hash.
const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
/// The log is sorted in when it is this long, or as long as what is sorted already.
const MIN_LOG: usize = 64 * 1024;

/// The distinct values of each group, about.
#[derive(Debug, Default)]
pub struct Distinct {
    /// Not yet sorted in: the row's group and its value's hash.
    log: Vec<(u32, u64)>,
    /// Hashes by group, each once, ascending.
    sparse: Vec<u64>,
    /// Where each group ends in `sparse`.
    ends: Vec<usize>,
    /// Groups that have outgrown `sparse`.
    dense: BTreeMap<u32, Box<[u8]>>,
}

impl Distinct {
    /// Adds a value for each row, unless it is NULL or filtered out.
    pub fn update(&mut self, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        self.update_hashed(&hashes(values)?, groups, filter);
        Ok(())
    }

    /// The same for values that are [`hashes`] already.
    pub fn update_hashed(&mut self, hashes: &UInt64Array, groups: &[usize], filter: Option<&BooleanArray>) {
        let kept = filter
            .map(|f| NullBuffer::new(f.nulls().map_or_else(|| f.values().clone(), |nulls| f.values() & nulls.inner())));
        let counted = NullBuffer::union(kept.as_ref(), hashes.nulls());
        let entries = groups.iter().zip(hashes.values()).map(|(&group, &hash)| (narrow(group), hash));
        match counted {
            None => self.log.extend(entries),
            Some(counted) => self.log.extend(entries.zip(counted.iter()).filter(|(_, counts)| *counts).map(|(e, _)| e)),
        }
        self.sort_in_if_due();
    }

    /// Adds states that [`Distinct::states`] or DataFusion gave.
    pub fn merge(&mut self, states: &ArrayRef, groups: &[usize]) -> Result<()> {
        let states =
            states.as_binary_opt::<i32>().ok_or_else(|| exec_datafusion_err!("approx_distinct: not a state"))?;
        for (&group, state) in groups.iter().zip(states) {
            let (group, state) = (narrow(group), state.unwrap_or_default());
            if state.len() == REGISTERS {
                let registers = self.dense.entry(group).or_insert_with(|| vec![0; REGISTERS].into());
                registers.iter_mut().zip(state).for_each(|(a, &b)| *a = b.max(*a));
            } else {
                let hashes = state.as_chunks::<8>().0;
                self.log.extend(hashes.iter().map(|hash| (group, u64::from_le_bytes(*hash))));
            }
        }
        self.sort_in_if_due();
        Ok(())
    }

    /// Adds the values of some groups to what was seen elsewhere. `groups`: ascending, with the keys that they have in `seen`.
    pub fn values(&self, groups: &BTreeMap<u32, u32>, seen: &mut BTreeMap<u32, Seen>) {
        for (group, key) in groups {
            let Some(seen) = seen.get_mut(key) else { continue };
            seen.is_sketch |= self.dense.contains_key(group);
            seen.hashes.extend_from_slice(&self.sparse[self.range(*group)]);
        }
        for (group, hash) in &self.log {
            if let Some(seen) = groups.get(group).and_then(|key| seen.get_mut(key)) {
                seen.hashes.push(*hash);
            }
        }
    }

    /// Sorts everything in. Before [`Distinct::states`].
    pub fn settle(&mut self, groups: usize) {
        self.sort_in(groups);
        self.log = Vec::new();
    }

    /// Bytes of a group's state.
    pub fn state_len(&self, group: usize) -> usize {
        if self.dense.contains_key(&narrow(group)) { REGISTERS } else { self.range(narrow(group)).len() * 8 }
    }

    /// The states of settled groups, as DataFusion's accumulator gives and takes them.
    pub fn states(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let total: usize = groups.clone().map(|g| self.state_len(g)).sum();
        let mut bytes: Vec<u8> = Vec::with_capacity(total);
        let mut offsets = Vec::with_capacity(groups.len() + 1);
        offsets.push(0);
        for group in groups {
            match self.dense.get(&narrow(group)) {
                Some(registers) => bytes.extend_from_slice(registers),
                None => bytes.extend(self.sparse[self.range(narrow(group))].iter().flat_map(|hash| hash.to_le_bytes())),
            }
            let end =
                i32::try_from(bytes.len()).map_err(|_| exec_datafusion_err!("approx_distinct: state above 2 GiB"))?;
            offsets.push(end);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None)?))
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.log.capacity() * size_of::<(u32, u64)>()
            + self.sparse.capacity() * 8
            + self.ends.capacity() * 8
            + self.dense.len() * (REGISTERS + 64)
    }

    fn range(&self, group: u32) -> Range<usize> {
        let group = group as usize;
        let end = self.ends.get(group).copied().unwrap_or(self.sparse.len());
        let start = if group == 0 { 0 } else { self.ends.get(group - 1).copied().unwrap_or(self.sparse.len()) };
        start..end
    }

    fn sort_in_if_due(&mut self) {
        if self.log.len() >= MIN_LOG.max(self.sparse.len()) {
            let groups = self.log.iter().map(|(group, _)| *group as usize + 1).max().unwrap_or(0);
            self.sort_in(groups.max(self.ends.len()));
        }
    }

    fn sort_in(&mut self, groups: usize) {
        let groups = groups.max(self.ends.len());
        // Room for each group: what it has, and what the log has for it.
        let mut next = vec![0usize; groups + 1];
        for (group, _) in &self.log {
            next[*group as usize + 1] += 1;
        }
        for group in 0..groups {
            next[group + 1] += next[group] + self.range(narrow(group)).len();
        }
        let mut sorted = vec![0u64; next[groups]];
        let starts = next.clone();
        for (group, next) in next.iter_mut().enumerate().take(groups) {
            let old = self.range(narrow(group));
            sorted[*next..*next + old.len()].copy_from_slice(&self.sparse[old.clone()]);
            *next += old.len();
        }
        for (group, hash) in &self.log {
            let next = &mut next[*group as usize];
            sorted[*next] = *hash;
            *next += 1;
        }
        self.log.clear();
        // Each once, closing the gaps; what has too many becomes a sketch.
        let mut ends = Vec::with_capacity(groups);
        let mut written = 0;
        for group in 0..groups {
            let range = starts[group]..starts[group + 1];
            let kept = distinct(&mut sorted[range.clone()]);
            let slot = self.dense.get_mut(&narrow(group));
            if kept > SPARSE_LIMIT || slot.is_some() {
                let registers = self.dense.entry(narrow(group)).or_insert_with(|| vec![0; REGISTERS].into());
                sorted[range.start..range.start + kept].iter().for_each(|&hash| observe(registers, hash));
            } else {
                sorted.copy_within(range.start..range.start + kept, written);
                written += kept;
            }
            ends.push(written);
        }
        sorted.truncate(written);
        sorted.shrink_to_fit();
        self.sparse = sorted;
        self.ends = ends;
    }
}

/// The hash of each value, as sketches know it.
pub fn hashes(values: &ArrayRef) -> Result<UInt64Array> {
    let mut hashes = vec![0; values.len()];
    create_hashes([values.as_ref()], &HLL_RANDOM_STATE, &mut hashes)?;
    Ok(UInt64Array::new(hashes.into(), values.logical_nulls()))
}

/// The values that one key has in several states.
#[derive(Debug, Default)]
pub struct Seen {
    /// Their hashes; one may come more than once.
    hashes: Vec<u64>,
    /// There were too many to list them.
    is_sketch: bool,
    /// So many rows more, not yet in any state.
    pub more: u64,
}

impl Seen {
    /// Adds a state.
    pub fn add_state(&mut self, state: &[u8]) {
        self.is_sketch |= state.len() == REGISTERS;
        if state.len() != REGISTERS {
            self.hashes.extend(state.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash)));
        }
    }

    /// There are no more distinct values than this.
    pub fn at_most(mut self) -> u64 {
        if self.is_sketch { u64::MAX } else { distinct(&mut self.hashes) as u64 + self.more }
    }
}

/// No more distinct values than this are in a state.
pub fn at_most(state: &[u8]) -> u64 {
    if state.len() == REGISTERS { u64::MAX / 4096 } else { state.len() as u64 / 8 }
}

/// Sorts, and moves each value once to the front: how many they are.
fn distinct(hashes: &mut [u64]) -> usize {
    if hashes.len() < 2 {
        return hashes.len();
    }
    hashes.sort_unstable();
    let mut kept = 1;
    for i in 1..hashes.len() {
        if hashes[i] != hashes[kept - 1] {
            hashes[kept] = hashes[i];
            kept += 1;
        }
    }
    kept
}

/// A sketch's register is chosen by a hash's low bits and remembers the longest run of zeros in the others.
fn observe(registers: &mut [u8], hash: u64) {
    #[expect(clippy::cast_possible_truncation, reason = "14 bits")]
    let index = (hash & (REGISTERS as u64 - 1)) as usize;
    let zeros = ((hash >> PRECISION) | (1 << (64 - PRECISION))).trailing_zeros() + 1;
    registers[index] = registers[index].max(u8::try_from(zeros).unwrap_or(u8::MAX));
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "keys have 32-bit numbers, and a pane has no more groups than keys"
)]
fn narrow(group: usize) -> u32 {
    group as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
    use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::col;
    use proptest::prelude::*;

    fn theirs() -> Box<dyn GroupsAccumulator> {
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
            "x",
            arrow::datatypes::DataType::Utf8View,
            true,
        )]));
        let builder = AggregateExprBuilder::new(approx_distinct_udaf(), vec![col("x", &schema).unwrap()]);
        builder.schema(schema).alias("x").build().unwrap().create_groups_accumulator().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        /// Rows in batches, states merged into others: the states are those of DataFusion.
        #[test]
        fn states_are_those_of_datafusion(
            batches in proptest::collection::vec((proptest::collection::vec((0usize..5, 0u32..3000, 0u8..8), 0..600), any::<bool>()), 1..6),
        ) {
            const GROUPS: usize = 6; // one stays empty
            let (mut ours, mut merged, mut theirs) = (Distinct::default(), Distinct::default(), theirs());
            for (rows, merge) in &batches {
                let values = rows.iter().map(|(_, v, n)| (*n > 0).then(|| format!("value-{v}"))).collect::<StringViewArray>();
                let values: ArrayRef = Arc::new(values);
                let groups: Vec<usize> = rows.iter().map(|(g, _, _)| *g).collect();
                let filter: BooleanArray = rows.iter().map(|(_, _, n)| if *n == 7 { None } else { Some(*n != 6) }).collect();
                ours.update(&values, &groups, Some(&filter)).unwrap();
                theirs.update_batch(std::slice::from_ref(&values), &groups, Some(&filter), GROUPS).unwrap();
                if *merge {
                    ours.settle(GROUPS);
                    merged.merge(&ours.states(0..GROUPS).unwrap(), &(0..GROUPS).collect::<Vec<_>>()).unwrap();
                    ours = Distinct::default();
                }
            }
            ours.settle(GROUPS);
            merged.merge(&ours.states(0..GROUPS).unwrap(), &(0..GROUPS).collect::<Vec<_>>()).unwrap();
            merged.settle(GROUPS);
            let mut seen: BTreeMap<u32, Seen> = (0..6).map(|key| (key, Seen::default())).collect();
            merged.values(&(0..6).map(|group| (group, group)).collect(), &mut seen);
            let bound: Vec<u64> = seen.into_values().map(Seen::at_most).collect();
            let states = merged.states(0..GROUPS).unwrap();
            let expected = theirs.state(EmitTo::All).unwrap().remove(0);
            let (states, expected) = (states.as_binary::<i32>(), expected.as_binary::<i32>());
            for (group, bound) in bound.into_iter().enumerate() {
                // A list and a sketch of it say the same: which one it is, is a matter of when it was sorted.
                let registers = |state: &[u8]| {
                    if state.len() == REGISTERS { return state.to_vec() }
                    let mut registers = vec![0; REGISTERS];
                    state.as_chunks::<8>().0.iter().for_each(|h| observe(&mut registers, u64::from_le_bytes(*h)));
                    registers
                };
                prop_assert_eq!(registers(states.value(group)), registers(expected.value(group)));
                prop_assert!(states.value(group).len() == REGISTERS || states.value(group).len() <= SPARSE_LIMIT * 8);
                prop_assert!(bound >= states.value(group).len() as u64 / 8 || states.value(group).len() == REGISTERS);
            }
        }
    }
}
