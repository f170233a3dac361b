//! One followed file.

use std::cell::OnceCell;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::seen::Stamp;
use super::{FileStatus, GRACE, TailBatch};
use crate::batch::Counters;
use crate::input::Compression;
use crate::position::Position;
use crate::reader::{LogReader, ReadError};

/// One followed file.
pub(super) struct Tailed {
    pub(super) reader: LogReader,
    /// Whether everything was read that the last poll saw.
    pub(super) at_end: bool,
    source: usize,
    first_ts: i64,
    counters: Counters,
    /// Lines that begin before it are passed over.
    from: u64,
    /// Says that the file's content is another now: what was read before is still returned, no more is read.
    truncated: Option<String>,
    /// Since when it has not grown.
    grown_at: Duration,
    /// When it was last looked at.
    looked_at: Duration,
    /// Since when it has had no name and has not grown.
    silent: Option<Duration>,
    /// Whether it was told that its last line does not end.
    told_unfinished: bool,
    /// What it looked like when it was last compared with what was read.
    stamp: Option<Stamp>,
    /// The reader's position, once somebody asked: hashing is not free, and most files stand still.
    position: OnceCell<Position>,
    /// Whether that is stored.
    is_stored: bool,
}

/// What a look at an open file shows.
pub(super) enum Change {
    /// Nothing that needs action.
    None,
    /// Its beginning was overwritten: it begins anew.
    Truncated(String),
    /// It ends in the middle of a line, and has for long.
    Unfinished(String),
    /// It has no name, nothing new, and what took its place is there.
    Dropped,
}

impl Tailed {
    pub(super) fn new(reader: LogReader, source: usize, first_ts: i64, now: Duration) -> Self {
        let counters = Counters::default();
        Self {
            reader,
            at_end: false,
            source,
            first_ts,
            counters,
            from: 0,
            truncated: None,
            grown_at: now,
            looked_at: now,
            silent: None,
            told_unfinished: false,
            stamp: None,
            position: OnceCell::new(),
            is_stored: false,
        }
    }

    /// Lines that begin before `from` are passed over.
    pub(super) fn passing_over(self, from: u64) -> Self {
        Self { from, ..self }
    }

    /// Index of the source.
    pub(super) fn source(&self) -> usize {
        self.source
    }

    pub(super) fn is_archive(&self) -> bool {
        self.reader.input().compression() != Compression::None
    }

    /// What is behind in event time is read first.
    pub(super) fn event_time(&self) -> i64 {
        self.reader.newest_ts().unwrap_or(self.first_ts)
    }

    pub(super) fn next_batch(&mut self, latest: i64) -> Result<Option<TailBatch>, ReadError> {
        self.reader.reject_after(latest);
        let may_read = self.truncated.is_none() || self.reader.has_pending();
        let batch = if may_read { self.reader.next_batch()? } else { None };
        let Some(mut batch) = batch else {
            self.at_end = true;
            return Ok(None);
        };
        if batch.offset < self.from {
            batch.pass_over(self.from);
        }
        self.position.take();
        self.is_stored = false;
        self.counters += batch.counters;
        Ok(Some(TailBatch {
            file: self.reader.key().to_owned(),
            path: self.reader.path().to_owned(),
            source: self.source,
            batch,
            lateness_us: self.reader.lateness_us(),
            reread: self.reader.reread(),
        }))
    }

    pub(super) fn position(&self) -> Position {
        let position = self.position.get_or_init(|| self.reader.position());
        let passed_over = if position.offset() < self.from { self.from } else { 0 };
        Position { passed_over, ..position.clone() }
    }

    /// The same if it has changed since the last time; then it is to be stored.
    pub(super) fn new_position(&mut self) -> Option<Position> {
        (!std::mem::replace(&mut self.is_stored, true)).then(|| self.position())
    }

    /// It has another name now; `real`: where it stands, if not there.
    pub(super) fn renamed(&mut self, path: &Path, real: PathBuf) {
        self.reader.renamed(path, real);
        self.position.take();
        self.is_stored = false;
    }

