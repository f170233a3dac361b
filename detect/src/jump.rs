//! A line dated far ahead of those around it makes all that follow in its file late: told, where nobody knows what time it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use tripline_ingest::Batch;
use tripline_ingest::table::columns;

use crate::health::{rfc3339, span};

/// How far a line must be ahead, µs.
const FAR: i64 = 86_400_000_000;

/// Looks for such lines while files are read.
#[derive(Debug, Default)]
pub struct Jumps(BTreeMap<PathBuf, Jump>);

/// The line that was far ahead of its file last (the first line is ahead of nothing).
#[derive(Debug)]
struct Jump {
    offset: u64,
    ts: i64,
    /// Rows after it.
    after: u64,
    /// Those of them that are far behind it.
    behind: u64,
}

impl Jumps {
    /// Sees the next batch of a file.
    pub fn see(&mut self, path: &Path, batch: &Batch) {
        let ts = batch.rows.column(columns::TS).as_primitive::<TimestampMicrosecondType>();
        let (Some(oldest), Some(newest)) = (min(ts), max(ts)) else { return };
        if let (Some(jump), Some(before)) = (self.0.get_mut(path), batch.newest_before)
            && newest <= before.saturating_add(FAR)
            && oldest >= jump.ts.saturating_sub(FAR)
        {
            // As nearly always: nothing is far from anything.
            jump.after += ts.len() as u64;
            return;
        }
        let offsets = batch.rows.column(columns::OFFSET).as_primitive::<UInt64Type>();
        let mut newest = batch.newest_before;
        let mut jump = self.0.remove(path);
        for (&ts, &offset) in ts.values().iter().zip(offsets.values()) {
            match &mut jump {
                Some(jump) if newest.is_some_and(|newest| ts <= newest.saturating_add(FAR)) => {
                    jump.after += 1;
                    jump.behind += u64::from(ts < jump.ts.saturating_sub(FAR));
                }
                _ => jump = Some(Jump { offset, ts, after: 0, behind: 0 }),
            }
            newest = newest.max(Some(ts));
        }
        self.0.extend(jump.map(|jump| (path.to_owned(), jump)));
    }

    /// What there is to tell at the end: a jump that most of what followed did not make.
    pub fn warnings(&self) -> Vec<String> {
        let alone = self.0.iter().filter(|(_, jump)| jump.behind * 2 > jump.after);
        let tell = |(path, jump): (&PathBuf, &Jump)| {
            let ahead = rfc3339(jump.ts).unwrap_or_default();
            format!(
                "{}: the line at byte {} is dated {ahead}, more than {} ahead of {} of the {} lines after it, which therefore came \
                 too late for their windows: correct or remove that line, and scan again",
                path.display(),
                jump.offset,
                span(FAR),
                jump.behind,
                jump.after
            )
        };
        alone.map(tell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_ingest::{LogReader, Mode, SourceOptions, probe};

    /// A log with a line an hour, where line `n` may be dated so many days off; read in batches of any size.
    fn warnings(days_off: impl Fn(i64) -> i64, lines: i64) -> Vec<String> {
        let start: jiff::Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let line = |n: i64| {
            let ts = start + jiff::SignedDuration::from_hours(n + 24 * days_off(n));
            format!(
                "192.0.2.7 - - [{}] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"agent\"\n",
                ts.strftime("%d/%b/%Y:%H:%M:%S +0000")
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, (0..lines).map(line).collect::<String>()).unwrap();
        let options = SourceOptions::default();
        let mut reader = LogReader::open(&probe(&path, &options).unwrap(), &options, Mode::Once).unwrap();
        let mut jumps = Jumps::default();
        while let Some(batch) = reader.next_batch().unwrap() {
            jumps.see(&path, &batch);
        }
        jumps.warnings()
    }

    #[test]
    fn one_line_from_the_future_is_told_with_its_place() {
        // (more lines than a batch holds)
        let told = warnings(|n| if n == 10 { 73 * 365 } else { 0 }, 20_000);
        assert!(told.len() == 1 && told[0].contains("a.log: the line at byte 7"), "{told:?}");
        assert!(told[0].contains("2099-") && told[0].contains("of 19989 of the 19989 lines"), "{told:?}");
        let told = warnings(|n| if n == 0 { 365 } else { 0 }, 100);
        assert!(told.len() == 1 && told[0].contains("at byte 0 "), "{told:?}");
    }

    #[test]
    fn gaps_and_stragglers_are_not() {
        assert_eq!(warnings(|_| 0, 20_000), Vec::<String>::new());
        // A site that was closed for a year, a line that comes years late, a last line ahead.
        assert_eq!(warnings(|n| if n >= 50 { 365 } else { 0 }, 100), Vec::<String>::new());
        assert_eq!(warnings(|n| if n == 50 { -3650 } else { 0 }, 100), Vec::<String>::new());
        assert_eq!(warnings(|n| if n == 99 { 365 } else { 0 }, 100), Vec::<String>::new());
    }
}
