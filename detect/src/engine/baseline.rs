//! Baselines: tables of what was normal, made of the closed windows of a baseline rule.
//!
//! Each row holds from its window's end (`valid_from`) until its key's next row, at most `max_age` (`valid_until`). A rule that
//! looks at the window `[start, end)` joins what held at `start`: nothing that was learnt from the window itself.
//!
//! In batch a baseline is one view with `lead()`; in a stream only the newest row of each key is kept, per point in time at
//! which rows were added. Both give the same join, because the validator allows `valid_until` only in
//! `window_start < valid_until`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;

use super::window::{WINDOW_END, timestamp_type};
use crate::rules::Rule;

/// The columns of a baseline as a table: its rule's, and when a row holds.
pub fn table_schema(rows: &SchemaRef) -> SchemaRef {
    let validity = ["valid_from", "valid_until"].map(|name| Arc::new(Field::new(name, timestamp_type(), true)));
    Arc::new(Schema::new(rows.fields().iter().cloned().chain(validity).collect::<Vec<_>>()))
}

/// A baseline in batch, as SQL over its rule's rows in the table `rows`.
pub fn view_sql(rule: &Rule, rows: &str) -> String {
    let keys: Vec<String> = rule.header.entity.iter().map(|key| format!("\"{key}\"")).collect();
    let (keys, max_age) = (keys.join(", "), rule.header.max_age);
    format!(
        "SELECT *, {WINDOW_END} AS valid_from, \
         least(lead({WINDOW_END}) OVER (PARTITION BY {keys} ORDER BY {WINDOW_END}), \
               {WINDOW_END} + INTERVAL '{max_age} microseconds') AS valid_until FROM {rows}"
    )
}

/// A baseline in a stream: the newest row of each key, as it was after each window that added rows.
#[derive(Debug)]
pub struct Baseline {
    schema: SchemaRef,
    keys: Vec<usize>,
    window_end: usize,
    max_age: i64,
    /// End of the window that was added last → the table from then on.
    versions: BTreeMap<i64, RecordBatch>,
    /// Rows of each closed window that may still hold: what a checkpoint keeps.
    closed: BTreeMap<i64, RecordBatch>,
}

impl Baseline {
    /// An empty baseline of a compiled rule whose rows have the schema `rows`.
    pub fn new(rule: &Rule, rows: &SchemaRef) -> Result<Self> {
        let keys = rule.header.entity.iter().map(|key| rows.index_of(key)).collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            schema: table_schema(rows),
            keys,
            window_end: rows.index_of(WINDOW_END)?,
            max_age: rule.header.max_age,
            versions: BTreeMap::new(),
            closed: BTreeMap::new(),
        })
    }

    /// Adds the rows of the window that ended at `end`. Windows are added in the order of their ends.
    pub fn add(&mut self, end: i64, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.closed.insert(end, rows.clone());
        let fresh = self.with_validity(rows)?;
        let newest = match self.versions.last_key_value() {
            Some((_, held)) => self.newest_by_key(end, held, &fresh)?,
            None => fresh,
        };
        self.versions.insert(end, newest);
        Ok(())
    }

    /// The table as it was known at `at`.
    pub fn as_of(&self, at: i64) -> Vec<RecordBatch> {
        self.versions.range(..=at).next_back().map(|(_, table)| table.clone()).into_iter().collect()
    }

    /// Forgets what no window that starts at or after `start` can see.
    pub fn forget_before(&mut self, start: i64) {
        if let Some((&version, _)) = self.versions.range(..=start).next_back() {
            self.versions = self.versions.split_off(&version);
        }
        let max_age = self.max_age;
        self.closed.retain(|end, _| end.saturating_add(max_age) > start);
    }

    /// Rows of closed windows that may still hold, by the window's end.
    pub fn closed(&self) -> &BTreeMap<i64, RecordBatch> {
        &self.closed
    }

    fn with_validity(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let ends = rows.column(self.window_end).as_primitive::<TimestampMicrosecondType>();
        let until: TimestampMicrosecondArray = ends.unary(|end| end.saturating_add(self.max_age));
        let until = Arc::new(until.with_timezone("UTC")) as ArrayRef;
        let columns = rows.columns().iter().cloned().chain([Arc::clone(rows.column(self.window_end)), until]).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// `fresh`, and those rows of `held` whose key is not in `fresh` and that still hold at `now`.
    fn newest_by_key(&self, now: i64, held: &RecordBatch, fresh: &RecordBatch) -> Result<RecordBatch> {
        let fields = self.keys.iter().map(|&k| SortField::new(self.schema.field(k).data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let keys = |batch: &RecordBatch| {
            let columns: Vec<ArrayRef> = self.keys.iter().map(|&k| Arc::clone(batch.column(k))).collect();
            converter.convert_columns(&columns)
        };
        let until = held.column(self.schema.fields().len() - 1).as_primitive::<TimestampMicrosecondType>();
        let mut places: HashMap<OwnedRow, (usize, usize)> = HashMap::new();
        for (i, key) in keys(held)?.iter().enumerate().filter(|(i, _)| until.value(*i) > now) {
            places.insert(key.owned(), (0, i));
        }
        for (i, key) in keys(fresh)?.iter().enumerate() {
            places.insert(key.owned(), (1, i));
        }
        let mut places: Vec<_> = places.into_values().collect();
        places.sort_unstable();
        Ok(interleave_record_batch(&[held, fresh], &places)?)
    }
}
