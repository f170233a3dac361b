//! Rows that wait to be aggregated.
//!
//! Where only groups with many rows can be in a rule's result, most groups are aggregated in vain. Their rows cost less as they
//! are: a key and the arguments of the aggregates, one after the other. When a window closes, the few groups that have enough
//! rows are aggregated.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::Result;

use super::aggregate::{Aggregate, Inputs};
use super::distinct;
use super::pane::Live;

/// How rows are kept.
#[derive(Debug)]
pub struct Later {
    /// Where in a working batch the arguments are, and whether they become hashes.
    from: Vec<(usize, bool)>,
    /// Where they are in what is kept.
    pub inputs: Vec<Inputs>,
}

impl Later {
    /// For aggregates that find their arguments at `inputs`.
    pub fn new(aggregates: &[Aggregate], inputs: &[Inputs]) -> Self {
        let mut from = Vec::new();
        let mut add = |at: usize, hashed: bool| {
            let place = from.iter().position(|kept| *kept == (at, hashed));
            place.unwrap_or_else(|| {
                from.push((at, hashed));
                from.len() - 1
            })
        };
        let inputs = aggregates
            .iter()
            .zip(inputs)
            .map(|(aggregate, i)| {
                // What is no longer than its hash is kept as it is: another aggregate may want it, too.
                let becomes_hash = aggregate.is_sketch() && !i.hashed && !aggregate.is_small();
                Inputs {
                    arguments: i.arguments.iter().map(|&at| add(at, becomes_hash)).collect(),
                    filter: i.filter.map(|at| add(at, false)),
                    hashed: i.hashed || becomes_hash,
                }
            })
            .collect();
        Self { from, inputs }
    }

    /// What is kept of a working batch.
    pub fn arguments(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let column = |&(at, hashed): &(usize, bool)| -> Result<ArrayRef> {
            Ok(if hashed { Arc::new(distinct::hashes(rows.column(at))?) } else { Arc::clone(rows.column(at)) })
        };
        let columns = self.from.iter().map(column).collect::<Result<Vec<_>>>()?;
        let field = |(i, c): (usize, &ArrayRef)| Field::new(i.to_string(), c.data_type().clone(), true);
        let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
    }
}

/// The rows of one pane that wait.
#[derive(Debug, Default)]
pub struct Log {
    batches: Vec<(Vec<u32>, RecordBatch)>,
    rows: usize,
}

impl Log {
    /// Adds rows with the numbers of their keys.
    pub fn add(&mut self, numbers: Vec<u32>, rows: RecordBatch) {
        self.rows += numbers.len();
        self.batches.push((numbers, rows));
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The key of each row.
    pub fn keys(&self) -> impl Iterator<Item = u32> {
        self.batches.iter().flat_map(|(numbers, _)| numbers.iter().copied())
    }

    /// Aggregates the rows of the wanted keys, or of all. `keys`: how many there are in all.
    pub fn replay(
        &self,
        wanted: Option<&BTreeSet<u32>>,
        keys: usize,
        live: &mut Live,
        inputs: &[Inputs],
    ) -> Result<()> {
        let marked = wanted.map(|wanted| {
            let mut marked = vec![false; keys];
            for &key in wanted {
                marked[key as usize] = true;
            }
            marked
        });
        for (numbers, rows) in &self.batches {
            let Some(marked) = &marked else {
                live.update(numbers, rows, inputs)?;
                continue;
            };
            let at: Vec<u32> =
                (0u32..).zip(numbers).filter(|(_, n)| marked[**n as usize]).map(|(row, _)| row).collect();
            if !at.is_empty() {
                let numbers: Vec<u32> = at.iter().map(|&row| numbers[row as usize]).collect();
                live.update(&numbers, &take_record_batch(rows, &UInt32Array::from(at))?, inputs)?;
            }
        }
        Ok(())
    }

    /// Gives the keys new numbers.
    pub fn renumber(&mut self, renumbered: &[u32]) {
        for number in self.batches.iter_mut().flat_map(|(numbers, _)| numbers) {
            *number = renumbered[*number as usize];
        }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        let size = |(numbers, rows): &(Vec<u32>, RecordBatch)| numbers.capacity() * 4 + rows.get_array_memory_size();
        self.batches.iter().map(size).sum()
    }
}
