//! What to do next to a history's files: which rows and files become one, which hours go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use super::layout::Hour;
use super::ledger::Ledger;
use super::merge::Inputs;

/// Rows that are written without waiting for more.
const FLUSH_ROWS: u64 = super::write::ROW_GROUP as u64;
/// Rows wait at most this long until they are in a file.
const FLUSH_AFTER: Duration = Duration::from_mins(5);
/// Rows that are sorted in memory at a time.
const JOB_ROWS: u64 = 2 * FLUSH_ROWS;
/// Files that are merged at a time: each costs a batch and its decoders.
const MERGED_FILES: usize = 16;
/// Small files that a closed hour may have beside its large one.
const SMALL_FILES: usize = 8;

/// A file to be written, and what goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The rows' hour.
    pub hour: Hour,
    /// Spills, by number.
    pub spills: Vec<u64>,
    /// Files, by number.
    pub files: Vec<u64>,
}

impl Job {
    /// The rows themselves. `None` if the ledger does not know all of it any more.
    pub fn inputs(&self, ledger: &Ledger, dir: &Path) -> Option<Inputs> {
        let spills = self.spills.iter().map(|n| Some(ledger.spills.get(n)?.parquet.clone()));
        let files = self.files.iter().map(|n| Some(ledger.name(*n)?.path(dir)));
        Some(Inputs { spills: spills.collect::<Option<_>>()?, files: files.collect::<Option<_>>()? })
    }
}

/// What one hour consists of.
#[derive(Default)]
struct Parts {
    /// Number and rows.
    spills: Vec<(u64, u64)>,
    spilled_bytes: u64,
    oldest: Option<Instant>,
    /// Bytes and number.
    files: Vec<(u64, u64)>,
}

impl Parts {
    fn spilled_rows(&self) -> u64 {
        self.spills.iter().map(|(_, rows)| rows).sum()
    }

    /// Whether making one of all is worth reading and writing the largest again: then the work is at most some rewrites of each
    /// row, however late rows trickle in.
    fn worth_merging(&self) -> bool {
        let spilled = Some(self.spilled_bytes).filter(|b| *b > 0);
        let sizes: Vec<u64> = self.files.iter().map(|(bytes, _)| *bytes).chain(spilled).collect();
        let largest = sizes.iter().max().copied().unwrap_or(0);
        let rest = sizes.iter().sum::<u64>() - largest;
        sizes.len() > 1 && (rest * 8 >= largest || sizes.len() > SMALL_FILES)
    }
}

/// The next file to write. `settled`: hours that end at or before it are over, µs; `all`: nothing shall wait.
pub fn next_job(ledger: &Ledger, settled: i64, now: Instant, all: bool) -> Option<Job> {
    let mut hours: BTreeMap<Hour, Parts> = BTreeMap::new();
    for (number, spill) in &ledger.spills {
        let parts = hours.entry(spill.hour).or_default();
        parts.spills.push((*number, spill.rows));
        parts.spilled_bytes += spill.parquet.len() as u64;
        parts.oldest = parts.oldest.into_iter().chain([spill.since]).min();
    }
    for (number, file) in &ledger.files {
        hours.entry(file.hour).or_default().files.push((file.bytes, *number));
    }
    hours.into_iter().find_map(|(hour, mut parts)| {
        let over = hour.end() <= settled;
        let merge = over && parts.worth_merging();
        let waited = parts.oldest.is_some_and(|since| now.saturating_duration_since(since) >= FLUSH_AFTER);
        let due = parts.spilled_rows() >= FLUSH_ROWS || waited || all || (over && parts.files.is_empty());
        if !merge && (parts.spills.is_empty() || !due) {
            return None;
        }
        let mut rows = 0;
        let fits = |(number, more): &(u64, u64)| {
            rows += more;
            (rows <= JOB_ROWS || rows == *more).then_some(*number)
        };
        let spills = parts.spills.iter().map_while(fits).collect();
        parts.files.sort_unstable();
        let files = parts.files.iter().take(if merge { MERGED_FILES } else { 0 }).map(|(_, number)| *number).collect();
        Some(Job { hour, spills, files })
    })
}

/// The hours that have to go, oldest first, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// For their age.
    pub old: BTreeSet<Hour>,
    /// For the size of all files together.
    pub too_much: BTreeSet<Hour>,
}

/// Which hours go: those that ended more than `keep` µs before `settled`, then the oldest until the files of all take at most
/// `max_bytes`. The newest stays, whatever its size.
pub fn expired(ledger: &Ledger, settled: i64, keep: i64, max_bytes: u64) -> Expired {
    let mut sizes: BTreeMap<Hour, u64> = BTreeMap::new();
    for file in ledger.files.values() {
        *sizes.entry(file.hour).or_default() += file.bytes;
    }
    let mut total: u64 = sizes.values().sum();
    let newest = sizes.keys().next_back().copied();
    let mut expired = Expired::default();
    for (hour, bytes) in sizes {
        let is_old = is_expired(hour, settled, keep);
        if is_old {
            expired.old.insert(hour);
        } else if total > max_bytes && Some(hour) != newest {
            expired.too_much.insert(hour);
        } else {
            break;
        }
        total -= bytes;
    }
    expired
}

