//! One file of requests, whatever holds them: a log, or Parquet with the same columns.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use tripline_ingest::table::columns::TS;
use tripline_ingest::{Batch, Counters, LogReader, Mode, Probe, SourceOptions};

use crate::evidence::Origin;
use crate::history::read::{ParquetFile, ReadError, RequestRows, is_parquet};

/// A file to be read, looked at once.
#[derive(Debug, Clone)]
pub enum InputFile {
    /// A log, as `tripline_ingest::probe` found it, with its source's settings.
    Log(Probe, Box<SourceOptions>),
    /// Parquet with the columns of `requests`. Its rows were judged when they were logged: in their order none is late.
    Parquet(ParquetFile),
}

impl InputFile {
    /// Looks at a file's first bytes. The error says what is wrong and what to do.
    pub fn probe(path: &Path, options: &SourceOptions) -> Result<Self, String> {
        if is_parquet(path) {
            return ParquetFile::probe(path).map(Self::Parquet).map_err(|e| e.to_string());
        }
        let probe = tripline_ingest::probe(path, options).map_err(|e| e.to_string())?;
        Ok(Self::Log(probe, Box::new(options.clone())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Log(probe, _) => &probe.path,
            Self::Parquet(file) => &file.path,
        }
    }

    /// The format's name.
    pub fn format(&self) -> &str {
        match self {
            Self::Log(probe, _) => &probe.format,
            Self::Parquet(_) => "parquet",
        }
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        match self {
            Self::Log(probe, _) => probe.size,
            Self::Parquet(file) => file.size,
        }
    }

    /// The first row's `ts`, µs.
    pub fn first_ts(&self) -> i64 {
        match self {
            Self::Log(probe, _) => probe.first_ts,
            Self::Parquet(file) => file.first_ts,
        }
    }

    /// How late lines may come in this file, µs.
    pub fn lateness_us(&self) -> i64 {
        let Self::Log(probe, options) = self else { return 0 };
        let lateness = options.lateness.unwrap_or(probe.default_lateness);
        i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX)
    }

    /// Opens it at its beginning.
    pub(super) fn open(&self) -> Result<Reader, String> {
        match self {
            Self::Log(probe, options) => {
                LogReader::open(probe, options, Mode::Once).map(|r| Reader::Log(Box::new(r))).map_err(|e| e.to_string())
            }
            Self::Parquet(file) => ParquetReader::open(file).map(Reader::Parquet).map_err(|e| e.to_string()),
        }
    }
}

/// An open file.
pub(super) enum Reader {
    /// A log.
    Log(Box<LogReader>),
    /// Parquet.
    Parquet(ParquetReader),
}

impl Reader {
    /// A way to read the rows of a batch again.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Log(reader) => Origin::Log(reader.reread()),
            Self::Parquet(reader) => Origin::Parquet(reader.file.clone()),
        }
    }

    /// The next rows; `None` at the end. After an error the file has ended.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        match self {
            Self::Log(reader) => reader.next_batch().map_err(|e| e.to_string()),
            Self::Parquet(reader) => reader.next_batch().map_err(|e| e.to_string()),
        }
    }

    pub(super) fn lateness_us(&self) -> i64 {
        match self {
            Self::Log(reader) => reader.lateness_us(),
            Self::Parquet(_) => 0,
        }
    }

    /// The newest `ts` so far, µs.
    pub(super) fn newest_ts(&self) -> Option<i64> {
        match self {
            Self::Log(reader) => reader.newest_ts(),
            Self::Parquet(reader) => reader.newest,
        }
    }

    /// Bytes on disk read so far.
    pub(super) fn consumed(&self) -> u64 {
        match self {
            Self::Log(reader) => reader.consumed(),
            Self::Parquet(reader) => reader.consumed(),
        }
    }
}

/// Reads Parquet whose rows are in the order of `ts`.
pub(super) struct ParquetReader {
    file: ParquetFile,
    rows: RequestRows,
    read: u64,
    newest: Option<i64>,
}

impl ParquetReader {
    fn open(file: &ParquetFile) -> Result<Self, ReadError> {
        Ok(Self { rows: file.open()?, file: file.clone(), read: 0, newest: None })
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        let Some(rows) = self.rows.next() else { return Ok(None) };
        let rows = rows.map_err(|e| self.file.damaged(e))?;
        let (newest_before, before) = (self.newest, self.consumed());
        self.check_order(&rows)?;
        let n = rows.num_rows() as u64;
        let offset = self.read;
        self.read += n;
        let bytes = self.consumed() - before;
        let counters = Counters::default();
        Ok(Some(Batch { rows, rejects: Vec::new(), offset, lines: n, bytes, newest_before, counters }))
    }

    /// Rows out of order would look late, and be left out: better not begin.
    fn check_order(&mut self, rows: &RecordBatch) -> Result<(), ReadError> {
        let ts = rows.column(TS).as_primitive::<TimestampMicrosecondType>().values();
        let in_order = ts.is_sorted() && self.newest.is_none_or(|newest| ts.first().is_none_or(|&ts| newest <= ts));
        if !in_order {
            let what = format!("its rows are not in the order of ts (after row {})", self.read);
            return Err(ReadError::NotRequests { path: self.file.path.clone(), what });
        }
        self.newest = ts.last().copied().or(self.newest);
        Ok(())
    }

    /// What of the file's size falls to the rows read.
    fn consumed(&self) -> u64 {
        let share = u128::from(self.file.size) * u128::from(self.read) / u128::from(self.file.rows.max(1));
        u64::try_from(share).unwrap_or(self.file.size)
    }
}
