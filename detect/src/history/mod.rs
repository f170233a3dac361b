//! The history: the rows of `requests` that `run` has read, as Parquet by hour of event time.
//!
//! The way of a row, and why each is in the history once, whenever the process is killed:
//!
//! 1. [`History::add`] sorts an epoch's rows by hour; [`History::prepare`] makes *spills* of them, which are committed in the
//!    transaction that also says how far the logs were read ([`ledger`]).
//! 2. A thread of its own makes files of spills, and one file of many when an hour is over ([`merge`]; [`upkeep`] says what is due).
//!    A file is [hidden](layout::FileName::hidden_path) and durable before the next transaction lists it in the place of what went
//!    into it.
//! 3. [`History::committed`] gives it its name and removes what it replaces. If the process is killed before, [`History::open`] does
//!    that: it reveals what is listed, and removes what is not.
//!
//! So what the folder shows is at any time what some transaction listed, but for the instant between two system calls in
//! which a merged file and its parts are both there. [`read`] reads such files wherever logs are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use tripline_alert::CheckpointRow;
use tripline_ingest::table::columns::TS;

use crate::config;
use crate::durable;
use ledger::{Change, FileRecord, Ledger, Spill};
use upkeep::Job;

mod error;
mod layout;
mod ledger;
mod merge;
pub mod read;
mod upkeep;
mod write;

pub use error::HistoryError;
pub use layout::{FileName, Hour, is_hidden};

/// Bytes of spills at which reading waits for the thread that writes files.
const BUSY: usize = 64 << 20;
/// Bytes of spills that may wait for a file system that refuses.
const MAX_SPILLED: usize = 256 << 20;
/// After a failure, when to try again.
const RETRY: Duration = Duration::from_secs(30);

/// The history of one state directory.
pub struct History {
    dir: PathBuf,
    keep: i64,
    max_bytes: u64,
    ledger: Ledger,
    /// Rows of the epoch at hand.
    pending: BTreeMap<Hour, Vec<RecordBatch>>,
    worker: Option<Worker>,
    /// A file that is written and not listed yet.
    finished: Option<Finished>,
    /// What went wrong last, and when.
    trouble: Option<(String, Instant)>,
    /// Keys of the checkpoint that mean nothing any more.
    leftovers: Vec<Vec<u8>>,
    /// Hours that end at or before it are over, µs.
    settled: i64,
}

/// What to write in the transaction.
#[derive(Debug, Default)]
pub struct Step {
    /// Rows of the checkpoint.
    pub puts: Vec<CheckpointRow>,
    /// Keys of rows that go.
    pub deletes: Vec<Vec<u8>>,
    changes: Vec<Change>,
}

struct Worker {
    job: Job,
    number: u64,
    done: Receiver<Result<merge::Written, HistoryError>>,
}

#[derive(Clone)]
struct Finished {
    job: Job,
    number: u64,
    record: FileRecord,
}

impl History {
    /// Goes on with the history that the checkpoint's rows describe. `None` if the config wants none.
    pub fn open(
        config: &config::History,
        rows: Vec<CheckpointRow>,
        now: Instant,
    ) -> Result<Option<Self>, HistoryError> {
        let Some(dir) = config.dir.clone() else { return Ok(None) };
        let io = |error| HistoryError::Io { path: dir.clone(), error };
        durable::create_folder(&dir).map_err(io)?;
        let (mut ledger, mut leftovers) = Ledger::load(rows, &dir, now)?;
        let found = layout::files_in(&dir).map_err(io)?;
        if ledger.files.is_empty() && ledger.next == 0 {
            refuse_foreign(&dir, &found)?;
        }
        if !leftovers.is_empty() {
            refuse_foreign(&dir, &found)?;
            tracing::info!("the history goes on in {}; what was kept before stays where it is", dir.display());
        }
        leftovers.extend(tidy(&dir, &mut ledger, &found)?);
        let bytes: u64 = ledger.files.values().map(|f| f.bytes).sum();
        tracing::info!(files = ledger.files.len(), bytes, dir = %dir.display(), "keeping a history");
        Ok(Some(Self {
            dir,
            keep: config.keep,
            max_bytes: config.max_bytes,
            ledger,
            pending: BTreeMap::new(),
            worker: None,
            finished: None,
            trouble: None,
            leftovers,
            settled: i64::MIN,
        }))
    }