/// Whether an hour is too old to be kept.
pub fn is_expired(hour: Hour, settled: i64, keep: i64) -> bool {
    hour.end() <= settled.saturating_sub(keep)
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Change, FileRecord, Spill};
    use super::*;
    use bytes::Bytes;

    /// A ledger with files of (hour, bytes) and spills of (hour, rows).
    fn ledger(files: &[(i64, u64)], spills: &[(i64, u64)], since: Instant) -> Ledger {
        let mut ledger = Ledger::default();
        for &(hour, bytes) in files {
            let number = ledger.take_number();
            ledger.apply(Change::AddFile(number, FileRecord { hour: Hour(hour), rows: 1, bytes }));
        }
        for &(hour, rows) in spills {
            let number = ledger.take_number();
            let parquet = Bytes::from(vec![0; usize::try_from(rows).unwrap()]);
            ledger.apply(Change::AddSpill(number, Spill { hour: Hour(hour), rows, parquet, since }));
        }
        ledger
    }

    fn hours(hours: impl IntoIterator<Item = i64>) -> BTreeSet<Hour> {
        hours.into_iter().map(Hour).collect()
    }

    #[test]
    fn an_open_hour_waits_for_rows_or_time() {
        let now = Instant::now();
        let few = ledger(&[(5, 100)], &[(5, 10), (5, 20)], now);
        let open = Hour(5).end() - 1;
        assert_eq!(next_job(&few, open, now, false), None);
        let spills_only = Some(Job { hour: Hour(5), spills: vec![1, 2], files: vec![] });
        assert_eq!(next_job(&few, open, now + FLUSH_AFTER, false), spills_only);
        assert_eq!(next_job(&few, open, now, true), spills_only);
        let many = ledger(&[(5, 100)], &[(5, FLUSH_ROWS), (5, FLUSH_ROWS), (5, 1)], now);
        assert_eq!(next_job(&many, open, now, false), spills_only, "as many as fit into memory");
    }

    #[test]
    fn an_hour_that_is_over_becomes_one_file() {
        let now = Instant::now();
        let over = Hour(5).end();
        let parts = ledger(&[(5, 100), (5, 90), (6, 50)], &[(5, 10)], now);
        assert_eq!(next_job(&parts, over, now, false), Some(Job { hour: Hour(5), spills: vec![3], files: vec![1, 0] }));
        let one = ledger(&[(5, 100)], &[], now);
        assert_eq!(next_job(&one, over, now, true), None);
    }

    #[test]
    fn late_rows_do_not_rewrite_a_large_file_again_and_again() {
        let now = Instant::now();
        let over = Hour(5).end();
        let late = ledger(&[(5, 100_000)], &[(5, 10)], now);
        assert_eq!(next_job(&late, over, now, false), None);
        let flushed = next_job(&late, over, now + FLUSH_AFTER, false).unwrap();
        assert_eq!((flushed.spills, flushed.files), (vec![1], vec![]));
        let mut files = vec![(5, 100_000)];
        files.extend([(5, 10); SMALL_FILES]);
        assert_eq!(next_job(&ledger(&files, &[], now), over, now, false).unwrap().files.len(), SMALL_FILES + 1);
    }

    #[test]
    fn many_files_are_merged_some_at_a_time_until_there_is_one() {
        let now = Instant::now();
        let mut ledger = ledger(&[(5, 100); 100], &[], now);
        let mut jobs = 0;
        while let Some(job) = next_job(&ledger, Hour(5).end(), now, false) {
            assert!(job.files.len() <= MERGED_FILES);
            let bytes = job.files.iter().map(|n| ledger.files[n].bytes).sum();
            for number in &job.files {
                ledger.apply(Change::DropFile(*number));
            }
            let number = ledger.take_number();
            ledger.apply(Change::AddFile(number, FileRecord { hour: Hour(5), rows: 1, bytes }));
            jobs += 1;
        }
        assert_eq!(ledger.files.len(), 1);
        assert!(jobs < 10, "{jobs} jobs");
    }

    #[test]
    fn the_oldest_hours_go_first() {
        let now = Instant::now();
        let ledger = ledger(&[(1, 10), (1, 10), (2, 10), (3, 10), (4, 100)], &[], now);
        let (settled, hour) = (Hour(4).end(), 3_600_000_000);
        let none = Expired::default();
        assert_eq!(expired(&ledger, settled, 10 * hour, 1000), none);
        assert_eq!(expired(&ledger, settled, 3 * hour, 1000).old, hours([1]));
        assert_eq!(expired(&ledger, settled, 3 * hour - 1, 1000).old, hours([1]));
        assert_eq!(expired(&ledger, settled, 10 * hour, 120).too_much, hours([1]));
        assert_eq!(expired(&ledger, settled, 10 * hour, 119).too_much, hours([1, 2]));
        // The newest is what somebody wants to see now.
        assert_eq!(expired(&ledger, settled, 10 * hour, 1).too_much, hours([1, 2, 3]));
        assert_eq!(expired(&ledger, i64::MIN, 0, 1000), none);
    }
}
