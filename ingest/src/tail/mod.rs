//! Follows the files of several sources as they appear, grow, rotate and vanish, and never loses or doubles a line that
//! could be read.
//!
//! Correctness comes from looking: [`Tailer::poll`] lists what each source names and compares it with the files at hand.
//! A file is its device and inode, confirmed by hashes of its first bytes, from the first request on, and of those before
//! the offset; its name may change. What fails the test is another file, or another generation of the same one, and is read from its start.

mod beginning;
mod copies;
mod file;
mod known;
mod meet;
mod seen;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use file::{Change, Tailed};
use known::Known;
use seen::{Seen, Stamp};

use crate::batch::{Batch, Counters};
use crate::position::{FileId, Position};
use crate::reader::ReadError;
use crate::reread::Reread;
use crate::source::SourceOptions;
use crate::wake::Told;

/// Files open at a time. One that stands still is closed for one that grows.
const MAX_OPEN: usize = 512;
/// How long a file that lost its name must be silent before it is dropped: servers write on until they are told to
/// reopen their logs.
const GRACE: Duration = Duration::from_mins(1);
/// Looking at all that the sources name may be done again after so long for each file there: a hundred times what it
/// takes, so that many idle files cost little.
const LOOK_A_FILE: Duration = Duration::from_micros(500);
/// How often that is done at least where the system tells of changes ([`Tailer::hear`]): events get lost, and some file
/// systems send none.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// Files to follow.
#[derive(Debug, Clone)]
pub struct Source {
    /// A file, a directory with all below it, or a glob.
    pub pattern: String,
    /// How to read them.
    pub options: SourceOptions,
    /// What stands in its files before anything of this source was ever followed is passed over.
    pub from_end: bool,
}

/// Lines of one of the files.
#[derive(Debug, Clone)]
pub struct TailBatch {
    /// The file's key: the same through restarts and renames, another for another content.
    pub file: String,
    /// The file's name now.
    pub path: PathBuf,
    /// Which of the sources names it, by its place in the list.
    pub source: usize,
    /// The lines.
    pub batch: Batch,
    /// How far a line of this file may lie behind its newest, in µs.
    pub lateness_us: i64,
    /// A way to read them again.
    pub reread: Reread,
}

/// How one file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStatus<'t> {
    /// The file's key, as in [`TailBatch`].
    pub key: &'t str,
    /// The file's name now.
    pub path: &'t Path,
    /// Which of the sources names it, by its place in the list.
    pub source: usize,
    /// The format's name.
    pub format: &'t str,
    /// The newest timestamp read, in µs.
    pub newest_ts: Option<i64>,
    /// How far a line may lie behind it, in µs.
    pub lateness_us: i64,
    /// Whether everything was read that the last poll saw.
    pub at_end: bool,
    /// What was changed or passed over since this process began.
    pub counters: Counters,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Things take their course.
    Info,
    /// Somebody should look.
    Warn,
}

/// Something that happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// What, where and, for [`Level::Warn`], what to do.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How what is known of files has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New or changed; by their keys, which may have had others before.
    pub puts: Vec<Position>,
    /// Keys that have no position any more.
    pub deletes: Vec<String>,
}

/// Follows files.
pub struct Tailer {
    sources: Vec<Source>,
    files: Vec<Tailed>,
    known: Known,
    /// Files that cannot be read, or no further.
    stuck: BTreeMap<FileId, Stuck>,
    /// What was told of files of which reading failed, and that were not read further since.
    failed: HashMap<FileId, String>,
    /// What files looked like that were closed to make room.
    parked: HashMap<FileId, Stamp>,
    /// Files that wait for room.
    waiting: Vec<FileId>,
    /// Files that look like copies of files that are about to be read.
    copies: Vec<FileId>,
    /// Files that were truncated since this began, by source.
    truncations: Vec<u64>,
    /// How much of a file is passed over, where a source is followed from the end.
    passed_over: HashMap<FileId, u64>,
    /// Until when files are looked for that lost their names while nobody looked.
    search_until: Duration,
    seen: Arc<Seen>,
    /// When to look at the file system again; `None`: nobody has looked yet.
    next_look: Option<Duration>,
    /// Whether somebody tells of all changes ([`Tailer::hear`]), as far as the system does.
    hears: bool,
    /// Whether nobody told of new names, or of others, since it was looked last; then looking may wait.
    is_quiet: bool,
    /// Closed files that were written to.
    written: Vec<FileId>,
    /// When it was looked last.
    looked: Duration,
    now: Duration,
    /// What is wrong now and was told.
    troubles: BTreeSet<String>,
    notices: Vec<Notice>,
    /// See [`Tailer::reject_after`].
    latest: i64,
}