    /// Takes in rows of the epoch at hand.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), HistoryError> {
        let ts = rows.column(TS).as_primitive::<TimestampMicrosecondType>().values();
        let hours: BTreeSet<Hour> = ts.iter().map(|&ts| Hour::of(ts)).collect();
        for &hour in &hours {
            let part = if hours.len() == 1 {
                rows.clone()
            } else {
                let mask: BooleanArray = ts.iter().map(|&ts| Some(Hour::of(ts) == hour)).collect();
                filter_record_batch(rows, &mask).map_err(HistoryError::Spill)?
            };
            self.pending.entry(hour).or_default().push(part);
        }
        Ok(())
    }

    /// What the epoch's transaction must write so that the rows added are kept. `watermark`: event time has come this far, µs;
    /// `wall`: the wall clock, µs. If the transaction fails, the next call says the same again.
    pub fn prepare(&mut self, watermark: i64, wall: i64, now: Instant) -> Result<Step, HistoryError> {
        // A line from a clock that is off must not make hours old that are not.
        self.settled = watermark.min(wall);
        if self.ledger.spilled() > BUSY {
            self.wait(now);
        }
        self.look_at_worker(now);
        if let (Some((last, _)), held @ MAX_SPILLED..) = (&self.trouble, self.ledger.spilled()) {
            return Err(HistoryError::Stuck { held, last: last.clone() });
        }
        let mut changes = self.spills(now)?;
        match self.finished.clone() {
            Some(finished) => changes.extend(finished.changes()),
            None => changes.extend(self.expire()),
        }
        let mut step = Step::default();
        if !changes.is_empty() || !self.leftovers.is_empty() {
            step.puts.push((b"next".to_vec(), self.ledger.next.to_string().into_bytes()));
            step.puts.push((b"dir".to_vec(), self.dir.as_os_str().as_encoded_bytes().to_vec()));
        }
        step.puts.extend(changes.iter().filter_map(Change::put));
        step.deletes.extend(self.leftovers.iter().cloned().chain(changes.iter().filter_map(Change::delete)));
        step.changes = changes;
        Ok(step)
    }

    /// The transaction is done: readers may see what it lists.
    pub fn committed(&mut self, step: Step, now: Instant) {
        self.pending.clear();
        self.leftovers.clear();
        self.finished = None;
        for change in step.changes {
            let outcome = match &change {
                Change::AddFile(number, record) => {
                    layout::reveal(FileName { hour: record.hour, number: *number }, &self.dir)
                }
                Change::DropFile(number) => {
                    self.ledger.name(*number).map_or(Ok(()), |name| durable::remove(&name.path(&self.dir)))
                }
                Change::AddSpill(..) | Change::DropSpill(_) => Ok(()),
            };
            if let Err(error) = outcome {
                // The next start does it, from what is listed.
                tracing::warn!("{}: {error}; the history is put in order at the next start", self.dir.display());
            }
            self.ledger.apply(change);
        }
        self.work(now, false);
    }

    /// Makes a file of rows that wait, if any do: for the end of a run. True: [`Self::prepare`] has something to commit.
    pub fn flush(&mut self, now: Instant) -> bool {
        if self.worker.is_none() {
            self.work(now, true);
        }
        self.wait(now);
        self.finished.is_some()
    }

    /// The pending rows as spills. Those that are too old to be kept are told of.
    fn spills(&mut self, now: Instant) -> Result<Vec<Change>, HistoryError> {
        let mut changes = Vec::new();
        let mut too_old = 0;
        for (&hour, batches) in &self.pending {
            if upkeep::is_expired(hour, self.settled, self.keep) {
                too_old += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
                continue;
            }
            let rows = concat_batches(&tripline_ingest::schema(), batches).and_then(|rows| write::sorted(&rows));
            let rows = rows.map_err(HistoryError::Spill)?;
            let parquet = write::to_bytes(&rows).map_err(|e| HistoryError::Spill(e.into()))?;
            let (rows, parquet) = (rows.num_rows() as u64, Bytes::from(parquet));
            changes.push(Change::AddSpill(self.ledger.take_number(), Spill { hour, rows, parquet, since: now }));
        }
        if too_old > 0 {
            tracing::info!(rows = too_old, "older than the history keeps: not in it");
        }
        Ok(changes)
    }

    /// Hours that have to go.
    fn expire(&self) -> Vec<Change> {
        let busy = self.worker.as_ref().map(|w| w.job.hour);
        let expired = upkeep::expired(&self.ledger, self.settled, self.keep, self.max_bytes);
        for (hours, why) in
            [(&expired.old, "older than `keep`"), (&expired.too_much, "all together more than `max_bytes`")]
        {
            if let (Some(first), Some(last)) = (hours.first(), hours.last()) {
                tracing::info!(hours = hours.len(), "history: {} to {} go: {why}", first.folder(), last.folder());
            }
        }
        let goes = |hour: Hour| Some(hour) != busy && (expired.old.contains(&hour) || expired.too_much.contains(&hour));
        let files = self.ledger.files.iter().filter(|(_, f)| goes(f.hour)).map(|(n, _)| Change::DropFile(*n));
        let old = |hour: Hour| Some(hour) != busy && upkeep::is_expired(hour, self.settled, self.keep);
        let spills = self.ledger.spills.iter().filter(|(_, s)| old(s.hour)).map(|(n, _)| Change::DropSpill(*n));
        files.chain(spills).collect()
    }

    /// Starts what is due, if nothing is under way.
    fn work(&mut self, now: Instant, all: bool) {
        let rests = self.trouble.as_ref().is_some_and(|(_, at)| now.saturating_duration_since(*at) < RETRY);
        if self.worker.is_some() || self.finished.is_some() || (rests && !all) {
            return;
        }
        let Some(job) = upkeep::next_job(&self.ledger, self.settled, now, all) else { return };
        let Some(inputs) = job.inputs(&self.ledger, &self.dir) else { return };
        let number = self.ledger.take_number();
        let (name, dir) = (FileName { hour: job.hour, number }, self.dir.clone());
        let (tell, done) = channel();
        std::thread::spawn(move || {
            // Nobody listens any more if the process is about to end.
            let _ = tell.send(merge::merge(&inputs, &dir, name));
        });
        self.worker = Some(Worker { job, number, done });
    }

    /// Waits for what is under way.
    fn wait(&mut self, now: Instant) {
        if let Some(worker) = self.worker.take() {
            let outcome = worker.done.recv().unwrap_or_else(|_| Err(ended_early(&self.dir)));
            self.conclude(worker, outcome, now);
        }
    }

    fn look_at_worker(&mut self, now: Instant) {
        let Some(worker) = self.worker.take() else { return };
        match worker.done.try_recv() {
            Err(TryRecvError::Empty) => self.worker = Some(worker),
            Err(TryRecvError::Disconnected) => self.conclude(worker, Err(ended_early(&self.dir)), now),
            Ok(outcome) => self.conclude(worker, outcome, now),
        }
    }

    fn conclude(&mut self, worker: Worker, outcome: Result<merge::Written, HistoryError>, now: Instant) {
        let Worker { job, number, .. } = worker;
        match outcome {
            Ok(written) => {
                self.trouble = None;
                let record = FileRecord { hour: job.hour, rows: written.rows, bytes: written.bytes };
                self.finished = Some(Finished { job, number, record });
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref().is_none_or(|(last, _)| *last != text) {
                    tracing::warn!(
                        "{text}. The rows are kept in the state, and it is tried again every {} s",
                        RETRY.as_secs()
                    );
                }
                self.trouble = Some((text, now));
                // What there is of it may fill a disk that is full already.
                let _ = durable::remove(&FileName { hour: job.hour, number }.hidden_path(&self.dir));
            }
        }
    }
}

