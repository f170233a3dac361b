//! Opening what the sources name: files known from a position, new ones, and those that wait for room.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::copies::{Origin, Original};
use super::file::Tailed;
use super::seen::{self, Found};
use super::{FileStatus, GRACE, Level, MAX_OPEN, Notice, Stuck, Tailer};
use crate::batch::Counters;
use crate::formats::named;
use crate::input::Compression;
use crate::position::{FileId, Position};
use crate::probe::{ProbeError, probe_as};
use crate::reader::{LogReader, Mode, ReadError};
use crate::source::SourceOptions;

impl Tailer {
    /// Opens what is named and is not open yet.
    pub(super) fn meet_all(&mut self) {
        let open: HashSet<FileId> = self.files.iter().map(|file| file.reader.file()).collect();
        let ids = self.seen.files.keys().filter(|id| !open.contains(id));
        self.waiting = ids.copied().collect();
        self.copies.clear();
        // Archives after what they may have been made of.
        let is_archive = |id: &FileId| {
            let ending = self.seen.files.get(id).and_then(|found| found.path.extension());
            ending.is_some_and(|ending| ending == "gz" || ending == "zst")
        };
        self.waiting.sort_by_cached_key(is_archive);
        // Only then is it known which ones have to wait.
        self.meet_waiting();
        let newest = |id: &FileId| self.known.of(*id).and_then(|position| position.newest_ts);
        self.waiting.sort_by_cached_key(newest);
    }

    /// Opens what was closed and was written to since.
    pub(super) fn meet_written(&mut self) {
        let written: BTreeSet<FileId> = std::mem::take(&mut self.written).into_iter().collect();
        if written.is_empty() {
            return;
        }
        let Some(seen) = Arc::get_mut(&mut self.seen) else { return };
        let changed: Vec<FileId> = written.into_iter().filter(|id| seen.look_again(*id)).collect();
        let (files, waiting) = (&self.files, &self.waiting);
        let is_new = |id: &FileId| !waiting.contains(id) && files.iter().all(|file| file.reader.file() != *id);
        let new: Vec<FileId> = changed.into_iter().filter(is_new).collect();
        if !new.is_empty() {
            self.waiting.extend(new);
            self.meet_waiting();
        }
    }

    /// Opens files that had to wait, as many as there is room for; among them copies of what is read by now. Returns whether
    /// there is anything to read.
    pub(super) fn meet_waiting(&mut self) -> bool {
        let seen = Arc::clone(&self.seen);
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.append(&mut self.copies);
        let mut waiting = waiting.into_iter();
        for id in waiting.by_ref() {
            if let Some(found) = seen.files.get(&id)
                && !self.meet(id, found)
            {
                self.waiting.push(id);
                break;
            }
        }
        self.waiting.extend(waiting);
        self.files.iter().any(|file| !file.at_end)
    }

