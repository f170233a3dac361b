//! How far event time is, over files that are being written.

use std::time::Instant;

use tripline_ingest::{FileStatus, Tailer};

use crate::config;

/// See [`EventClock::watermark`].
#[derive(Debug, Default)]
pub struct EventClock {
    /// By source: the time that one of its files covers, µs, if it delivers whole files.
    intervals: Vec<Option<i64>>,
    /// When the last row came, and where event time was then.
    last_row: Option<(Instant, i64)>,
}

impl EventClock {
    /// For sources in the config's order. Err: which key of a source is wrong, and how.
    pub fn new(sources: &[config::Source]) -> Result<Self, String> {
        let intervals = sources.iter().map(|s| s.interval_us().map_err(|(_, why)| why)).collect::<Result<_, _>>()?;
        Ok(Self { intervals, last_row: None })
    }

    /// The watermark, µs. Files with unread lines hold it back; files at their end do not. When all are silent, event time passes
    /// with the clock, so that a finding does not wait for the next request. A file whose clock is ahead counts as if it were at
    /// `bound`, the wall clock: it must not make the others' rows late.
    ///
    /// A source that delivers whole files is waited for: event time stays behind the newest row of all by what a file covers, and
    /// by how late its lines may come. So it waits for a file that is due, and not for one that never comes.
    pub fn watermark(&mut self, tailer: &Tailer, rows_came: bool, now: Instant, bound: Option<i64>) -> Option<i64> {
        let files: Vec<FileStatus<'_>> = tailer.sources().collect();
        self.mark(&files, rows_came, now, bound)
    }

    /// Where event time was when lines came last, µs.
    pub fn heard(&self) -> Option<i64> {
        self.last_row.map(|(_, mark)| mark)
    }

    fn mark(&mut self, files: &[FileStatus<'_>], rows_came: bool, now: Instant, bound: Option<i64>) -> Option<i64> {
        let bound = bound.unwrap_or(i64::MAX);
        let newest = |f: &FileStatus<'_>| f.newest_ts.map(|ts| ts.min(bound));
        let wait =
            files.iter().filter_map(|f| self.intervals.get(f.source)?.map(|i| i.saturating_add(f.lateness_us))).max();
        let wait = wait.or(self.intervals.iter().flatten().max().copied());
        let held = files.iter().filter_map(newest).max().zip(wait).map(|(ts, wait)| ts.saturating_sub(wait));
        let mark = |f: &FileStatus<'_>| {
            let mark = newest(f)?.saturating_sub(f.lateness_us);
            Some(held.map_or(mark, |held| mark.min(held)))
        };
        let behind = files.iter().filter(|f| !f.at_end).filter_map(mark).min();
        let newest = files.iter().filter_map(mark).max();
        if behind.is_some() {
            return behind;
        }
        match self.last_row {
            Some((at, mark)) if !rows_came => {
                let silence = i64::try_from(now.duration_since(at).as_micros()).unwrap_or(i64::MAX);
                Some(mark.saturating_add(silence))
            }
            _ => {
                self.last_row = newest.map(|mark| (now, mark));
                newest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tripline_ingest::Counters;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn file(source: usize, newest: i64) -> FileStatus<'static> {
        FileStatus {
            key: "",
            path: Path::new("a.log"),
            source,
            format: "combined",
            newest_ts: Some(newest * MINUTE),
            lateness_us: MINUTE,
            at_end: true,
            counters: Counters::default(),
        }
    }

    fn clock(batch: bool) -> EventClock {
        let batch = if batch { "arrival = \"batch\"\ninterval = \"5m\"" } else { "" };
        let source = |text: &str| toml::from_str(&format!("path = \"x\"\n{text}")).unwrap();
        EventClock::new(&[source(""), source(batch)]).unwrap()
    }

    #[test]
    fn whole_files_are_waited_for_and_missing_ones_are_not() {
        let now = Instant::now();
        let at =
            |clock: &mut EventClock, files: &[FileStatus<'_>]| clock.mark(files, true, now, None).unwrap() / MINUTE;
        // A tailed file has come to 100, the last whole file to 95.
        let files = [file(0, 100), file(1, 95)];
        assert_eq!(at(&mut clock(false), &files), 99);
        assert_eq!(
            at(&mut clock(true), &files),
            94,
            "the next whole file begins at 95, its lines may be a minute late"
        );
        assert_eq!(at(&mut clock(true), &[file(0, 100)]), 95, "none came yet");
        assert_eq!(at(&mut clock(true), &[file(0, 200), file(1, 95)]), 194, "that node is gone");
    }

    #[test]
    fn silence_passes_with_the_clock() {
        let (mut clock, now) = (clock(true), Instant::now());
        let files = [file(0, 100), file(1, 95)];
        clock.mark(&files, true, now, None);
        assert_eq!(clock.mark(&files, false, now + Duration::from_mins(3), None), Some(97 * MINUTE));
    }
}
