//! How far event time is, over files that are being written.

use std::time::Instant;

use tripline_ingest::{FileStatus, Tailer};

/// See [`EventClock::watermark`].
#[derive(Debug, Default)]
pub struct EventClock {
    /// When the last row came, and where event time was then.
    last_row: Option<(Instant, i64)>,
}

impl EventClock {
    /// The watermark, µs. Files with unread lines hold it back; files at their end do not. When all are silent, event time passes
    /// with the clock, so that a finding does not wait for the next request. A file whose clock is ahead counts as if it were at
    /// `bound`, the wall clock: it must not make the others' rows late.
    pub fn watermark(&mut self, tailer: &Tailer, rows_came: bool, now: Instant, bound: Option<i64>) -> Option<i64> {
        let bound = bound.unwrap_or(i64::MAX);
        let mark = |f: &FileStatus| f.newest_ts.map(|ts| ts.min(bound).saturating_sub(f.lateness_us));
        let behind = tailer.sources().filter(|f| !f.at_end).filter_map(|f| mark(&f)).min();
        let newest = tailer.sources().filter_map(|f| mark(&f)).max();
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
