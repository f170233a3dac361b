//! Where rows came from: a note of a few dozen bytes for each stretch of a file, by which its lines are found again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use tripline_ingest::table::columns::{RAW, TS};
use tripline_ingest::{Batch, Reread};

use crate::engine::FileRows;
use crate::history::read::ParquetFile;

/// Notes kept at most; the oldest go first.
const MAX_BLOCKS: usize = 64 * 1024;
/// Stretches of a log that follow each other become one up to this size, bytes.
const BLOCK_BYTES: u64 = 256 * 1024;
/// ... and up to this stretch of event time, µs.
const BLOCK_US: i64 = 60_000_000;
/// Decompressed bytes of an archive that are read again to get at a line.
const ARCHIVE_BYTES: u64 = 256 << 20;

/// Where rows can be read again.
#[derive(Debug, Clone)]
pub enum Origin {
    /// In a log.
    Log(Reread),
    /// In Parquet.
    Parquet(ParquetFile),
}

/// A stretch of one file.
#[derive(Debug, Clone)]
pub struct Block {
    /// What tells its file from others.
    pub file: Arc<str>,
    origin: Origin,
    /// Bytes of a log, rows of Parquet.
    range: Range<u64>,
    first_ts: i64,
    last_ts: i64,
    newest_before: Option<i64>,
    lateness: i64,
    /// Of the first row's line: the file may have been overwritten.
    mark: u64,
}

impl Block {
    /// The stretch that a batch covers; `None` if it has no rows.
    pub fn of(file: &str, origin: Origin, batch: &Batch, lateness: i64) -> Option<Self> {
        let ts = batch.rows.column(TS).as_primitive::<TimestampMicrosecondType>();
        let (first_ts, last_ts) = (min(ts)?, max(ts)?);
        let length = match origin {
            Origin::Log(_) => batch.bytes,
            Origin::Parquet(_) => batch.rows.num_rows() as u64,
        };
        let range = batch.offset..batch.offset + length;
        let mark = mark(&batch.rows);
        Some(Self {
            file: file.into(),
            origin,
            range,
            first_ts,
            last_ts,
            newest_before: batch.newest_before,
            lateness,
            mark,
        })
    }

    /// What reading it again costs, in bytes or about so.
    pub fn cost(&self) -> u64 {
        let length = self.range.end - self.range.start;
        match self.origin {
            Origin::Log(_) => length,
            Origin::Parquet(_) => length * 256,
        }
    }

    fn goes_on_in(&self, next: &Self) -> bool {
        let span = self.last_ts.max(next.last_ts).saturating_sub(self.first_ts.min(next.first_ts));
        matches!(next.origin, Origin::Log(_))
            && self.range.end == next.range.start
            && next.range.end - self.range.start <= BLOCK_BYTES
            && span <= BLOCK_US
    }
}

/// The blocks whose rows may still be asked for.
#[derive(Debug, Default)]
pub struct Index {
    /// By number, in the order of reading.
    blocks: BTreeMap<u64, Block>,
    /// Each file's last block.
    last: BTreeMap<Arc<str>, u64>,
    next: u64,
    /// All blocks have rows at or after it, µs; `None`: there are no blocks.
    all_reach: Option<i64>,
}

impl Index {
    /// Takes in a block.
    pub fn add(&mut self, block: Block) {
        let last = self.last.get(&block.file).and_then(|number| self.blocks.get_mut(number));
        if let Some(last) = last
            && last.goes_on_in(&block)
        {
            last.range.end = block.range.end;
            last.first_ts = last.first_ts.min(block.first_ts);
            last.last_ts = last.last_ts.max(block.last_ts);
            // (a renamed file is found by its new name)
            last.origin = block.origin;
            return;
        }
        self.all_reach = Some(self.all_reach.map_or(block.last_ts, |least| least.min(block.last_ts)));
        self.last.insert(Arc::clone(&block.file), self.next);
        self.blocks.insert(self.next, block);
        self.next += 1;
        if self.blocks.len() > MAX_BLOCKS {
            self.blocks.pop_first();
            self.all_reach = Some(i64::MIN); // (then `last` is put in order, too)
        }
    }

    /// Forgets what has no rows at or after `ts`, µs.
    pub fn forget_before(&mut self, ts: i64) {
        // (asked many times a second, of very many files)
        if self.all_reach.is_none_or(|least| least >= ts) {
            return;
        }
        self.blocks.retain(|_, block| block.last_ts >= ts);
        self.all_reach = self.blocks.values().map(|block| block.last_ts).min();
        self.last.retain(|_, number| self.blocks.contains_key(number));
    }

    /// The blocks that may have rows in a stretch of event time, in the order of time.
    pub fn within(&self, time: &Range<i64>) -> Vec<Block> {
        let overlaps = |block: &&Block| block.last_ts >= time.start && block.first_ts < time.end;
        let mut blocks: Vec<Block> = self.blocks.values().filter(overlaps).cloned().collect();
        blocks.sort_by_key(|block| block.first_ts);
        blocks
    }
}

/// The rows of some blocks, read again. What a file does not hold any more is left out.
pub fn read(mut blocks: Vec<Block>) -> io::Result<Vec<FileRows>> {
    blocks.sort_by(|a, b| (&a.file, a.range.start).cmp(&(&b.file, b.range.start)));
    let mut all = Vec::new();
    for file in blocks.chunk_by(|a, b| a.file == b.file) {
        let read = match &file[file.len() - 1].origin {
            Origin::Log(reread) => {
                let stretches: Vec<_> = file.iter().map(|block| block.range.clone()).collect();
                reread.rows(&stretches, ARCHIVE_BYTES)?
            }
            Origin::Parquet(parquet) => {
                file.iter().map(|block| parquet_rows(parquet, &block.range)).collect::<io::Result<_>>()?
            }
        };
        for (block, batches) in file.iter().zip(read) {
            let first = batches.iter().find(|rows| rows.num_rows() > 0);
            if first.is_none_or(|rows| mark(rows) != block.mark) {
                continue;
            }
            let mut newest_before = block.newest_before;
            for rows in batches {
                let rows = FileRows { rows, newest_before, lateness: block.lateness };
                newest_before = rows.newest();
                all.push(rows);
            }
        }
    }
    Ok(all)
}

fn parquet_rows(file: &ParquetFile, range: &Range<u64>) -> io::Result<Vec<RecordBatch>> {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let range = (number(range.start), number(range.end - range.start));
    file.open_range(Some(range)).map_err(io::Error::other)?.map(|rows| rows.map_err(io::Error::other)).collect()
}

fn mark(rows: &RecordBatch) -> u64 {
    let mut hasher = DefaultHasher::new();
    rows.column(RAW).as_string_view().iter().next().flatten().hash(&mut hasher);
    hasher.finish()
}
