//! Many files as one input in event-time order: the file that is furthest behind is read next.
//!
//! A file is a log or Parquet ([`InputFile`]). Rows of a history were judged when they were logged, so that of Parquet no row is
//! late: where a log had late rows, its history counts them and the log did not.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tripline_ingest::{Counters, Reject, RejectReason, SourceOptions};

use crate::engine::FileRows;
use crate::evidence::Block;
use crate::history;
use file::Reader;

mod file;

pub use file::InputFile;

/// A file or pattern that cannot be used.
#[derive(Debug, Clone)]
pub struct Unusable {
    /// Which.
    pub path: PathBuf,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Unusable {
    /// Whether the user asked for this very file. One that was only met in a directory is passed over with a warning.
    pub fn is_named_in(&self, paths: &[String]) -> bool {
        paths.iter().any(|path| std::path::Path::new(path) == self.path)
    }
}

/// Finds and probes the files that `patterns` (files, directories, globs) name, each with its source's settings.
pub fn find_files(patterns: &[(String, SourceOptions)]) -> (Vec<InputFile>, Vec<Unusable>) {
    let mut files: BTreeMap<PathBuf, InputFile> = BTreeMap::new();
    let mut problems = Vec::new();
    for (pattern, options) in patterns {
        let found = tripline_ingest::discover(pattern);
        problems.extend(found.problems.iter().map(|p| Unusable { path: p.path.clone(), message: p.to_string() }));
        for path in found.files {
            // A file that two patterns name is read once.
            // So is one that a history is still writing, by its name when it is done.
            if files.contains_key(&path) || history::is_hidden(&path) {
                continue;
            }
            match InputFile::probe(&path, options) {
                Ok(file) => drop(files.insert(path, file)),
                Err(message) => problems.push(Unusable { path, message }),
            }
        }
    }
    (files.into_values().collect(), problems)
}

/// What has been read so far. Shared with whoever shows progress.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes on disk.
    pub bytes: AtomicU64,
    /// Lines, rejects included.
    pub lines: AtomicU64,
}

/// What was read, in the end.
#[derive(Debug, Default)]
pub struct ReadSummary {
    /// Files by format.
    pub formats: BTreeMap<String, u64>,
    /// Lines, rejects included.
    pub lines: u64,
    /// Rows of `requests`.
    pub rows: u64,
    /// Decompressed bytes.
    pub bytes: u64,
    /// Lines that are no requests, by reason.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// The first few of them, with their file.
    pub samples: Vec<(PathBuf, Reject)>,
    /// Bytes and lines that were changed or cut.
    pub counters: Counters,
    /// Files that could not be read to their end.
    pub problems: Vec<String>,
    /// Files that were read, but look as if something is wrong.
    pub warnings: Vec<String>,
}

/// Rejected lines kept for showing.
const SAMPLES: usize = 10;

/// Rows of several files, and how far event time has come with them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// In reading order.
    pub files: Vec<FileRows>,
    /// All windows that end at or before it can be closed, µs.
    pub watermark: i64,
    /// Where the rows came from.
    pub blocks: Vec<Block>,
}

/// Reads files in event-time order.
pub struct Input {
    /// Not yet opened, by their first `ts`.
    waiting: BinaryHeap<Reverse<Waiting>>,
    open: Vec<Open>,
    progress: Arc<Progress>,
    /// What was read so far.
    pub summary: ReadSummary,
}

struct Waiting {
    first_ts: i64,
    number: usize,
    file: InputFile,
}

struct Open {
    reader: Reader,
    path: PathBuf,
    /// Where the file is in event time: its newest row, or its first while none was read.
    position: i64,
    consumed: u64,
    format: String,
    lines: u64,
    rejected: u64,
}

/// A file has lines of other kinds (errors, what a restart writes); more than so many, and one in so many, are no accident.
const ODD: u64 = 10;
const ODD_ONE_IN: u64 = 10;

impl Open {
    /// What to say of a file of which much is not read.
    fn warning(&self) -> Option<String> {
        let path = self.path.display();
        (self.rejected > ODD && self.rejected * ODD_ONE_IN > self.lines).then(|| {
            format!(
                "{path}: {} of {} lines are no requests in its format, {}; `tripline formats detect {path}` says more",
                self.rejected, self.lines, self.format
            )
        })
    }
}