impl Finished {
    fn changes(self) -> impl Iterator<Item = Change> {
        let spills = self.job.spills.into_iter().map(Change::DropSpill);
        let files = self.job.files.into_iter().map(Change::DropFile);
        std::iter::once(Change::AddFile(self.number, self.record)).chain(spills).chain(files)
    }
}

fn ended_early(dir: &Path) -> HistoryError {
    HistoryError::Io { path: dir.to_owned(), error: std::io::Error::other("the thread that writes the history failed") }
}

fn refuse_foreign(dir: &Path, found: &BTreeSet<PathBuf>) -> Result<(), HistoryError> {
    let shown: Vec<&PathBuf> = found.iter().filter(|path| !is_hidden(path)).collect();
    let Some(example) = shown.first() else { return Ok(()) };
    Err(HistoryError::Foreign { dir: dir.to_owned(), files: shown.len(), example: (*example).clone() })
}

/// Makes the folder what the ledger says. Returns the keys of files that are gone.
fn tidy(dir: &Path, ledger: &mut Ledger, found: &BTreeSet<PathBuf>) -> Result<Vec<Vec<u8>>, HistoryError> {
    let mut lost = Vec::new();
    let mut listed = BTreeSet::new();
    for (&number, record) in &ledger.files {
        let name = FileName { hour: record.hour, number };
        listed.insert(name.path(dir));
        if found.contains(&name.path(dir)) {
            continue;
        }
        match layout::reveal(name, dir) {
            Ok(()) => drop(listed.insert(name.hidden_path(dir))),
            Err(error) => {
                tracing::warn!(
                    "{}: is not there any more ({error}); the history goes on without it",
                    name.path(dir).display()
                );
                lost.push(number);
            }
        }
    }
    for path in found.difference(&listed) {
        tracing::info!("{}: was not finished or is replaced; removed", path.display());
        durable::remove(path).map_err(|error| HistoryError::Io { path: path.clone(), error })?;
    }
    let gone: Vec<Change> = lost.into_iter().map(Change::DropFile).collect();
    let keys = gone.iter().filter_map(Change::delete).collect();
    for change in gone {
        ledger.apply(change);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
