//! Which windows a row still counts for.
//!
//! A row is late for a window iff the window's end is at or before `wm_seen`: the newest `ts` of the row's own file, the row
//! included, less the allowed lateness. That depends on the order of lines in the file and on nothing else, so a batch query
//! can say the same.

use std::collections::BTreeMap;

use arrow::array::{AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{filter_record_batch, max, min};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;
use tripline_ingest::table::columns;

use super::window::WindowSpec;

/// Rows of one file, in the file's order.
#[derive(Debug, Clone)]
pub struct FileRows {
    /// Rows of `requests`.
    pub rows: RecordBatch,
    /// The file's newest `ts` before these rows, µs.
    pub newest_before: Option<i64>,
    /// How far behind the newest a row may come and still count, µs.
    pub lateness: i64,
}

/// Rows, and which windows they are late for.
#[derive(Debug)]
pub struct Paned {
    /// Rows as stores take them.
    pub rows: RecordBatch,
    /// `Some(e)`: late for windows that end before `e`. `None`: in time for all.
    pub late_until: Option<i64>,
}

impl FileRows {
    fn ts(&self) -> &TimestampMicrosecondArray {
        self.rows.column(columns::TS).as_primitive::<TimestampMicrosecondType>()
    }

    /// The file's newest `ts` after these rows, µs.
    pub fn newest(&self) -> Option<i64> {
        max(self.ts()).max(self.newest_before)
    }

    /// The newest row's `ts` up to and including each row, less the lateness.
    pub fn watermarks(&self) -> impl Iterator<Item = i64> {
        let lateness = self.lateness;
        self.ts().values().iter().scan(self.newest_before.unwrap_or(i64::MIN), move |newest, &ts| {
            *newest = ts.max(*newest);
            Some(newest.saturating_sub(lateness))
        })
    }
}

/// Puts rows that are late for the same windows together; most often that is one group. `floor`: windows that end at or before it
/// are closed already, whatever the file says. `rows`: the file's rows as stores take them.
pub fn assign(file: &FileRows, rows: &RecordBatch, window: WindowSpec, floor: i64) -> Result<Vec<Paned>> {
    let Some(oldest) = min(file.ts()) else { return Ok(Vec::new()) };
    let watermark = file.newest().map_or(i64::MIN, |n| n.saturating_sub(file.lateness)).max(floor);
    // The common case, settled for the whole batch: even the oldest row is in time for its first window.
    if window.pane(oldest) + window.slide > watermark {
        return Ok(vec![Paned { rows: rows.clone(), late_until: None }]);
    }
    let mut groups: BTreeMap<Option<i64>, Vec<usize>> = BTreeMap::new();
    for (i, (&ts, seen)) in file.ts().values().iter().zip(file.watermarks()).enumerate() {
        let (pane, seen) = (window.pane(ts), seen.max(floor));
        if pane + window.slide > seen {
            groups.entry(None).or_default().push(i);
            continue;
        }
        if pane + window.size > seen {
            groups.entry(Some(window.first_end_after(seen))).or_default().push(i);
        }
    }
    groups
        .into_iter()
        .map(|(late_until, at)| {
            let mut mask = vec![false; rows.num_rows()];
            for i in at {
                mask[i] = true;
            }
            Ok(Paned { rows: filter_record_batch(rows, &BooleanArray::from(mask))?, late_until })
        })
        .collect()
}

/// A row that is late for at least one window of some rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// Its place in the batch.
    pub row: usize,
    /// The watermark that it met: it is late for all windows that end at or before it, µs.
    pub wm_seen: i64,
}

/// The rows of `file` that are late for at least one window of the kinds in `windows`. `floor` as in [`assign`].
pub fn late_rows(file: &FileRows, windows: &[WindowSpec], floor: i64) -> Vec<Late> {
    // A row's first window ends with its pane, so only the slides matter, and of those that divide each other the shortest.
    let slides: Vec<WindowSpec> = windows
        .iter()
        .enumerate()
        .filter(|(i, w)| {
            let covers = |j: usize, o: &WindowSpec| w.slide % o.slide == 0 && (o.slide < w.slide || j < *i);
            !windows.iter().enumerate().any(|(j, o)| covers(j, o))
        })
        .map(|(_, w)| *w)
        .collect();
    let first_end = |ts: i64| slides.iter().map(|w| w.pane(ts) + w.slide).min().unwrap_or(i64::MAX);
    let watermark = file.newest().map_or(i64::MIN, |n| n.saturating_sub(file.lateness)).max(floor);
    // As in `assign`: most batches are in time.
    if min(file.ts()).is_none_or(|oldest| first_end(oldest) > watermark) {
        return Vec::new();
    }
    let seen = file.watermarks().map(|seen| seen.max(floor));
    let rows = file.ts().values().iter().zip(seen).enumerate();
    rows.filter(|(_, (ts, seen))| first_end(**ts) <= *seen).map(|(row, (_, wm_seen))| Late { row, wm_seen }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::ArrayRef;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn file(ts: &[i64], newest_before: Option<i64>, lateness: i64) -> FileRows {
        let schema = tripline_ingest::schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "ts" => Arc::new(TimestampMicrosecondArray::from(ts.to_vec()).with_timezone("UTC")),
                "client" => Arc::new(arrow::array::StringViewArray::from_iter_values(ts.iter().map(|_| "c"))),
                _ => arrow::array::new_null_array(field.data_type(), ts.len()),
            }
        });
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        FileRows { rows, newest_before, lateness }
    }

    proptest! {
        /// By the definition: some window that holds the row ends at or before the watermark that the row met.
        #[test]
        fn late_is_late_for_some_window(
            ts in proptest::collection::vec(-300i64..300, 0..40),
            newest_before in proptest::option::of(-300i64..300),
            lateness in 0i64..60,
            floor in proptest::option::of(-300i64..300),
            kinds in proptest::collection::vec((1i64..40, 1i64..5), 0..4),
        ) {
            let windows: Vec<_> = kinds.into_iter().map(|(slide, n)| WindowSpec { slide, size: slide * n }).collect();
            let floor = floor.unwrap_or(i64::MIN);
            let found = late_rows(&file(&ts, newest_before, lateness), &windows, floor);
            let mut newest = newest_before.unwrap_or(i64::MIN);
            let mut expected = Vec::new();
            for (row, &ts) in ts.iter().enumerate() {
                newest = newest.max(ts);
                let wm_seen = newest.saturating_sub(lateness).max(floor);
                if windows.iter().any(|w| w.ends(w.pane(ts)).any(|end| end <= wm_seen)) {
                    expected.push(Late { row, wm_seen });
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
