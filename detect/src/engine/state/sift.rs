//! Rows that wait to be aggregated, without even a number for their key.
//!
//! Where a window is one pane and only groups with many rows can be in a rule's result, looking each row's key up in a table costs
//! more than all else, and most keys come once. Here a row keeps its key in 128 bits; when the window closes, keys are counted
//! by a few bits of their hash, and only rows whose count is high enough go any further.

use std::hash::BuildHasher;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hashbrown::DefaultHashBuilder;

use super::later::take_rows;

/// The rows of one pane, with their packed keys.
#[derive(Debug, Default)]
pub struct Sift {
    batches: Vec<(Vec<u128>, RecordBatch)>,
    rows: usize,
}

impl Sift {
    /// Adds rows with their keys.
    pub fn add(&mut self, keys: Vec<u128>, rows: RecordBatch) {
        self.rows += keys.len();
        self.batches.push((keys, rows));
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All rows.
    pub fn take(&mut self) -> Vec<(Vec<u128>, RecordBatch)> {
        std::mem::take(self).batches
    }

    /// The keys, one a row.
    pub fn keys(&self) -> impl Iterator<Item = u128> {
        self.batches.iter().flat_map(|(keys, _)| keys.iter().copied())
    }

    /// The keys, to be changed.
    pub fn keys_mut(&mut self) -> impl Iterator<Item = &mut u128> {
        self.batches.iter_mut().flat_map(|(keys, _)| keys)
    }

    /// The rows of all keys that have at least `least` rows, and of a few others.
    pub fn frequent(&self, least: u32) -> Result<Vec<(Vec<u128>, RecordBatch)>> {
        let hasher = DefaultHashBuilder::default();
        let mask = self.rows.next_power_of_two().clamp(1 << 10, 1 << 24) - 1;
        #[expect(clippy::cast_possible_truncation, reason = "its lower bits")]
        let place = |key: u128| hasher.hash_one(key) as usize & mask;
        let mut counts = vec![0u32; mask + 1];
        for key in self.keys() {
            let count = &mut counts[place(key)];
            *count = count.saturating_add(1);
        }
        let mut found = Vec::new();
        for (keys, rows) in &self.batches {
            let at: Vec<u32> =
                (0u32..).zip(keys).filter(|(_, key)| counts[place(**key)] >= least).map(|(row, _)| row).collect();
            if !at.is_empty() {
                let keys = at.iter().map(|&row| keys[row as usize]).collect();
                found.push((keys, take_rows(rows, at)?));
            }
        }
        Ok(found)
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.batches.iter().map(|(keys, rows)| keys.capacity() * 16 + rows.get_array_memory_size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, RecordBatch, RecordBatchOptions};
    use arrow::datatypes::{Int64Type, Schema};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn all_rows_of_frequent_keys_come_back() {
        let mut sift = Sift::default();
        let mut expected: BTreeMap<u128, Vec<i64>> = BTreeMap::new();
        for batch in 0..20i64 {
            let keys: Vec<u128> = (0..500u128).map(|i| (i * i + u128::from(batch.unsigned_abs())) % 977).collect();
            let values = Int64Array::from_iter_values((0..500).map(|i| batch * 500 + i));
            keys.iter().zip(values.values()).for_each(|(key, value)| expected.entry(*key).or_default().push(*value));
            sift.add(keys, RecordBatch::try_from_iter([("x", Arc::new(values) as _)]).unwrap());
        }
        let mut found: BTreeMap<u128, Vec<i64>> = BTreeMap::new();
        for (keys, rows) in sift.frequent(12).unwrap() {
            let values = rows.column(0).as_primitive::<Int64Type>();
            keys.into_iter().zip(values.values()).for_each(|(key, value)| found.entry(key).or_default().push(*value));
        }
        assert!(found.len() < expected.len(), "nothing was left out");
        expected.retain(|_, rows| rows.len() >= 12);
        found.retain(|_, rows| rows.len() >= 12);
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_of_which_nothing_is_kept_are_counted() {
        let (mut sift, options) = (Sift::default(), RecordBatchOptions::new().with_row_count(Some(3)));
        sift.add(
            vec![1, 2, 1],
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap(),
        );
        let found = sift.frequent(2).unwrap();
        assert_eq!(found.iter().map(|(keys, rows)| (keys.len(), rows.num_rows())).collect::<Vec<_>>(), [(2, 2)]);
    }
}