impl Input {
    /// Over `files`; `progress` is kept up to date while reading.
    pub fn new(files: Vec<InputFile>, progress: Arc<Progress>) -> Self {
        let waiting = files
            .into_iter()
            .enumerate()
            .map(|(number, file)| Reverse(Waiting { first_ts: file.first_ts(), number, file }));
        Self { waiting: waiting.collect(), open: Vec::new(), progress, summary: ReadSummary::default() }
    }

    /// About `rows` more rows; `None` at the end of all files. `each` sees every batch as it is read.
    pub fn next_chunk(
        &mut self,
        rows: usize,
        mut each: impl FnMut(&tripline_ingest::Batch, &std::path::Path),
    ) -> Option<Chunk> {
        let (mut files, mut blocks) = (Vec::new(), Vec::new());
        let mut taken = 0;
        while taken < rows {
            self.open_due();
            let Some(next) = (0..self.open.len()).min_by_key(|&i| self.open[i].position) else { break };
            let open = &mut self.open[next];
            let lateness = open.reader.lateness_us();
            let result = open.reader.next_batch();
            let consumed = open.reader.consumed();
            self.progress.bytes.fetch_add(consumed.saturating_sub(open.consumed), Relaxed);
            open.consumed = consumed;
            match result {
                Ok(Some(batch)) => {
                    open.position = open.reader.newest_ts().unwrap_or(open.position);
                    open.lines += batch.lines;
                    open.rejected += batch.rejects.len() as u64;
                    each(&batch, &open.path);
                    self.summary.add(&batch, &open.path);
                    self.progress.lines.fetch_add(batch.lines, Relaxed);
                    taken += batch.rows.num_rows();
                    let name = open.path.to_string_lossy();
                    blocks.extend(Block::of(&name, open.reader.origin(), &batch, lateness));
                    files.push(FileRows { rows: batch.rows, newest_before: batch.newest_before, lateness });
                }
                Ok(None) => self.summary.warnings.extend(self.open.swap_remove(next).warning()),
                Err(e) => {
                    self.summary.problems.push(e);
                    self.open.swap_remove(next);
                }
            }
        }
        self.open_due();
        let at_end = self.open.is_empty() && files.is_empty();
        (!at_end).then(|| Chunk { files, watermark: self.watermark(), blocks })
    }

    /// Opens every waiting file that is not ahead of the open ones.
    fn open_due(&mut self) {
        loop {
            let behind = self.open.iter().map(|o| o.position).min();
            match self.waiting.peek() {
                Some(Reverse(next)) if behind.is_none_or(|b| next.first_ts <= b) => {}
                _ => return,
            }
            let Some(Reverse(Waiting { first_ts, file, .. })) = self.waiting.pop() else { return };
            match file.open() {
                Ok(reader) => {
                    *self.summary.formats.entry(file.format().to_owned()).or_default() += 1;
                    let (path, format) = (file.path().to_owned(), file.format().to_owned());
                    self.open.push(Open {
                        reader,
                        path,
                        position: first_ts,
                        consumed: 0,
                        format,
                        lines: 0,
                        rejected: 0,
                    });
                }
                Err(e) => self.summary.problems.push(e),
            }
        }
    }

    /// The least over the files that have lines left.
    fn watermark(&self) -> i64 {
        let open = self.open.iter().map(|o| o.position.saturating_sub(o.reader.lateness_us()));
        let waiting = self.waiting.iter().map(|Reverse(w)| w.first_ts.saturating_sub(w.file.lateness_us()));
        open.chain(waiting).min().unwrap_or(i64::MAX)
    }
}

impl ReadSummary {
    fn add(&mut self, batch: &tripline_ingest::Batch, path: &std::path::Path) {
        self.lines += batch.lines;
        self.rows += u64::try_from(batch.rows.num_rows()).unwrap_or(u64::MAX);
        self.bytes += batch.bytes;
        self.counters += batch.counters;
        for reject in &batch.rejects {
            *self.rejects.entry(reject.reason).or_default() += 1;
            if self.samples.len() < SAMPLES {
                self.samples.push((path.to_owned(), reject.clone()));
            }
        }
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.first_ts, self.number) == (other.first_ts, other.number)
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.first_ts, self.number).cmp(&(other.first_ts, other.number))
    }
}
