//! Late rows: those that came after at least one of their windows had closed. They are counted by source and kept, each
//! once, as JSON lines.
//!
//! "Late" depends on the window: a row that missed a one-minute window may be in time for the hour. So a line says which
//! windows were missed, for each kind of window that the rules have: `source`, `offset`, `ts`, `wm_seen` (what the file's
//! watermark was), `missed`, `raw`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tripline_ingest::table::columns;

use crate::engine::Engine;
use crate::engine::lateness::{FileRows, Late};
use crate::engine::window::WindowSpec;
use crate::health::{rfc3339, span};

/// Bytes of a line that are kept.
const RAW: usize = 4096;
/// Bytes of one file of `late/`; there are two.
const LIMIT: u64 = 64 << 20;

/// How many of a source's rows were late, and how late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LateCount {
    /// Rows.
    pub rows: u64,
    /// The `lateness` with which all of them would have been in time, µs.
    pub needed: i64,
}

/// Late rows by source, which is a file's name.
#[derive(Debug, Clone, Default)]
pub struct LateCounts(BTreeMap<String, LateCount>);

impl LateCounts {
    /// Counts the late rows of one file. Returns the file's count if it has grown by an order of magnitude: worth telling.
    pub fn add(&mut self, file: &FileRows, late: &[Late]) -> Option<(String, LateCount)> {
        let first = late.first()?;
        let source = text(&file.rows, columns::SOURCE, first.row).unwrap_or_default();
        let ts = file.rows.column(columns::TS).as_primitive::<TimestampMicrosecondType>();
        let count = self.0.entry(source.to_owned()).or_default();
        let before = count.rows;
        count.rows += late.len() as u64;
        // In time is what lies after the newest row less the lateness.
        let needed = |l: &Late| l.wm_seen.saturating_add(file.lateness).saturating_sub(ts.value(l.row));
        count.needed = late.iter().map(needed).max().unwrap_or(0).max(count.needed);
        let magnitude = |n: u64| n.checked_ilog10();
        (magnitude(count.rows) > magnitude(before)).then(|| (source.to_owned(), *count))
    }

    /// The sources with late rows, those with the most first.
    pub fn worst(&self) -> Vec<(&str, LateCount)> {
        let mut sources: Vec<_> = self.0.iter().map(|(source, count)| (source.as_str(), *count)).collect();
        sources.sort_by_key(|(source, count)| (std::cmp::Reverse(count.rows), *source));
        sources
    }
}

/// What to do about a source's late rows.
pub fn advice(count: LateCount) -> String {
    const DAY: i64 = 86_400_000_000;
    if count.needed > DAY {
        return format!(
            "up to {} behind the newest line before them: is one line's clock wrong, or the log not in order?",
            span(count.needed)
        );
    }
    let minutes = count.needed / 60_000_000 + 1;
    format!("lateness = \"{minutes}m\" in its [[source]] would have let them in")
}

/// The late rows of one file as JSON lines. `windows`: those of the rules.
pub fn lines<'a>(file: &'a FileRows, late: &'a [Late], windows: &'a [WindowSpec]) -> impl Iterator<Item = String> + 'a {
    let ts = file.rows.column(columns::TS).as_primitive::<TimestampMicrosecondType>();
    late.iter().map(move |late| {
        let ts = ts.value(late.row);
        let missed: Vec<Value> = windows.iter().filter_map(|window| missed(*window, ts, late.wm_seen)).collect();
        line(&json!({
            "source": text(&file.rows, columns::SOURCE, late.row),
            "offset": file.rows.column(columns::OFFSET).as_primitive::<UInt64Type>().value(late.row),
            "ts": rfc3339(ts),
            "wm_seen": rfc3339(late.wm_seen),
            "missed": missed,
            "raw": text(&file.rows, columns::RAW, late.row).map(cut),
        }))
    })
}

/// A line that was rejected because its time is too far ahead.
pub fn ahead(path: &Path, reject: &tripline_ingest::Reject) -> String {
    line(&json!({
        "source": path.to_string_lossy(),
        "offset": reject.offset,
        "rejected": reject.reason.to_string(),
        "raw": cut(&reject.line),
    }))
}

