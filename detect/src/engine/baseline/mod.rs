//! Baselines: tables of what was normal, made of the closed windows of a baseline rule.
//!
//! Each row holds from its window's end (`valid_from`) until its key's next row, at most `max_age` (`valid_until`). A rule that
//! looks at the window `[start, end)` joins what held at `start`: nothing that was learnt from the window itself.
//!
//! In batch a baseline is one view with `lead()`; in a stream only the newest row of each key is kept, and the rows of the
//! windows that ended after the oldest window began that may still be looked at. Both give the same join, because the
//! validator allows `valid_until` only in `window_start < valid_until`.
//!
//! [`runs`] is how rows lie in memory, [`join`] how few of them a window reads. What lasts is somebody else's to keep:
//! [`Baseline::take_unsaved`] gives the rows of each closed window once.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;

use super::compile::CompiledRule;
use super::window::{WINDOW_END, WindowSpec, timestamp_type};
use crate::rules::Rule;
pub use durable::ClosedWindow;
use runs::Run;
pub use windowed::{misfit, windowed, windowed_schema};

mod durable;
pub mod join;
mod runs;
#[cfg(test)]
mod tests;
mod windowed;

/// Rows that a plan is given at a time.
const BATCH: usize = 8 * 1024;

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

/// What a baseline looks like to the rules that join it.
#[derive(Debug, Clone)]
pub struct Table {
    /// See [`table_schema`].
    pub schema: SchemaRef,
    /// Which of the columns are a row's key.
    pub keys: Vec<usize>,
    /// The windows that its rows are about.
    pub window: WindowSpec,
    /// See [`CompiledRule::fingerprint`].
    pub fingerprint: String,
    window_end: usize,
    /// How long a row holds at most, µs.
    max_age: i64,
}

impl Table {
    /// Of a compiled baseline.
    pub fn new(compiled: &CompiledRule) -> Result<Self> {
        let (header, rows) = (&compiled.rule.header, compiled.table_schema());
        Ok(Self {
            schema: table_schema(&rows),
            keys: header.entity.iter().map(|key| rows.index_of(key)).collect::<std::result::Result<_, _>>()?,
            window: compiled.window,
            fingerprint: compiled.fingerprint(),
            window_end: rows.index_of(WINDOW_END)?,
            max_age: header.max_age,
        })
    }

    /// The columns of the rule's rows.
    pub fn row_schema(&self) -> SchemaRef {
        let fields = &self.schema.fields()[..self.schema.fields().len() - 2];
        Arc::new(Schema::new(fields.to_vec()))
    }

    /// Whether rows of this table can be used in the other's place.
    fn agrees(&self, other: &Self) -> bool {
        self.schema == other.schema && self.keys == other.keys
    }

    fn ends<'a>(&self, rows: &'a RecordBatch) -> &'a TimestampMicrosecondArray {
        rows.column(self.window_end).as_primitive::<TimestampMicrosecondType>()
    }

    fn with_validity(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let until: TimestampMicrosecondArray = self.ends(rows).unary(|end| end.saturating_add(self.max_age));
        let until = Arc::new(until.with_timezone("UTC")) as ArrayRef;
        let columns = rows.columns().iter().cloned().chain([Arc::clone(rows.column(self.window_end)), until]).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// A baseline in a stream.
#[derive(Debug)]
pub struct Baseline {
    table: Table,
    /// By the end of their newest window; all that can be merged has been, up to a factor of two in what is held.
    runs: Vec<Arc<Run>>,
    /// Closed windows whose rows nobody has taken to keep them. `None`: nobody will.
    unsaved: Option<Vec<(i64, RecordBatch)>>,
}

/// A baseline as it was at some time.
#[derive(Debug, Clone)]
pub struct View {
    table: Table,
    /// The newest first.
    runs: Vec<Arc<Run>>,
}

impl Baseline {
    /// An empty one.
    pub fn new(table: Table) -> Self {
        Self { table, runs: Vec::new(), unsaved: None }
    }

    /// From now on somebody keeps what is closed.
    pub fn keep_unsaved(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    /// Adds the rows of the window that ended at `end`. Windows are added in the order of their ends.
    pub fn add(&mut self, end: i64, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.put_back(end, rows)?;
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.push((end, rows.clone()));
        }
        Ok(())
    }

    /// Adds rows that are kept already, as [`Self::add`].
    pub fn put_back(&mut self, end: i64, rows: &RecordBatch) -> Result<()> {
        self.runs.push(Arc::new(Run::new(end, rows, &self.table.keys)?));
        Ok(())
    }

    /// The rows of the windows that were closed since the last call, with the windows' ends, µs.
    pub fn take_unsaved(&mut self) -> Vec<(i64, RecordBatch)> {
        self.unsaved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Goes on where `other` was, if it has the same columns and keys.
    pub fn take_over(&mut self, other: Self) {
        if self.table.agrees(&other.table) {
            self.runs = other.runs;
            self.unsaved = other.unsaved;
        }
    }

    /// The table as it was known at `at`. Not before what was forgotten.
    pub fn as_of(&self, at: i64) -> View {
        let runs = self.runs.iter().rev().filter(|run| run.newest <= at).cloned().collect();
        View { table: self.table.clone(), runs }
    }

    /// Forgets what no window that starts at or after `start` can see.
    pub fn forget_before(&mut self, start: i64) -> Result<()> {
        let max_age = self.table.max_age;
        self.runs.retain(|run| run.newest.saturating_add(max_age) > start);
        let mut last = self.runs.partition_point(|run| run.newest <= start);
        // Only runs of a like size: so a row is copied but a few times in its life, and of a key few rows are held.
        while last >= 2 && self.runs[last - 2].len() <= 2 * self.runs[last - 1].len() {
            let pair = [Arc::clone(&self.runs[last - 1]), Arc::clone(&self.runs[last - 2])];
            let holds = |rows: &RecordBatch, row| self.table.ends(rows).value(row).saturating_add(max_age) > start;
            let merged = Run::merge(&pair, &self.table.keys, holds)?;
            self.runs.splice(last - 2..last, [Arc::new(merged)]);
            last -= 1;
        }
        Ok(())
    }

    /// What it looks like.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many rows are held. Of a key there may be more than one.
    pub fn rows(&self) -> usize {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.runs.iter().map(|run| run.size()).sum()
    }
}

impl View {
    /// The newest row of each key, with the columns of the table. `wanted`: only of keys with these [`runs::hashes`], ascending.
    pub fn rows(&self, wanted: Option<&[u64]>) -> Result<Vec<RecordBatch>> {
        let rows = self.bare_rows(wanted)?;
        rows.iter().map(|rows| self.table.with_validity(rows)).collect()
    }

    /// The same with the columns of the rule alone.
    fn bare_rows(&self, wanted: Option<&[u64]>) -> Result<Vec<RecordBatch>> {
        let places = runs::newest(&self.runs, &self.table.keys, wanted)?;
        places.chunks(BATCH).map(|places| runs::at(&self.runs, places)).collect()
    }
}
