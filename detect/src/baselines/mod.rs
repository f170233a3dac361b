//! What baselines have learnt, kept by `run` as Parquet in its state directory: a file for each closed window, for the next start
//! and for whoever wants to read it.
//!
//! Files are written and made durable before the transaction that lists them, and get their names after it (see
//! [`crate::durable`]), so that a baseline is as far as the positions in the logs, whenever the process is killed. What cannot hold any
//! more goes. A file that is damaged or gone costs the baseline what was in it, and is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use tripline_alert::{Checkpoint, CheckpointRow, StoreError};

use crate::durable;
use crate::engine::Engine;
use crate::engine::baseline::ClosedWindow;
use files::Name;

mod files;
#[cfg(test)]
mod tests;

/// The folder in the state directory.
pub const FOLDER: &str = "baselines";
/// How many times as many rows as there are keys a start may have to read.
const READ_AGAIN: u64 = 4;
/// So many rows are read quickly enough in any case.
const FEW_ROWS: u64 = 100_000;

/// The files of one state directory.
#[derive(Debug)]
pub struct Baselines {
    dir: PathBuf,
    listed: BTreeMap<Name, Record>,
    /// Keys of the checkpoint that mean nothing any more.
    leftovers: Vec<Vec<u8>>,
    /// Files that cannot be used, until a transaction does not list them any more.
    unusable: Vec<PathBuf>,
    /// So many rows a start may read in any case.
    few_rows: u64,
}

/// What the transaction says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    rows: u64,
    /// On disk.
    bytes: u64,
    /// When the last of its rows ceases to hold, µs.
    until: i64,
}

/// What to write in the transaction.
#[derive(Debug, Default)]
pub struct Step {
    /// Rows of the checkpoint.
    pub puts: Vec<CheckpointRow>,
    /// Keys of rows that go.
    pub deletes: Vec<Vec<u8>>,
    added: Vec<(Name, Record)>,
    dropped: Vec<Name>,
}

impl Baselines {
    /// Goes on with the files that the checkpoint lists, and removes what it does not list.
    pub fn open(state: &Path, checkpoint: Checkpoint) -> Result<Self, StoreError> {
        let dir = state.join(FOLDER);
        let wrap = |source| StoreError::File { path: dir.clone(), source };
        let mut found = files::files_in(&dir).map_err(wrap)?;
        let mut baselines = Self {
            dir: dir.clone(),
            listed: BTreeMap::new(),
            leftovers: Vec::new(),
            unusable: Vec::new(),
            few_rows: FEW_ROWS,
        };
        let lost = checkpoint.lost.into_iter().map(|row| (row.key, Vec::new()));
        for (key, value) in checkpoint.rows.into_iter().chain(lost) {
            if let (Some(name), Ok(record)) = (Name::from_key(&key), serde_json::from_slice(&value)) {
                baselines.listed.insert(name, record);
                continue;
            }
            let row = String::from_utf8_lossy(&key).escape_default().to_string();
            tracing::warn!(
                row,
                "a row of the state's list of the baselines' files is damaged; they go on without the file"
            );
            baselines.leftovers.push(key);
        }
        let mut gone = BTreeMap::new();
        for name in baselines.listed.keys() {
            let (path, hidden) = (name.path(&dir), name.hidden_path(&dir));
            found.remove(&path);
            if let Err(error) = durable::reveal(&hidden, &path) {
                gone.insert(name.clone(), format!("it is not there any more ({error})"));
            }
            found.remove(&hidden);
        }
        baselines.give_up(gone);
        for path in found {
            tracing::info!("{}: was not finished, or is not needed any more; removed", path.display());
            durable::remove(&path).map_err(wrap)?;
        }
        Ok(baselines)
    }

    /// Gives the engine's baselines what they knew.
    pub fn restore(&mut self, engine: &mut Engine) {
        let mut unusable = BTreeMap::new();
        let tables: BTreeSet<&String> = self.listed.keys().map(|name| &name.table).collect();
        for table in tables {
            let Some(schema) = engine.baseline_schema(table) else { continue };
            let mut give = |name: &Name| {
                let rows = files::read(&name.path(&self.dir), &schema);
                let given =
                    rows.and_then(|rows| engine.restore_baseline(table, name.end, &rows).map_err(|e| e.to_string()));
                given.map_err(|why| drop(unusable.insert(name.clone(), why))).is_ok()
            };
            let of_table = self.listed.keys().filter(|name| name.table == *table);
            let (whole, windows): (Vec<&Name>, Vec<&Name>) = of_table.partition(|name| name.newest);
            let known = whole.iter().rev().find(|name| give(name)).map_or(i64::MIN, |name| name.end);
            for name in windows.iter().filter(|name| name.end > known) {
                give(name);
            }
        }
        self.give_up(unusable);
        for (table, rows, bytes) in engine.baseline_sizes() {
            tracing::info!(table, rows, bytes, "what the baseline knows");
        }
    }

