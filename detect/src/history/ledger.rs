//! What a history consists of, as the state's transaction knows it. Rows of the checkpoint: `file/N` for a file, `spill/N` for
//! rows that wait to be written into one, `next` for the next number, `dir` for where the files are.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tripline_alert::CheckpointRow;

use super::error::HistoryError;
use super::layout::{FileName, Hour};

/// A file that belongs to the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// What hour its rows are of.
    pub hour: Hour,
    /// Its rows.
    pub rows: u64,
    /// Its bytes on disk.
    pub bytes: u64,
}

/// Rows of one hour and one epoch.
#[derive(Debug, Clone)]
pub struct Spill {
    /// What hour they are of.
    pub hour: Hour,
    /// How many they are.
    pub rows: u64,
    /// The rows, as Parquet.
    pub parquet: Bytes,
    /// Since when they wait.
    pub since: Instant,
}

/// One difference between two states of the ledger.
#[derive(Debug, Clone)]
pub enum Change {
    /// Rows begin to wait.
    AddSpill(u64, Spill),
    /// They are in a file, or too old.
    DropSpill(u64),
    /// A file belongs to the history.
    AddFile(u64, FileRecord),
    /// It does not any more.
    DropFile(u64),
}

/// Files and spills by number.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What readers see.
    pub files: BTreeMap<u64, FileRecord>,
    /// What they do not see yet.
    pub spills: BTreeMap<u64, Spill>,
    /// The next number.
    pub next: u64,
}

impl Ledger {
    /// From the checkpoint's rows. What is of another folder than `dir` stays there, and is none of ours any more: its keys are
    /// returned, to be deleted.
    pub fn load(rows: Vec<CheckpointRow>, dir: &Path, now: Instant) -> Result<(Self, Vec<Vec<u8>>), HistoryError> {
        let mut ledger = Self::default();
        let same_dir = rows.iter().any(|(key, value)| key == b"dir" && value == dir.as_os_str().as_bytes());
        let mut foreign = Vec::new();
        for (key, value) in rows {
            let damaged = || HistoryError::Ledger(String::from_utf8_lossy(&key).into_owned());
            let text = std::str::from_utf8(&key).map_err(|_| damaged())?;
            match text.split_once('/') {
                Some(("file", _)) if !same_dir => foreign.push(key.clone()),
                Some(("file", number)) => {
                    let record = serde_json::from_slice(&value).map_err(|_| damaged())?;
                    ledger.files.insert(number.parse().map_err(|_| damaged())?, record);
                }
                Some(("spill", number)) => {
                    let spill = Spill::decode(value, now).ok_or_else(damaged)?;
                    ledger.spills.insert(number.parse().map_err(|_| damaged())?, spill);
                }
                None if text == "next" => {
                    let number = std::str::from_utf8(&value).ok().and_then(|v| v.parse().ok());
                    ledger.next = number.ok_or_else(damaged)?;
                }
                _ => {}
            }
        }
        Ok((ledger, foreign))
    }

    /// A number that no file and no spill has.
    pub fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Does what was committed.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::AddSpill(number, spill) => drop(self.spills.insert(number, spill)),
            Change::DropSpill(number) => drop(self.spills.remove(&number)),
            Change::AddFile(number, record) => drop(self.files.insert(number, record)),
            Change::DropFile(number) => drop(self.files.remove(&number)),
        }
    }

    /// The name of a file.
    pub fn name(&self, number: u64) -> Option<FileName> {
        self.files.get(&number).map(|record| FileName { hour: record.hour, number })
    }

    /// The bytes that wait.
    pub fn spilled(&self) -> usize {
        self.spills.values().map(|s| s.parquet.len()).sum()
    }
}

impl Change {
    /// The checkpoint's row to write, if one is.
    pub fn put(&self) -> Option<CheckpointRow> {
        match self {
            Self::AddSpill(number, spill) => Some((spill_key(*number), spill.encode())),
            // A record has no keys but strings, so that it always serialises.
            Self::AddFile(number, record) => Some((file_key(*number), serde_json::to_vec(record).unwrap_or_default())),
            Self::DropSpill(_) | Self::DropFile(_) => None,
        }
    }

    /// The key of the checkpoint's row to delete, if one is.
    pub fn delete(&self) -> Option<Vec<u8>> {
        match self {
            Self::DropSpill(number) => Some(spill_key(*number)),
            Self::DropFile(number) => Some(file_key(*number)),
            Self::AddSpill(..) | Self::AddFile(..) => None,
        }
    }
}

fn file_key(number: u64) -> Vec<u8> {
    format!("file/{number:020}").into_bytes()
}

fn spill_key(number: u64) -> Vec<u8> {
    format!("spill/{number:020}").into_bytes()
}

impl Spill {
    fn encode(&self) -> Vec<u8> {
        [&self.hour.0.to_be_bytes()[..], &self.rows.to_be_bytes(), &self.parquet].concat()
    }

    fn decode(value: Vec<u8>, since: Instant) -> Option<Self> {
        let (hour, rest) = value.split_first_chunk::<8>()?;
        let (rows, _) = rest.split_first_chunk::<8>()?;
        let (hour, rows) = (Hour(i64::from_be_bytes(*hour)), u64::from_be_bytes(*rows));
        Some(Self { hour, rows, parquet: Bytes::from(value).slice(16..), since })
    }
}
