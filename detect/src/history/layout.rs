//! Where the files of a history lie: `date=2026-03-02/hour=07/requests-00000017.parquet`, which DuckDB, pandas and Spark take
//! for columns `date` and `hour`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::durable;

const HOUR_US: i64 = 3_600_000_000;
const PREFIX: &str = "requests-";
const SUFFIX: &str = ".parquet";
const HIDDEN_SUFFIX: &str = ".parquet.tmp";

/// An hour of event time, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour of an instant, µs.
    pub fn of(ts: i64) -> Self {
        Self(ts.div_euclid(HOUR_US))
    }

    /// Its first instant, µs.
    pub fn start(self) -> i64 {
        self.0.saturating_mul(HOUR_US)
    }

    /// The first instant after it, µs.
    pub fn end(self) -> i64 {
        self.start().saturating_add(HOUR_US)
    }

    /// Its folder in a history.
    pub fn folder(self) -> String {
        let start = Timestamp::from_microsecond(self.start()).unwrap_or(Timestamp::MAX);
        start.strftime("date=%Y-%m-%d/hour=%H").to_string()
    }
}

/// The place of one file, under its name and under the one that it has until it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// What hour its rows are of.
    pub hour: Hour,
    /// Unique in the history, ascending.
    pub number: u64,
}

impl FileName {
    /// Where readers find it.
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.hour.folder()).join(format!("{PREFIX}{:08}{SUFFIX}", self.number))
    }

    /// Where it is until it is committed. The name begins with a dot: DuckDB's globs, pandas and [`is_hidden`] pass over it.
    pub fn hidden_path(self, dir: &Path) -> PathBuf {
        dir.join(self.hour.folder()).join(format!(".{PREFIX}{:08}{HIDDEN_SUFFIX}", self.number))
    }
}

/// Whether a file is one that is being written.
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str());
    name.is_some_and(|n| n.starts_with(&format!(".{PREFIX}")) && n.ends_with(HIDDEN_SUFFIX))
}

/// All files in `dir` that have such a name, hidden or not. Whatever else lies there is somebody else's.
pub fn files_in(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for date in folders(dir, "date=")? {
        for hour in folders(&date, "hour=")? {
            for entry in fs::read_dir(&hour)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                if is_hidden(&path) || (name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
                    found.insert(path);
                }
            }
        }
    }
    Ok(found)
}

fn folders(dir: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Gives a committed file its name. One that has it already is done.
pub fn reveal(name: FileName, dir: &Path) -> io::Result<()> {
    durable::reveal(&name.hidden_path(dir), &name.path(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_after_the_hour() {
        let ts: Timestamp = "2026-03-02T07:59:59.999999Z".parse().unwrap();
        let hour = Hour::of(ts.as_microsecond());
        assert_eq!(hour.folder(), "date=2026-03-02/hour=07");
        assert_eq!(hour.end(), ts.as_microsecond() + 1);
        assert_eq!(Hour::of(-1).folder(), "date=1969-12-31/hour=23");
        // Nothing that a clock can say makes it fail.
        for ts in [i64::MIN, i64::MAX] {
            assert!(Hour::of(ts).folder().starts_with("date="));
        }
    }
}