/// Why a file is not followed.
#[derive(Default)]
struct Stuck {
    /// It stays so as long as the file looks like this; `None`: every look tries again.
    as_long_as: Option<Stamp>,
    /// And until then; `None`: for good.
    until: Option<Duration>,
    /// What somebody should know, and from when on.
    trouble: Option<(String, Duration)>,
}

impl Tailer {
    /// Follows `sources`, from `positions` where they are known, else from the files' starts, or from the ends of those that
    /// are there when a source is followed for the first time. Looks at nothing yet.
    pub fn new(sources: Vec<Source>, positions: Vec<Position>) -> Self {
        Self {
            truncations: vec![0; sources.len()],
            sources,
            files: Vec::new(),
            known: Known::new(positions),
            stuck: BTreeMap::new(),
            failed: HashMap::new(),
            parked: HashMap::new(),
            waiting: Vec::new(),
            copies: Vec::new(),
            passed_over: HashMap::new(),
            search_until: Duration::ZERO,
            seen: Arc::default(),
            next_look: None,
            hears: false,
            is_quiet: false,
            written: Vec::new(),
            looked: Duration::ZERO,
            now: Duration::ZERO,
            troubles: BTreeSet::new(),
            notices: Vec::new(),
            latest: i64::MAX,
        }
    }

    /// From now on, lines dated after `latest` (µs) are rejected as [`crate::RejectReason::FarAhead`] and do not count for
    /// how far a file has come: one line from the year 2099 would make all that follow late.
    pub fn reject_after(&mut self, latest: i64) {
        self.latest = latest;
    }

    /// What the system told of all sources since this was called last: looks that would find nothing may be rarer.
    pub fn hear(&mut self, told: Told) {
        self.hears = told != Told::Blind;
        match told {
            Told::Blind | Told::Anything => self.is_quiet = false,
            Told::Written(paths) => {
                let ids = paths.iter().filter_map(|path| self.seen.paths.get(path.as_os_str()));
                self.written.extend(ids);
            }
        }
    }

    /// Looks at the open files and, unless that was done a moment ago, at all that the sources name. `now`: on a clock that
    /// only goes forward. Returns what happened since the last time.
    pub fn poll(&mut self, now: Duration) -> Vec<Notice> {
        self.now = now;
        let wait = if self.is_quiet { LOOK_ANYWAY } else { Duration::ZERO };
        if self.next_look.is_some_and(|next| now < next.max(self.looked + wait)) {
            self.check_open_files();
            self.meet_written();
        } else {
            self.seen = Arc::new(Seen::look(&self.sources));
            if self.next_look.is_none() {
                self.pass_over();
            }
            if self.known.sort(&self.seen) || self.next_look.is_none() {
                self.search_until = now + GRACE;
            }
            let files = u32::try_from(self.seen.files.len()).unwrap_or(u32::MAX);
            (self.looked, self.is_quiet) = (now, self.hears && !self.seen.has_links);
            self.written.clear();
            self.next_look = Some(now + LOOK_A_FILE.saturating_mul(files));
            self.check_open_files();
            self.meet_all();
            if now <= self.search_until {
                self.meet_strays();
            }
            self.tell_troubles();
        }
        std::mem::take(&mut self.notices)
    }

    /// What is there at the very first look at a source, if that is followed from the end.
    fn pass_over(&mut self) {
        let known: BTreeSet<usize> =
            self.known.all().map(|position| seen::source_of(&position.path, &self.sources)).collect();
        let is_passed = |found: &seen::Found| self.sources[found.source].from_end && !known.contains(&found.source);
        let files = self.seen.files.iter().filter(|(_, found)| is_passed(found));
        self.passed_over = files.map(|(id, found)| (*id, found.stamp.size())).collect();
    }

    fn tell_troubles(&mut self) {
        self.passed_over.retain(|id, _| self.seen.files.contains_key(id));
        self.stuck.retain(|id, _| self.seen.files.contains_key(id));
        self.failed.retain(|id, _| self.seen.files.contains_key(id));
        self.parked.retain(|id, _| self.seen.files.contains_key(id));
        let stuck = self.stuck.values().filter_map(|stuck| stuck.trouble.as_ref());
        let due = stuck.filter(|(_, from)| *from <= self.now).map(|(text, _)| text.clone());
        let troubles: BTreeSet<String> = self.seen.troubles.iter().cloned().chain(due).collect();
        for trouble in troubles.difference(&self.troubles) {
            self.notices.push(Notice { level: Level::Warn, text: trouble.clone() });
        }
        self.troubles = troubles;
    }