    /// What the transaction must write so that what `engine` has closed is kept. Writes the files; after an error the same call can
    /// be made again.
    pub fn prepare(&self, closed: &[ClosedWindow], engine: &Engine) -> Result<Step, StoreError> {
        let seen_from = engine.baselines_seen_from();
        let mut step = Step { deletes: self.leftovers.clone(), ..Step::default() };
        for window in closed.iter().filter(|window| window.until > seen_from) {
            let name = Name { table: window.table.clone(), end: window.end, newest: false };
            self.write(&mut step, name, window.until, std::slice::from_ref(&window.rows))?;
        }
        let tables: BTreeSet<&String> = closed.iter().map(|window| &window.table).collect();
        for table in tables {
            if let Some((end, age)) = self.is_long(table, &step)
                && let Ok(Some((newest, rows))) = engine.settled_baseline(table)
                && newest > end
            {
                let name = Name { table: table.clone(), end: newest, newest: true };
                self.write(&mut step, name, newest.saturating_add(age), &rows)?;
            }
        }
        let newest: BTreeMap<&String, i64> =
            step.added.iter().filter(|(name, _)| name.newest).map(|(name, _)| (&name.table, name.end)).collect();
        let goes = |(name, record): &(&Name, &Record)| {
            record.until <= seen_from || (name.newest && newest.get(&name.table).is_some_and(|&end| name.end < end))
        };
        step.dropped = self.listed.iter().filter(goes).map(|(name, _)| name.clone()).collect();
        step.deletes.extend(step.dropped.iter().map(Name::key));
        Ok(step)
    }

    /// The transaction is done: readers may see what it lists.
    pub fn committed(&mut self, step: Step) {
        self.leftovers.clear();
        let mut outcome = Ok(());
        for (name, record) in step.added {
            outcome = outcome.and(durable::reveal(&name.hidden_path(&self.dir), &name.path(&self.dir)));
            self.listed.insert(name, record);
        }
        for path in self.unusable.drain(..) {
            outcome = outcome.and(durable::remove(&path));
        }
        for name in step.dropped {
            outcome = outcome.and(durable::remove(&name.path(&self.dir)));
            self.listed.remove(&name);
        }
        if let Err(error) = outcome {
            // The next start does it, from what is listed.
            tracing::warn!("{}: {error}; the baselines' files are put in order at the next start", self.dir.display());
        }
    }

    /// If a start had to read many rows of this baseline: the end of the newest window that it could spare, and how long rows hold.
    fn is_long(&self, table: &String, step: &Step) -> Option<(i64, i64)> {
        let added = step.added.iter().map(|(name, record)| (name, record));
        let files = || self.listed.iter().chain(added.clone()).filter(|(name, _)| name.table == *table);
        let whole = files().filter(|(name, _)| name.newest).map(|(name, record)| (name.end, record.rows)).max();
        let (end, keys) = whole.unwrap_or((i64::MIN, 0));
        let since =
            files().filter(|(name, _)| !name.newest && name.end > end).map(|(_, record)| record.rows).sum::<u64>();
        let age = files().map(|(name, record)| record.until.saturating_sub(name.end)).max()?;
        (since > self.few_rows.max(keys.saturating_mul(READ_AGAIN))).then_some((end, age))
    }

    fn write(&self, step: &mut Step, name: Name, until: i64, rows: &[RecordBatch]) -> Result<(), StoreError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let parquet = match files::encode(&first.schema(), rows) {
            Ok(parquet) => parquet,
            Err(error) => {
                tracing::warn!(
                    "the baseline {} cannot be kept and starts afresh with the next start: {error}",
                    name.table
                );
                return Ok(());
            }
        };
        let path = name.hidden_path(&self.dir);
        files::write(&path, &parquet).map_err(|source| StoreError::File { path, source })?;
        let rows = rows.iter().map(|rows| rows.num_rows() as u64).sum();
        let record = Record { rows, bytes: parquet.len() as u64, until };
        // A record has no keys but strings, so that it always serialises.
        step.puts.push((name.key(), serde_json::to_vec(&record).unwrap_or_default()));
        step.added.push((name, record));
        Ok(())
    }

    /// Goes on without these files, for the reasons given.
    fn give_up(&mut self, files: BTreeMap<Name, String>) {
        for (name, why) in files {
            let path = name.path(&self.dir);
            if name.newest {
                tracing::warn!(
                    "{}: {why}; the baseline {} is read window by window instead",
                    path.display(),
                    name.table
                );
            } else {
                tracing::warn!("{}: {why}; the baseline {} goes on without its rows", path.display(), name.table);
            }
            self.leftovers.push(name.key());
            self.unusable.push(path);
            self.listed.remove(&name);
        }
    }
}
