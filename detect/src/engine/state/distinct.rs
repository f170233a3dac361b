//! `approx_distinct` for many groups: DataFusion's sketches, kept another way.
//!
//! DataFusion keeps a growing list of hashes for each group, so that every new client costs allocations, and every row a jump through
//! memory. Here a row's hash is appended to a log; from time to time the log is sorted into the groups. All this is done in
//! blocks of groups, so that what is sorted fits into a processor's cache and one group is found quickly. What comes out is
//! what DataFusion's own accumulator would give, bit for bit: up to [`SPARSE_LIMIT`] distinct hashes as they are, beyond
//! that the registers of a `HyperLogLog` sketch (2^14 of them, standard error 0.8 %).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, UInt64Array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use datafusion::common::{Result, exec_datafusion_err};

use super::sketch::{self, Estimator, REGISTERS, SPARSE_LIMIT, Seen, observe};

/// So many neighbouring groups are in the same block.
const NEIGHBOURS: usize = 1024;
/// Blocks, at most: after the last the first gets more groups.
const BLOCKS: usize = 256;
/// A block's log is sorted in when it is this long, or as long as what is sorted already.
const MIN_LOG: usize = if cfg!(test) { 4 } else { 1024 };

/// The distinct values of each group, about.
#[derive(Debug, Default)]
pub struct Distinct {
    blocks: Vec<Block>,
}

/// Some of the groups, by numbers of their own.
#[derive(Debug, Default)]
struct Block {
    /// Not yet sorted in: the row's group and its value's hash.
    log: Vec<(u32, u64)>,
    /// Hashes by group, each once, ascending.
    sparse: Vec<u64>,
    /// Where each group ends in `sparse`.
    ends: Vec<u32>,
    /// Groups that have outgrown `sparse`.
    dense: BTreeMap<u32, Box<[u8]>>,
}

/// A group's block, and its number there.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "groups have 32-bit numbers: a pane has no more groups than keys")]
fn place(group: usize) -> (usize, u32) {
    let neighbours = group / NEIGHBOURS;
    (neighbours % BLOCKS, (neighbours / BLOCKS * NEIGHBOURS + group % NEIGHBOURS) as u32)
}

impl Distinct {
    /// Adds a value for each row that `counted` lets through.
    pub fn update(&mut self, values: &ArrayRef, groups: &[usize], counted: Option<&NullBuffer>) -> Result<()> {
        let hashes = hashes(values)?;
        self.update_hashed(hashes.values(), groups, counted);
        Ok(())
    }

    /// The same for values that are [`hashes`] already.
    pub fn update_hashed(&mut self, hashes: &[u64], groups: &[usize], counted: Option<&NullBuffer>) {
        self.reach(groups);
        match counted {
            None => groups.iter().zip(hashes).for_each(|(&group, &hash)| self.add(group, hash)),
            Some(counted) => counted.valid_indices().for_each(|row| self.add(groups[row], hashes[row])),
        }
        self.blocks.iter_mut().for_each(Block::sort_in_if_due);
    }

    /// Adds states that [`Distinct::states`] or DataFusion gave.
    pub fn merge(&mut self, states: &ArrayRef, groups: &[usize]) -> Result<()> {
        let states =
            states.as_binary_opt::<i32>().ok_or_else(|| exec_datafusion_err!("approx_distinct: not a state"))?;
        self.reach(groups);
        for (&group, state) in groups.iter().zip(states) {
            let (block, local) = place(group);
            let (block, state) = (&mut self.blocks[block], state.unwrap_or_default());
            if state.len() == REGISTERS {
                let registers = block.dense.entry(local).or_insert_with(|| vec![0; REGISTERS].into());
                registers.iter_mut().zip(state).for_each(|(a, &b)| *a = b.max(*a));
            } else {
                let hashes = state.as_chunks::<8>().0;
                block.log.extend(hashes.iter().map(|hash| (local, u64::from_le_bytes(*hash))));
            }
        }
        self.blocks.iter_mut().for_each(Block::sort_in_if_due);
        Ok(())
    }

    fn reach(&mut self, groups: &[usize]) {
        let last = groups.iter().max().map_or(0, |last| last / NEIGHBOURS + 1).min(BLOCKS);
        if last > self.blocks.len() {
            self.blocks.resize_with(last, Block::default);
        }
    }

    #[inline]
    fn add(&mut self, group: usize, hash: u64) {
        let (block, local) = place(group);
        self.blocks[block].log.push((local, hash));
    }

    /// Adds a group's values to what was seen elsewhere.
    pub fn add_to(&self, group: usize, seen: &mut Seen) {
        let (block, local) = place(group);
        let Some(block) = self.blocks.get(block) else { return };
        seen.is_sketch |= block.dense.contains_key(&local);
        seen.hashes.extend_from_slice(&block.sparse[block.range(local)]);
        seen.hashes.extend(block.log.iter().filter(|(group, _)| *group == local).map(|(_, hash)| *hash));
    }