    /// The next lines, of the file that is furthest behind in event time. `None`: nothing more until the next poll.
    pub fn next_batch(&mut self) -> Option<TailBatch> {
        loop {
            let furthest = self.files.iter().enumerate().filter(|(_, file)| !file.at_end);
            let Some((at, _)) = furthest.min_by_key(|(_, file)| file.event_time()) else {
                if self.meet_waiting() {
                    continue;
                }
                return None;
            };
            match self.files[at].next_batch(self.latest) {
                Ok(Some(batch)) => {
                    self.failed.remove(&self.files[at].reader.file());
                    return Some(batch);
                }
                Ok(None) => {
                    if self.files[at].is_archive() {
                        self.rest(at, true);
                    }
                }
                Err(error) => {
                    // As it looked before it was read: an archive may have become whole since.
                    let id = self.files[at].reader.file();
                    let stamp = self.seen.files.get(&id).map(|found| found.stamp);
                    // What a disk or a network refuses now it may give later, without a change of the file.
                    let until = matches!(error, ReadError::Read { .. }).then(|| self.now + GRACE);
                    self.stuck.insert(id, Stuck { as_long_as: stamp, until, trouble: None });
                    let text = error.to_string();
                    if self.failed.insert(id, text.clone()).as_ref() != Some(&text) {
                        self.notices.push(Notice { level: Level::Warn, text });
                    }
                    self.rest(at, false);
                }
            }
        }
    }

    /// What of [`Self::positions`] is new since this was called last. Commit it together with what was derived from the
    /// batches returned so far.
    pub fn changes(&mut self) -> Changes {
        let (mut puts, gone) = self.known.changes();
        puts.extend(self.files.iter_mut().filter_map(Tailed::new_position));
        let is_open = |key: &String| self.files.iter().any(|file| file.reader.key() == key);
        Changes { deletes: gone.into_iter().filter(|key| !is_open(key)).collect(), puts }
    }

    /// How far all files were read. Commit it together with what was derived from the batches returned so far.
    pub fn positions(&self) -> Vec<Position> {
        self.files.iter().map(Tailed::position).chain(self.known.all().cloned()).collect()
    }

    /// How often files were truncated since this began, by source.
    pub fn truncations(&self) -> &[u64] {
        &self.truncations
    }

    /// The files that are open, and those with lines that wait until others are read.
    pub fn sources(&self) -> impl Iterator<Item = FileStatus<'_>> {
        self.files.iter().map(Tailed::status).chain(self.waiting_status())
    }

    /// Renamed, truncated, vanished, grown?
    fn check_open_files(&mut self) {
        let mut at = 0;
        while at < self.files.len() {
            let file = &mut self.files[at];
            let id = file.reader.file();
            let named = self.seen.files.get(&id);
            if let Some(found) = named
                && self.seen.paths.get(file.reader.path().as_os_str()) != Some(&id)
            {
                let text = format!("{}: is now {}", file.reader.path().display(), found.path.display());
                self.notices.push(Notice { level: Level::Info, text });
                let real = if found.path.is_symlink() { found.path.canonicalize() } else { Ok(PathBuf::new()) };
                file.renamed(&found.path, real.unwrap_or_default());
            }
            match file.look(named.is_some(), self.now) {
                Change::None => at += 1,
                Change::Unfinished(text) => {
                    at += 1;
                    self.notices.push(Notice { level: Level::Warn, text });
                }
                Change::Truncated(text) => {
                    let file = self.files.swap_remove(at);
                    self.truncations[file.source()] += 1;
                    // Truncated after it was copied, as a rule: the copy may hold lines that were not read here.
                    self.known.lost(file.position());
                    self.notices.push(Notice { level: Level::Warn, text });
                }
                Change::Dropped => {
                    let text =
                        format!("{}: was read to its end and is no longer followed", file.reader.path().display());
                    self.notices.push(Notice { level: Level::Info, text });
                    self.rest(at, false);
                }
            }
        }
    }

    /// Closes a file, remembers how far it was read.
    fn rest(&mut self, at: usize, finished: bool) {
        let file = self.files.swap_remove(at);
        self.known.rest(Position { finished, ..file.position() }, &self.seen);
    }
}
