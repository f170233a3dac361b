//! Makes one file of many: spilled rows and smaller files of an hour, in one order.
//!
//! What is merged may be larger than memory: of each file one batch is held.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use tripline_ingest::table::columns::{OFFSET, SOURCE, TS};

use super::error::HistoryError;
use super::layout::FileName;
use super::read::{ParquetFile, rows_of};
use super::write;
use crate::durable;

/// Rows that are written at a time.
const OUT_ROWS: usize = 8 * 1024;

/// What becomes one file.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Rows that lie in memory as Parquet.
    pub spills: Vec<Bytes>,
    /// Files, each in order.
    pub files: Vec<PathBuf>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Writes the rows of `inputs` into one file, which stays hidden; durable when this returns.
pub fn merge(inputs: &Inputs, dir: &Path, name: FileName) -> Result<Written, HistoryError> {
    let path = name.hidden_path(dir);
    let io = |error| HistoryError::Io { path: path.clone(), error };
    let folder = path.parent().unwrap_or(dir);
    durable::create_folder(folder).map_err(io)?;
    let file = File::create(&path).map_err(io)?;
    let durable = file.try_clone().map_err(io)?;
    let parquet = |error| HistoryError::Write { path: path.clone(), error };
    let mut writer = write::file_writer(file).map_err(parquet)?;
    let mut rows = 0;
    let mut merging = Merging::new(cursors(inputs)?);
    while let Some(batch) = merging.next()? {
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(parquet)?;
    }
    writer.close().map_err(parquet)?;
    durable.sync_all().map_err(io)?;
    durable::sync_folder(folder).map_err(io)?;
    Ok(Written { rows, bytes: durable.metadata().map_err(io)?.len() })
}

fn cursors(inputs: &Inputs) -> Result<Vec<Cursor>, HistoryError> {
    let mut cursors = Vec::new();
    for path in &inputs.files {
        let rows = ParquetFile::probe(path)?.open()?;
        cursors.push(Cursor { path: Some(path.clone()), rows: Box::new(rows), batch: None, at: 0 });
    }
    // Spills are small, and many: together they fit into memory, and one input is quicker than a thousand.
    let mut spilled = Vec::new();
    for bytes in &inputs.spills {
        let rows = rows_of(bytes.clone()).map_err(HistoryError::Spill)?;
        spilled.extend(rows.collect::<Result<Vec<_>, _>>().map_err(HistoryError::Spill)?);
    }
    let spilled = concat_batches(&tripline_ingest::schema(), &spilled).and_then(|rows| write::sorted(&rows));
    let spilled = spilled.map_err(HistoryError::Spill)?;
    cursors.push(Cursor { path: None, rows: Box::new(std::iter::once(Ok(spilled))), batch: None, at: 0 });
    Ok(cursors)
}

/// One input, and the next of its rows.
struct Cursor {
    path: Option<PathBuf>,
    rows: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>,
    batch: Option<Keyed>,
    at: usize,
}

/// A batch and the columns that it is ordered by.
struct Keyed {
    rows: RecordBatch,
    ts: TimestampMicrosecondArray,
    source: StringViewArray,
    offset: UInt64Array,
}

impl Keyed {
    fn new(rows: RecordBatch) -> Self {
        let ts = rows.column(TS).as_primitive::<TimestampMicrosecondType>().clone();
        let source = rows.column(SOURCE).as_string_view().clone();
        let offset = rows.column(OFFSET).as_primitive::<UInt64Type>().clone();
        Self { rows, ts, source, offset }
    }

    fn key(&self, row: usize) -> (i64, &str, u64) {
        (self.ts.value(row), self.source.value(row), self.offset.value(row))
    }
}

impl Cursor {
    /// Loads the next batch that has rows. False at the input's end.
    fn load(&mut self) -> Result<bool, HistoryError> {
        self.at = 0;
        self.batch = None;
        while self.batch.is_none() {
            let Some(rows) = self.rows.next() else { return Ok(false) };
            let rows = rows.map_err(|error| match &self.path {
                Some(path) => HistoryError::Read { path: path.clone(), error },
                None => HistoryError::Spill(error),
            })?;
            self.batch = Some(rows).filter(|r| r.num_rows() > 0).map(Keyed::new);
        }
        Ok(true)
    }
}

/// Inputs that are each in order, as one in order. There are few of them (see `MERGED_FILES`), so that looking at each for the
/// next row is quicker than a heap.
struct Merging {
    cursors: Vec<Cursor>,
    started: bool,
}

impl Merging {
    fn new(cursors: Vec<Cursor>) -> Self {
        Self { cursors, started: false }
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, HistoryError> {
        if !self.started {
            self.started = true;
            self.reload(|_| true)?;
        }
        let batches: Vec<&Keyed> = self.cursors.iter().filter_map(|c| c.batch.as_ref()).collect();
        let mut places: Vec<usize> = self.cursors.iter().map(|c| c.at).collect();
        if batches.is_empty() {
            return Ok(None);
        }
        let mut picks = Vec::with_capacity(OUT_ROWS);
        // Until one of the batches is used up: what follows it is not known before it is loaded.
        while picks.len() < OUT_ROWS && places.iter().zip(&batches).all(|(&at, batch)| at < batch.rows.num_rows()) {
            let least = (0..batches.len()).min_by_key(|&i| batches[i].key(places[i])).unwrap_or(0);
            picks.push((least, places[least]));
            places[least] += 1;
        }
        let rows: Vec<&RecordBatch> = batches.iter().map(|b| &b.rows).collect();
        let merged = interleave_record_batch(&rows, &picks).map_err(HistoryError::Spill)?;
        for (cursor, at) in self.cursors.iter_mut().zip(places) {
            cursor.at = at;
        }
        self.reload(|c| c.batch.as_ref().is_some_and(|b| c.at >= b.rows.num_rows()))?;
        Ok(Some(merged))
    }

    /// Loads the next batch of the inputs that are `used` up, and drops those that have ended.
    fn reload(&mut self, used: impl Fn(&Cursor) -> bool) -> Result<(), HistoryError> {
        let mut going = Vec::new();
        for mut cursor in std::mem::take(&mut self.cursors) {
            if !used(&cursor) || cursor.load()? {
                going.push(cursor);
            }
        }
        self.cursors = going;
        Ok(())
    }
}