/// The windows of one kind that a row missed, from the first one's start to the last one's end.
fn missed(window: WindowSpec, ts: i64, wm_seen: i64) -> Option<Value> {
    let pane = window.pane(ts);
    let ends = window.ends(pane).take_while(|&end| end <= wm_seen);
    let (count, last) = ends.fold((0, None), |(n, _), end| (n + 1, Some(end)));
    let last = last?;
    Some(json!({
        "size_s": window.size / 1_000_000,
        "slide_s": window.slide / 1_000_000,
        "windows": count,
        "first_start": rfc3339(pane + window.slide - window.size),
        "last_end": rfc3339(last),
    }))
}

fn text(rows: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let texts = rows.column(column).as_string_view();
    texts.is_valid(row).then(|| texts.value(row))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(RAW)]
}

/// With a line end; log text cannot steer a terminal.
fn line(value: &Value) -> String {
    // Values of strings and numbers always serialise.
    tripline_alert::json::to_string(value).unwrap_or_default() + "\n"
}

/// How much of `late/` belongs to what was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    number: u64,
    length: u64,
}

/// The folder `late/` of `run`: files `late-NUMBER.jsonl`, of which the newest two are kept.
///
/// A commit remembers the [`Mark`] of what was written before it. After a kill, what was written since is cut off, for the
/// rows come again: each is kept once.
#[derive(Debug)]
pub struct LateLog {
    folder: PathBuf,
    limit: u64,
    mark: Mark,
    file: Option<File>,
    pending: Vec<u8>,
    /// By source, since this process began.
    pub counts: LateCounts,
    broken: bool,
}

impl LateLog {
    /// Goes on at `mark`. Nothing is created before there is something to keep.
    pub fn new(folder: &Path, mark: Mark) -> io::Result<Self> {
        let log = Self {
            folder: folder.to_owned(),
            limit: LIMIT,
            mark,
            file: None,
            pending: Vec::new(),
            counts: LateCounts::default(),
            broken: false,
        };
        for (number, path) in log.files()? {
            if number > mark.number {
                fs::remove_file(path)?;
            } else if number == mark.number && path.metadata()?.len() > mark.length {
                OpenOptions::new().write(true).open(path)?.set_len(mark.length)?;
            }
        }
        Ok(log)
    }

    /// Takes the rows of `file` that are late as `engine` stands, before it takes them in. Returns how many.
    pub fn take(&mut self, engine: &Engine, file: &FileRows) -> usize {
        let late = engine.late(file);
        if let Some((source, count)) = self.counts.add(file, &late) {
            tracing::warn!(
                source,
                rows = count.rows,
                "late rows, kept in late/ of the state directory: {}",
                advice(count)
            );
        }
        for line in lines(file, &late, &engine.windows()) {
            self.push(&line);
        }
        late.len()
    }

    /// Keeps a line.
    pub fn push(&mut self, line: &str) {
        self.pending.extend_from_slice(line.as_bytes());
    }

    /// Writes what was taken, and returns the mark to commit. If it cannot be written, that is told once and the lines are
    /// only counted: a commit will fail for the same reason, and say more.
    pub fn write(&mut self) -> Mark {
        match self.try_write() {
            Ok(()) => self.broken = false,
            Err(e) if !self.broken => {
                self.broken = true;
                tracing::warn!("{}: late rows cannot be kept ({e}); they are counted only", self.folder.display());
            }
            Err(_) => {}
        }
        self.pending.clear();
        self.mark
    }