    /// Sorts everything in. Before [`Distinct::states`].
    pub fn settle(&mut self) {
        for block in &mut self.blocks {
            block.sort_in();
            block.log = Vec::new();
        }
    }

    /// Bytes of a settled group's state.
    pub fn state_len(&self, group: usize) -> usize {
        let (block, local) = place(group);
        self.blocks.get(block).map_or(0, |block| block.state_len(local))
    }

    /// The states of settled groups, as DataFusion's accumulator gives and takes them.
    pub fn states(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let lengths = groups.clone().map(|group| self.state_len(group));
        let mut bytes: Vec<u8> = Vec::with_capacity(lengths.clone().sum());
        for (block, local) in groups.map(place) {
            self.blocks.get(block).into_iter().for_each(|block| block.write(local, &mut bytes));
        }
        i32::try_from(bytes.len()).map_err(|_| exec_datafusion_err!("approx_distinct: state above 2 GiB"))?;
        Ok(Arc::new(BinaryArray::try_new(OffsetBuffer::from_lengths(lengths), Buffer::from_vec(bytes), None)?))
    }

    /// The state of one group, which need not be settled.
    pub fn state(&self, group: usize) -> ArrayRef {
        let (block, local) = place(group);
        let mut seen = Seen::default();
        self.add_to(group, &mut seen);
        let distinct = sketch::distinct(&mut seen.hashes);
        let hashes = &seen.hashes[..distinct];
        let dense = self.blocks.get(block).and_then(|block| block.dense.get(&local));
        let state = if dense.is_some() || distinct > SPARSE_LIMIT {
            let mut registers = dense.map_or_else(|| vec![0; REGISTERS], |registers| registers.to_vec());
            for &hash in hashes {
                observe(&mut registers, hash);
            }
            registers
        } else {
            hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect()
        };
        Arc::new(BinaryArray::from_iter_values([state]))
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.blocks.iter().map(Block::size).sum()
    }
}

impl Block {
    fn range(&self, group: u32) -> Range<usize> {
        let end = |group: usize| self.ends.get(group).map_or(self.sparse.len(), |end| *end as usize);
        let group = group as usize;
        (if group == 0 { 0 } else { end(group - 1) })..end(group)
    }

    fn state_len(&self, group: u32) -> usize {
        if self.dense.contains_key(&group) { REGISTERS } else { self.range(group).len() * 8 }
    }

    fn write(&self, group: u32, bytes: &mut Vec<u8>) {
        match self.dense.get(&group) {
            Some(registers) => bytes.extend_from_slice(registers),
            None => bytes.extend(self.sparse[self.range(group)].iter().flat_map(|hash| hash.to_le_bytes())),
        }
    }

    fn size(&self) -> usize {
        self.log.capacity() * size_of::<(u32, u64)>()
            + self.sparse.capacity() * 8
            + self.ends.capacity() * 4
            + self.dense.len() * (REGISTERS + 64)
    }

    fn sort_in_if_due(&mut self) {
        if self.log.len() >= MIN_LOG.max(self.sparse.len()) {
            self.sort_in();
        }
    }

    fn sort_in(&mut self) {
        let logged = self.log.iter().map(|(group, _)| *group as usize + 1).max().unwrap_or(0);
        let groups = logged.max(self.ends.len());
        // Room for each group: what it has, and what the log has for it.
        let mut next = vec![0usize; groups + 1];
        for (group, _) in &self.log {
            next[*group as usize + 1] += 1;
        }
        for (group, local) in (0..groups).zip(0..) {
            next[group + 1] += next[group] + self.range(local).len();
        }
        let mut sorted = vec![0u64; next[groups]];
        let starts = next.clone();
        for (next, local) in next.iter_mut().zip(0..).take(groups) {
            let old = self.range(local);
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
        for (group, local) in (0..groups).zip(0..) {
            let range = starts[group]..starts[group + 1];
            let kept = sketch::distinct(&mut sorted[range.clone()]);
            if kept > SPARSE_LIMIT || self.dense.contains_key(&local) {
                let registers = self.dense.entry(local).or_insert_with(|| vec![0; REGISTERS].into());
                sorted[range.start..range.start + kept].iter().for_each(|&hash| observe(registers, hash));
            } else {
                sorted.copy_within(range.start..range.start + kept, written);
                written += kept;
            }
            // A block's log was shorter than 4 billion rows.
            ends.push(u32::try_from(written).unwrap_or(u32::MAX));
        }
        sorted.truncate(written);
        sorted.shrink_to_fit();
        self.sparse = sorted;
        self.ends = ends;
    }
}

/// The number of distinct values in each state, about.
pub fn estimates(states: &ArrayRef) -> Result<ArrayRef> {
    let states = states.as_binary_opt::<i32>().ok_or_else(|| exec_datafusion_err!("approx_distinct: not a state"))?;
    let mut estimator = Estimator::default();
    let estimates = states.iter().map(|state| estimator.estimate(state.unwrap_or_default()));
    Ok(Arc::new(UInt64Array::from_iter_values(estimates)))
}

/// The hash of each value, as sketches know it.
pub fn hashes(values: &ArrayRef) -> Result<UInt64Array> {
    let mut hashes = vec![0; values.len()];
    create_hashes([values.as_ref()], &HLL_RANDOM_STATE, &mut hashes)?;
    Ok(UInt64Array::new(hashes.into(), values.logical_nulls()))
}

#[cfg(test)]
mod tests {
    use super::super::aggregate::counted;
    use super::*;
    use arrow::array::{BooleanArray, StringViewArray};
    use arrow::datatypes::UInt64Type;
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