    /// Known files that have to wait hold event time back.
    pub(super) fn waiting_status(&self) -> impl Iterator<Item = FileStatus<'_>> {
        self.waiting.iter().filter_map(|id| {
            let (found, position) = (self.seen.files.get(id)?, self.known.of(*id)?);
            let options = &self.sources[found.source].options;
            let default = || named(&position.format, options).map_or_else(|_| Duration::ZERO, |f| f.default_lateness());
            let lateness = options.lateness.unwrap_or_else(default);
            Some(FileStatus {
                key: position.key(),
                path: &found.path,
                source: found.source,
                format: &position.format,
                newest_ts: position.newest_ts,
                lateness_us: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
                at_end: false,
                counters: Counters::default(),
            })
        })
    }

    /// A file that a source names and that is not open: known from a position, or new. False: there is no room.
    fn meet(&mut self, id: FileId, found: &Found) -> bool {
        let stuck = self.stuck.get(&id).is_some_and(|stuck| {
            stuck.as_long_as == Some(found.stamp) && stuck.until.is_none_or(|until| self.now < until)
        });
        let parked = self.parked.get(&id) == Some(&found.stamp);
        if stuck || parked || self.is_finished(id, found) {
            return true;
        }
        if self.files.len() >= MAX_OPEN && !self.make_room() {
            return false;
        }
        self.parked.remove(&id);
        let options = self.sources[found.source].options.clone();
        match self.known.take(id) {
            Some(position) => self.resume(position, id, found, &options),
            None => self.open(id, found, &options),
        }
        true
    }

    /// Whether the file is an archive that was read to its end. Its inode alone does not tell: another file may have it by now.
    fn is_finished(&mut self, id: FileId, found: &Found) -> bool {
        let Some(position) = self.known.of(id).filter(|position| position.finished) else { return false };
        match position.is_beginning_of(&found.path) {
            Ok(true) if self.is_proved(found, position) => {
                self.parked.insert(id, found.stamp);
                true
            }
            Ok(_) if is_still(id, &found.path) => {
                if let Some(position) = self.known.take(id) {
                    self.known.lost(position);
                }
                false
            }
            Ok(_) | Err(_) => true,
        }
    }

    /// Closes a quarter of the open files: those that have stood still for longest.
    fn make_room(&mut self) -> bool {
        let still =
            self.files.iter().filter_map(|file| Some((file.grown_at(), file.reader.file(), file.stands_still()?)));
        let mut still: Vec<_> = still.collect();
        still.sort_unstable_by_key(|(grown_at, id, _)| (*grown_at, *id));
        still.truncate(MAX_OPEN / 4);
        for (_, id, stamp) in &still {
            let Some(at) = self.files.iter().position(|file| file.reader.file() == *id) else { continue };
            self.parked.insert(*id, *stamp);
            self.rest(at, false);
        }
        !still.is_empty()
    }

    /// A file that was read before.
    fn resume(&mut self, mut position: Position, id: FileId, found: &Found, options: &SourceOptions) {
        position.path.clone_from(&found.path);
        match LogReader::resume(&position, options) {
            // Something took its name just now; the next look finds out.
            Ok(reader) if reader.file() != id => self.known.rest(position, &self.seen),
            Ok(reader) => {
                self.stuck.remove(&id);
                let first_ts = position.newest_ts.unwrap_or(i64::MIN);
                let file = Tailed::new(reader, found.source, first_ts, self.now).passing_over(position.passed_over);
                self.files.push(file);
            }
            Err(ReadError::Changed { .. }) if !is_still(id, &found.path) => self.known.rest(position, &self.seen),
            Err(error @ ReadError::Changed { .. }) => {
                self.notices.push(Notice { level: Level::Warn, text: format!("{error}; it is read from its start") });
                // The file that had this inode may have gone into an archive.
                self.known.lost(position);
                self.open(id, found, options);
            }
            Err(error) => {
                self.stuck.insert(id, Stuck::now(error.to_string()));
                self.known.keep(position);
            }
        }
    }

    /// A new file, or a new generation of one, from its start, unless it is a copy of a file that was read.
    fn open(&mut self, id: FileId, found: &Found, options: &SourceOptions) {
        let probe = match probe_as(&found.path, options, Mode::Follow) {
            Ok(probe) => probe,
            // Rotated since it was listed: what was looked at is another file.
            Err(_) if !is_still(id, &found.path) => return,
            Err(error) => {
                let stuck = match &error {
                    ProbeError::Empty { .. } => Stuck { as_long_as: Some(found.stamp), ..Stuck::default() },
                    ProbeError::Unreadable { .. } => Stuck::now(error.to_string()),
                    _ => Stuck { as_long_as: Some(found.stamp), ..Stuck::now(error.to_string()) },
                };
                self.stuck.insert(id, stuck);
                return;
            }
        };
        if !is_still(id, &found.path)
            || self.is_settled_as_copy(id, found, options, probe.compression == Compression::None)
        {
            return;
        }
        let generation = self.known.generation(id);
        match LogReader::open_generation(&probe, options, Mode::Follow, generation) {
            Ok(reader) if reader.file() != id => {} // something took its name just now
            Ok(reader) => {
                // (shorter: truncated before it could be opened)
                let from = self.passed_over.remove(&id).filter(|from| *from <= found.stamp.size()).unwrap_or(0);
                let from = if from > 0 && probe.compression != Compression::None { u64::MAX } else { from };
                let end = if from > 0 { ", from its end" } else { "" };
                let text = format!("{}: followed as `{}`{end}", found.path.display(), reader.format());
                self.notices.push(Notice { level: Level::Info, text });
                self.stuck.remove(&id);
                self.files.push(Tailed::new(reader, found.source, probe.first_ts, self.now).passing_over(from));
            }
            Err(error) => {
                self.stuck.insert(id, Stuck::now(error.to_string()));
            }
        }
    }

    /// If the file is a copy, does what is to be done with it.
    fn is_settled_as_copy(&mut self, id: FileId, found: &Found, options: &SourceOptions, plain: bool) -> bool {
        let originals = match self.origin(id, found, plain) {
            Origin::None => return false,
            Origin::Here => {
                self.leave_copy(id, found, plain);
                return true;
            }
            Origin::Unread => {
                self.copies.push(id);
                return true;
            }
            Origin::Read => {
                self.pass_over_copy(id, found);
                return true;
            }
            Origin::Of(originals) => originals,
        };
        originals.into_iter().any(|original| self.is_settled_as_copy_of(original, id, found, options))
    }

    /// If the file is a copy of that one, goes on in it.
    fn is_settled_as_copy_of(
        &mut self,
        original: Original,
        id: FileId,
        found: &Found,
        options: &SourceOptions,
    ) -> bool {
        let Some(position) = self.position_of(original) else { return false };
        let position = Position { path: found.path.clone(), ..position };
        match LogReader::resume(&position, options) {
            Ok(reader) if reader.file() != id => {} // something took its name just now
            Ok(_) if matches!(original, Original::Resting(_)) && found.stamp.size() == position.offset() => {
                self.leave_copy(id, found, true);
            }
            Ok(mut reader) => {
                reader.is_another(self.known.generation(id));
                self.hand_over(original);
                self.stuck.remove(&id);
                let text = format!("{}: goes on where what it was made of was read", found.path.display());
                self.notices.push(Notice { level: Level::Info, text });
                let first_ts = position.newest_ts.unwrap_or(i64::MIN);
                // (what was there at the first look is passed over in a copy, too)
                let from = self.passed_over.remove(&id).unwrap_or(0).max(position.passed_over);
                self.files.push(Tailed::new(reader, found.source, first_ts, self.now).passing_over(from));
            }
            Err(ReadError::Changed { .. }) if Self::is_shorter_archive(found, &position) => {
                self.pass_over_copy(id, found);
            }
            Err(ReadError::Changed { .. }) => return false,
            Err(error) => {
                self.stuck.insert(id, Stuck { as_long_as: Some(found.stamp), ..Stuck::now(error.to_string()) });
            }
        }
        true
    }

    /// A copy that has nothing new is not read, unless it changes.
    fn pass_over_copy(&mut self, id: FileId, found: &Found) {
        let text = format!("{}: is a copy of what was read before; not read", found.path.display());
        self.notices.push(Notice { level: Level::Info, text });
        self.stuck.insert(id, Stuck { as_long_as: Some(found.stamp), ..Stuck::default() });
    }

    /// A copy is not read as long as the original is there: as a rule it is about to be what is left.
    fn leave_copy(&mut self, id: FileId, found: &Found, plain: bool) {
        let text = format!("{}: is taken for a copy of a log that is followed; not read", found.path.display());
        let since = self.stuck.get(&id).and_then(|stuck| stuck.trouble.as_ref()).map_or(self.now + GRACE, |t| t.1);
        self.stuck.insert(id, Stuck { trouble: plain.then_some((text, since)), ..Stuck::default() });
    }

    /// Files that lost their names while nobody looked: read to their end, where they are now.
    pub(super) fn meet_strays(&mut self) {
        for stray in seen::strays(self.known.gone(), &self.sources) {
            let is_it = |position: &Position| !position.overwritten && position.file() == stray.id;
            let at = self.known.gone().iter().position(is_it);
            let Some((at, position)) = at.map(|at| (at, self.known.gone()[at].clone())) else { continue };
            let options = self.sources[stray.source].options.clone();
            let there = Position { path: stray.place.clone(), ..position.clone() };
            match LogReader::resume(&there, &options) {
                Ok(mut reader) if reader.file() == stray.id => {
                    self.known.take_gone(at);
                    let text = format!("{}: goes on in {}", position.path.display(), stray.place.display());
                    self.notices.push(Notice { level: Level::Info, text });
                    reader.renamed(&position.path, stray.place);
                    let first_ts = position.newest_ts.unwrap_or(i64::MIN);
                    let file = Tailed::new(reader, stray.source, first_ts, self.now).passing_over(position.passed_over);
                    self.files.push(file);
                }
                // It has other content by now.
                Err(ReadError::Changed { .. }) if is_still(stray.id, &there.path) => {
                    if let Some(position) = self.known.take_gone(at) {
                        self.known.lost(position);
                    }
                }
                // It moves, vanishes or may not be opened: the next look tries again.
                Ok(_) | Err(_) => self.search_until = self.search_until.max(self.now + GRACE),
            }
        }
    }
}

/// Whether a name still means the file.
fn is_still(id: FileId, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| FileId::of(&metadata) == id)
}

impl Stuck {
    /// Every look tries again.
    fn now(trouble: String) -> Self {
        Self { trouble: Some((trouble, Duration::ZERO)), ..Self::default() }
    }
}