    fn try_write(&mut self) -> io::Result<()> {
        // Line by line only where a file becomes full.
        for piece in pieces(&self.pending, self.limit) {
            if self.mark.length > 0 && self.mark.length + piece.len() as u64 > self.limit {
                self.file = None;
                self.mark = Mark { number: self.mark.number + 1, length: 0 };
                let current = self.mark.number;
                for (_, path) in self.files()?.into_iter().filter(|(number, _)| number + 1 < current) {
                    fs::remove_file(path)?;
                }
            }
            let file = match &mut self.file {
                Some(file) => file,
                empty => {
                    fs::create_dir_all(&self.folder)?;
                    let path = self.folder.join(format!("late-{:06}.jsonl", self.mark.number));
                    let file = OpenOptions::new().create(true).append(true).open(path)?;
                    // (shorter than the mark, if the power went before it was on the disk)
                    self.mark.length = file.metadata()?.len();
                    empty.insert(file)
                }
            };
            file.write_all(piece)?;
            self.mark.length += piece.len() as u64;
        }
        match &self.file {
            Some(file) if !self.pending.is_empty() => file.sync_data(),
            _ => Ok(()),
        }
    }

    fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let number = name.strip_prefix("late-").and_then(|n| n.strip_suffix(".jsonl")).and_then(|n| n.parse().ok());
            files.extend(number.map(|number| (number, path)));
        }
        Ok(files)
    }
}

/// Whole lines, in pieces of at most a sixteenth of `limit` (or one line).
fn pieces(lines: &[u8], limit: u64) -> Vec<&[u8]> {
    let most = usize::try_from(limit / 16).unwrap_or(usize::MAX);
    let mut pieces = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let head = &rest[..rest.len().min(most)];
        let end = head.iter().rposition(|&b| b == b'\n').or_else(|| rest.iter().position(|&b| b == b'\n'));
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path) -> String {
        let log = LateLog::new(folder, Mark { number: u64::MAX, length: 0 }).unwrap();
        let mut files = log.files().unwrap();
        files.sort();
        files.into_iter().map(|(_, path)| fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn what_was_not_committed_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("late");
        let mut log = LateLog::new(&folder, Mark::default()).unwrap();
        assert!(!folder.exists());
        log.push("one\n");
        let mark = log.write();
        log.push("two\n");
        log.write();
        assert_eq!(kept(&folder), "one\ntwo\n");
        let mut log = LateLog::new(&folder, mark).unwrap();
        log.push("two\n");
        log.write();
        assert_eq!(kept(&folder), "one\ntwo\n");
    }

    #[test]
    fn the_newest_two_files_are_kept_and_a_rotation_is_undone_with_its_commit() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LateLog::new(folder.path(), Mark::default()).unwrap();
        log.limit = 64;
        let mut marks = vec![Mark::default()];
        for n in 100..200 {
            log.push(&format!("line {n}\n"));
            marks.push(log.write());
            let text = kept(folder.path());
            assert!(text.len() as u64 <= 2 * log.limit && text.ends_with(&format!("line {n}\n")), "{text}");
        }
        assert!(kept(folder.path()).lines().count() > 7);
        let committed = marks[marks.len() - 2];
        let mut log = LateLog::new(folder.path(), committed).unwrap();
        log.limit = 64;
        assert!(kept(folder.path()).ends_with("line 198\n"));
        log.push("line 199\n");
        assert_eq!(log.write(), marks[marks.len() - 1]);
    }

    #[test]
    fn many_lines_at_once_are_cut_at_line_ends() {
        let text = "a line\n".repeat(1000);
        let pieces = pieces(text.as_bytes(), 1600);
        assert_eq!(pieces.concat(), text.as_bytes());
        assert!(pieces.iter().all(|piece| piece.ends_with(b"\n") && piece.len() <= 100));
    }

    #[test]
    fn the_windows_that_a_row_missed() {
        let minute = 60_000_000;
        let window = WindowSpec { slide: minute, size: 10 * minute };
        let row = 5 * minute + 1;
        assert_eq!(missed(window, row, 6 * minute - 1), None);
        let some = missed(window, row, 8 * minute + 5).unwrap();
        assert_eq!(
            (&some["windows"], &some["first_start"], &some["last_end"]),
            (&json!(3), &json!("1969-12-31T23:56:00Z"), &json!("1970-01-01T00:08:00Z"))
        );
        assert_eq!(missed(window, row, i64::MAX).unwrap()["windows"], 10);
    }
}