    /// Groups that are used lie in several blocks, and share some.
    const STEP: usize = NEIGHBOURS * BLOCKS / 3;
    const GROUPS: usize = 6 * STEP; // the last are empty

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        /// Rows in batches, states merged into others: the states and estimates are those of DataFusion.
        #[test]
        fn states_are_those_of_datafusion(
            batches in proptest::collection::vec((proptest::collection::vec((0usize..5, 0u32..3000, 0u8..8), 0..600), any::<bool>()), 1..6),
        ) {
            let used: Vec<usize> = (0..6).map(|group| group * STEP).collect();
            let all = |ours: &mut Distinct| {
                ours.settle();
                let states: Vec<ArrayRef> = used.iter().map(|&group| ours.states(group..group + 1).unwrap()).collect();
                arrow::compute::concat(&states.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
            };
            let (mut ours, mut merged, mut theirs) = (Distinct::default(), Distinct::default(), theirs());
            for (rows, merge) in &batches {
                let values = rows.iter().map(|(_, v, n)| (*n > 0).then(|| format!("value-{v}"))).collect::<StringViewArray>();
                let values: ArrayRef = Arc::new(values);
                let groups: Vec<usize> = rows.iter().map(|(g, _, _)| g * STEP).collect();
                let filter: BooleanArray = rows.iter().map(|(_, _, n)| if *n == 7 { None } else { Some(*n != 6) }).collect();
                ours.update(&values, &groups, counted(Some(&filter), values.logical_nulls()).as_ref()).unwrap();
                theirs.update_batch(std::slice::from_ref(&values), &groups, Some(&filter), GROUPS).unwrap();
                if *merge {
                    merged.merge(&all(&mut ours), &used).unwrap();
                    ours = Distinct::default();
                }
            }
            let unsettled: Vec<ArrayRef> = used.iter().map(|&group| ours.state(group)).collect();
            let states = all(&mut ours);
            for (row, state) in unsettled.iter().enumerate() {
                prop_assert_eq!(state.as_binary::<i32>().value(0), states.as_binary::<i32>().value(row));
            }
            merged.merge(&states, &used).unwrap();
            let states = all(&mut merged);
            let expected = theirs.state(EmitTo::All).unwrap().remove(0);
            theirs.merge_batch(std::slice::from_ref(&expected), &(0..GROUPS).collect::<Vec<_>>(), GROUPS).unwrap();
            let numbers = theirs.evaluate(EmitTo::All).unwrap();
            let estimates = estimates(&states).unwrap();
            let (states, expected) = (states.as_binary::<i32>(), expected.as_binary::<i32>());
            for (row, &group) in used.iter().enumerate() {
                // A list and a sketch of it say the same: which one it is, is a matter of when it was sorted.
                let registers = |state: &[u8]| {
                    if state.len() == REGISTERS { return state.to_vec() }
                    let mut registers = vec![0; REGISTERS];
                    state.as_chunks::<8>().0.iter().for_each(|h| observe(&mut registers, u64::from_le_bytes(*h)));
                    registers
                };
                prop_assert_eq!(registers(states.value(row)), registers(expected.value(group)));
                prop_assert!(states.value(row).len() == REGISTERS || states.value(row).len() <= SPARSE_LIMIT * 8);
                let (ours, theirs) = (estimates.as_primitive::<UInt64Type>(), numbers.as_primitive::<UInt64Type>());
                prop_assert_eq!(ours.value(row), theirs.value(group));
                let mut seen = Seen::default();
                merged.add_to(group, &mut seen);
                prop_assert!(seen.at_most() >= states.value(row).len() as u64 / 8 || states.value(row).len() == REGISTERS);
            }
        }
    }
}
