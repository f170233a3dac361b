//! One pass over log files: read, detect, and hand each closed window's findings on.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::{DataFusionError, Result};
use tokio::task::JoinError;
use tripline_alert::Finding;

use crate::engine::{Engine, FileRows, Found, Prepared, PreparedRows, Trouble};
use crate::evidence::Collector;
use crate::exceptions::Exceptions;
use crate::finding::findings;
use crate::input::{Chunk, Input, InputFile, Progress, ReadSummary};
use crate::jump::Jumps;
use crate::late::{self, LateCounts};

/// Rows that go through the rules at a time: enough that starting the work costs nothing, few enough that what is on its way takes
/// little memory.
const CHUNK_ROWS: usize = 16 * 1024;

/// The part of the log to look at, µs; both ends may be open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// Inclusive.
    pub since: Option<i64>,
    /// Exclusive.
    pub until: Option<i64>,
}

/// What a scan did.
#[derive(Debug)]
pub struct ScanSummary {
    /// What was read.
    pub read: ReadSummary,
    /// Rows that came too late for at least one window.
    pub late_rows: u64,
    /// The same by source.
    pub late: LateCounts,
    /// What went wrong in single rules.
    pub troubles: Vec<Trouble>,
}

/// What a scan may do beside finding.
#[derive(Default)]
pub struct Extras<'a> {
    /// Receives each row that came too late for a window, as a line of JSON.
    pub late_line: Option<&'a mut dyn FnMut(String)>,
    /// Gives the findings that begin an alert some of their lines.
    pub evidence: Option<Collector>,
    /// Sees the engine each time it has taken in rows, when it holds most.
    pub watch: Option<&'a mut dyn FnMut(&Engine)>,
}

/// Scans `files`; `found` receives findings as they are settled or windows close, in the order of (window's end, rule, entity).
pub async fn scan(
    engine: &mut Engine,
    exceptions: &mut Exceptions,
    files: Vec<InputFile>,
    period: Period,
    progress: Arc<Progress>,
    extras: Extras<'_>,
    mut found: impl FnMut(Vec<Finding>),
) -> Result<ScanSummary> {
    let Extras { mut late_line, mut evidence, mut watch } = extras;
    // A finding is known when the watermark passes its window's end.
    let delay = files.iter().map(InputFile::lateness_us).max().unwrap_or(0);
    let reading =
        Reading { input: Input::new(files, progress), jumps: Jumps::default(), period, prepared: engine.preparer() };
    let windows = engine.windows();
    let mut late_counts = LateCounts::default();
    let mut next = tokio::spawn(reading.next());
    let reading = loop {
        let (reading, ready) = next.await.map_err(external)?;
        let Some(Ready { chunk, files, rows }) = ready? else { break reading };
        for file in &files {
            exceptions.count(&file.rows)?;
            let late = engine.late(file);
            late_counts.add(file, &late);
            if let Some(late_line) = &mut late_line {
                late::lines(file, &late, &windows).for_each(&mut **late_line);
            }
        }
        if let Some(evidence) = &mut evidence {
            chunk.blocks.into_iter().for_each(|block| evidence.add(Some(block)));
        }
        // What comes next is read when the stores have begun with what is at hand: it is not waited for before they are done.
        let begin = futures::future::lazy(|_| tokio::spawn(reading.next()));
        let (early, after) = futures::join!(engine.push_prepared(&files, rows), begin);
        next = after;
        for early in early? {
            found(period.findings(&early, delay, &mut evidence).await?);
        }
        if let Some(watch) = &mut watch {
            watch(engine);
        }
        for closed in engine.advance(chunk.watermark).await? {
            found(period.findings(&closed, delay, &mut evidence).await?);
        }
        if let Some(evidence) = &mut evidence {
            evidence.forget(engine.closed_to());
        }
    };
    for closed in engine.finish().await? {
        found(period.findings(&closed, delay, &mut evidence).await?);
    }
    let read = reading.end();
    Ok(ScanSummary { read, late_rows: engine.late_rows(), late: late_counts, troubles: engine.take_troubles() })
}

fn external(error: JoinError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Files that are read, chunk by chunk.
struct Reading {
    input: Input,
    jumps: Jumps,
    period: Period,
    prepared: Arc<Prepared>,
}

/// A chunk that is ready for the engine.
struct Ready {
    chunk: Chunk,
    files: Vec<FileRows>,
    rows: Vec<PreparedRows>,
}

impl Ready {
    async fn new(mut chunk: Chunk, period: Period, prepared: Arc<Prepared>) -> Result<Self> {
        let files = std::mem::take(&mut chunk.files);
        let files = files.into_iter().map(|file| period.cut(file)).collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        for file in &files {
            rows.push(prepared.rows(&file.rows).await?);
        }
        Ok(Self { chunk, files, rows })
    }
}

impl Reading {
    /// Reads the next chunk and makes it ready; `None` at the end of all files.
    async fn next(mut self) -> (Self, Result<Option<Ready>>) {
        let Self { input, jumps, .. } = &mut self;
        let ready = match input.next_chunk(CHUNK_ROWS, |batch, path| jumps.see(path, batch)) {
            Some(chunk) => Ready::new(chunk, self.period, Arc::clone(&self.prepared)).await.map(Some),
            None => Ok(None),
        };
        (self, ready)
    }

    fn end(self) -> ReadSummary {
        ReadSummary { warnings: self.jumps.warnings(), ..self.input.summary }
    }
}

impl Period {
    async fn findings(self, found: &Found, delay: i64, evidence: &mut Option<Collector>) -> Result<Vec<Finding>> {
        let Some(evidence) = evidence else { return findings(found, delay) };
        let known = found.early.map_or(i64::MAX, |ts| ts.saturating_add(1));
        let counts = self.since.unwrap_or(i64::MIN)..self.until.unwrap_or(i64::MAX).min(known);
        evidence.findings(found, delay, &counts).await
    }

    /// Leaves out the rows outside.
    fn cut(self, file: FileRows) -> Result<FileRows> {
        if self.since.is_none() && self.until.is_none() {
            return Ok(file);
        }
        let ts = file.rows.column(tripline_ingest::table::columns::TS).as_primitive::<TimestampMicrosecondType>();
        let inside = |ts: i64| self.since.is_none_or(|s| ts >= s) && self.until.is_none_or(|u| ts < u);
        let mask: BooleanArray = ts.values().iter().map(|&ts| Some(inside(ts))).collect();
        Ok(FileRows { rows: filter_record_batch(&file.rows, &mask)?, ..file })
    }
}
