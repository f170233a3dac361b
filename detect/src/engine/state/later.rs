//! Rows that wait to be aggregated.
//!
//! Where only groups with many rows can be in a rule's result, most groups are aggregated in vain. Their rows cost less as they
//! are: a key and the arguments of the aggregates, one after the other. When a window closes, the few groups that have enough
//! rows are aggregated.
//!
//! Keys that are looked at while their window is open are *hot*: their rows are aggregated as they come, beside the log, so that no
//! look has to go through it. **Invariant**: a log's hot groups are its rows of the hot keys, aggregated.

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
    /// The keys that are looked at.
    pub hot: Marks,
}

/// Some of the keys.
#[derive(Debug, Default)]
pub struct Marks {
    marked: Vec<bool>,
    count: usize,
}

impl Marks {
    /// Marks keys.
    pub fn add<'a>(&mut self, keys: impl IntoIterator<Item = &'a u32>) {
        for &key in keys {
            let at = key as usize;
            if at >= self.marked.len() {
                self.marked.resize((at + 1).next_power_of_two(), false);
            }
            self.count += usize::from(!std::mem::replace(&mut self.marked[at], true));
        }
    }

    /// These keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a u32>) -> Self {
        let mut marks = Self::default();
        marks.add(keys);
        marks
    }

    /// Whether a key is marked.
    #[inline]
    pub fn has(&self, key: u32) -> bool {
        self.marked.get(key as usize).is_some_and(|marked| *marked)
    }

    /// How many are.
    pub fn len(&self) -> usize {
        self.count
    }
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
        Self { from, inputs, hot: Marks::default() }
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
    hot: Option<Live>,
}

impl Log {
    /// Adds rows with the numbers of their keys.
    pub fn add(
        &mut self,
        numbers: Vec<u32>,
        rows: RecordBatch,
        Later { inputs, hot, .. }: &Later,
        aggregates: &[Aggregate],
    ) -> Result<()> {
        if hot.len() > 0 {
            let mut live = self.hot.take().map_or_else(|| Live::of_few(aggregates), Ok)?;
            add_marked(&numbers, &rows, hot, &mut live, inputs)?;
            self.hot = Some(live).filter(|live| !live.is_empty());
        }
        self.rows += numbers.len();
        self.batches.push((numbers, rows));
        Ok(())
    }

    /// These keys become hot.
    pub fn heat(&mut self, keys: &Marks, aggregates: &[Aggregate], inputs: &[Inputs]) -> Result<()> {
        let mut live = self.hot.take().map_or_else(|| Live::of_few(aggregates), Ok)?;
        self.replay(Some(keys), &mut live, inputs)?;
        self.hot = Some(live).filter(|live| !live.is_empty());
        Ok(())
    }

    /// No key is hot any more.
    pub fn cool(&mut self) {
        self.hot = None;
    }

    /// The groups of the hot keys.
    pub fn hot(&self) -> Option<&Live> {
        self.hot.as_ref()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The key of each row.
    pub fn keys(&self) -> impl Iterator<Item = u32> {
        self.batches.iter().flat_map(|(numbers, _)| numbers.iter().copied())
    }

    /// Aggregates the rows of the wanted keys, or of all.
    pub fn replay(&self, wanted: Option<&Marks>, live: &mut Live, inputs: &[Inputs]) -> Result<()> {
        for (numbers, rows) in &self.batches {
            match wanted {
                None => live.update(numbers, rows, inputs)?,
                Some(wanted) => add_marked(numbers, rows, wanted, live, inputs)?,
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
        self.batches.iter().map(size).sum::<usize>() + self.hot.as_ref().map_or(0, Live::size)
    }
}

fn add_marked(numbers: &[u32], rows: &RecordBatch, marks: &Marks, live: &mut Live, inputs: &[Inputs]) -> Result<()> {
    let at: Vec<u32> = (0u32..).zip(numbers).filter(|(_, n)| marks.has(**n)).map(|(row, _)| row).collect();
    if at.is_empty() {
        return Ok(());
    }
    let numbers: Vec<u32> = at.iter().map(|&row| numbers[row as usize]).collect();
    live.update(&numbers, &take_rows(rows, at)?, inputs)
}

/// Some of the rows, which may have no columns.
pub fn take_rows(rows: &RecordBatch, at: Vec<u32>) -> Result<RecordBatch> {
    if rows.num_columns() > 0 {
        return Ok(take_record_batch(rows, &UInt32Array::from(at))?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(at.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), Vec::new(), &options)?)
}