    pub(super) fn status(&self) -> FileStatus<'_> {
        FileStatus {
            key: self.reader.key(),
            path: self.reader.path(),
            source: self.source,
            format: self.reader.format(),
            newest_ts: self.reader.newest_ts(),
            lateness_us: self.reader.lateness_us(),
            at_end: self.at_end,
            counters: self.counters,
        }
    }

    /// When it last grew.
    pub(super) fn grown_at(&self) -> Duration {
        self.grown_at
    }

    /// What it looks like if all of it was read, and nothing is known of it that a position does not hold.
    pub(super) fn stands_still(&self) -> Option<Stamp> {
        let metadata = self.reader.input().metadata().ok()?;
        let is_read = metadata.len() == self.reader.consumed();
        let is_still = self.at_end && self.silent.is_none() && self.truncated.is_none() && !self.reader.has_pending();
        (is_read && is_still).then(|| Stamp::of(&metadata))
    }

    /// Whether it does not hold what was read of it any more.
    pub(super) fn has_changed(&self) -> bool {
        let is_shorter = |metadata: Metadata| metadata.len() < self.reader.consumed();
        self.reader.input().metadata().is_ok_and(is_shorter) || self.reader.is_overwritten()
    }

    /// Looks whether the open file grew, shrank or was overwritten; `named`: a source still names it.
    pub(super) fn look(&mut self, named: bool, now: Duration) -> Change {
        if self.is_archive() {
            return Change::None;
        }
        // The handle is open: should the system refuse to say how long the file is, reading will tell why.
        let Ok(metadata) = self.reader.input().metadata() else { return Change::None };
        if self.truncated.is_none() {
            self.truncated = self.find_truncation(&metadata, now);
        }
        self.looked_at = now;
        match &self.truncated {
            Some(_) if self.reader.has_pending() => return Change::None,
            Some(text) => return Change::Truncated(text.clone()),
            None => {}
        }
        if metadata.len() > self.reader.consumed() {
            self.grown_at = now;
            self.silent = None;
            self.at_end = false;
            self.told_unfinished = false;
            return Change::None;
        }
        if let Some(text) = self.find_unfinished(now) {
            return Change::Unfinished(text);
        }
        if named {
            self.silent = None;
            return Change::None;
        }
        let silent = now.saturating_sub(*self.silent.get_or_insert(now));
        let deleted = metadata.nlink() == 0;
        let replaced = self.reader.path().exists();
        if self.at_end && silent >= GRACE && (deleted || replaced) { Change::Dropped } else { Change::None }
    }

    /// What to say if its last line has not ended for long.
    fn find_unfinished(&mut self, now: Duration) -> Option<String> {
        let bytes = self.reader.unfinished();
        if bytes == 0 || self.told_unfinished || !self.at_end || now.saturating_sub(self.grown_at) < GRACE {
            return None;
        }
        self.told_unfinished = true;
        Some(format!(
            "{}: has ended in the middle of a line for {} s; {bytes} bytes wait for the rest of it. If a rotation cut the line, \
             that stands in another file: neither part is read as a request",
            self.reader.path().display(),
            GRACE.as_secs(),
        ))
    }

    /// What to say if the file does not hold what was read of it any more.
    fn find_truncation(&mut self, metadata: &Metadata, now: Duration) -> Option<String> {
        let stamp = Some(Stamp::of(metadata));
        let how = if metadata.len() < self.reader.consumed() {
            "it is shorter than what was read of it"
        } else if self.stamp.replace(Stamp::of(metadata)) != stamp && self.reader.is_overwritten() {
            "what was read last has changed"
        } else {
            return None;
        };
        let lost = match self.reader.unfinished() {
            0 => String::new(),
            bytes => format!("; {bytes} bytes of an unfinished line are lost"),
        };
        Some(format!(
            "{}: was truncated ({how}){lost}; it is read from its start. Lines written within the {:.1} s since it was last \
             looked at and before the truncation can only be had from a copy; rotation by renaming loses none",
            self.reader.path().display(),
            now.saturating_sub(self.looked_at).as_secs_f64(),
        ))
    }
}
