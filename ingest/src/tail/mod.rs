//! Follows the files of several sources as they appear, grow, rotate and vanish, and never loses or doubles a line that
//! could be read.
//!
//! Correctness comes from looking: [`Tailer::poll`] lists what each source names and compares it with the files at hand.
//! A file is its device and inode, confirmed by hashes of its first bytes and of those before the offset; its name may
//! change. What fails the test is another file, or another generation of the same one, and is read from its start.

mod file;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use file::{Change, Tailed};

use crate::batch::{Batch, Counters};
use crate::discover::discover;
use crate::input::{Compression, Input};
use crate::position::{FileId, HASHED, Position};
use crate::probe::{ProbeError, probe_as};
use crate::reader::{LogReader, Mode, ReadError};
use crate::reread::Reread;
use crate::source::SourceOptions;

/// Files open at a time; others wait until one is read to its end.
const MAX_OPEN: usize = 512;
/// Positions kept of files that are gone: their archives may come, or a disk that was away.
const REMEMBERED: usize = 256;
/// Polls that a file which lost its name must be silent before it is dropped.
const GRACE: u32 = 3;

/// Files to follow.
#[derive(Debug, Clone)]
pub struct Source {
    /// A file, a directory with all below it, or a glob.
    pub pattern: String,
    /// How to read them.
    pub options: SourceOptions,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The file's key, as in [`TailBatch`].
    pub key: String,
    /// The file's name now.
    pub path: PathBuf,
    /// Which of the sources names it, by its place in the list.
    pub source: usize,
    /// The format's name.
    pub format: String,
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

/// Follows files.
pub struct Tailer {
    sources: Vec<Source>,
    files: Vec<Tailed>,
    /// Positions of files that are not open: archives that were read, files that were not seen yet or are gone.
    resting: Vec<Position>,
    /// The generation that a file is in which began anew.
    generations: HashMap<FileId, u32>,
    /// Files that cannot be read, or no further.
    stuck: BTreeMap<FileId, Stuck>,
    /// What is wrong now and was told.
    troubles: BTreeSet<String>,
    notices: Vec<Notice>,
    /// See [`Tailer::reject_after`].
    latest: i64,
}

impl Tailer {
    /// Follows `sources`, from `positions` where they are known, else from the files' starts. Looks at nothing yet.
    pub fn new(sources: Vec<Source>, positions: Vec<Position>) -> Self {
        Self {
            sources,
            files: Vec::new(),
            resting: positions,
            generations: HashMap::new(),
            stuck: BTreeMap::new(),
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

    /// Looks at the file system once. Returns what happened since the last time.
    pub fn poll(&mut self) -> Vec<Notice> {
        let seen = self.look();
        self.check_open_files(&seen);
        for (id, found) in &seen.files {
            self.meet(*id, found, &seen);
        }
        self.forget(&seen);
        self.stuck.retain(|id, _| seen.files.contains_key(id));
        let mut troubles = seen.troubles;
        troubles.extend(self.stuck.values().filter_map(|stuck| stuck.trouble.clone()));
        for trouble in troubles.difference(&self.troubles) {
            self.notices.push(Notice { level: Level::Warn, text: trouble.clone() });
        }
        self.troubles = troubles;
        std::mem::take(&mut self.notices)
    }

    /// The next lines, of the file that is furthest behind in event time. `None`: nothing more until the next poll.
    pub fn next_batch(&mut self) -> Option<TailBatch> {
        loop {
            let furthest = self.files.iter().enumerate().filter(|(_, file)| !file.at_end);
            let (at, _) = furthest.min_by_key(|(_, file)| file.event_time())?;
            match self.files[at].next_batch(self.latest) {
                Ok(Some(batch)) => return Some(batch),
                Ok(None) => {
                    if self.files[at].is_archive() {
                        self.rest(at, true);
                    }
                }
                Err(error) => {
                    let file = &self.files[at].reader;
                    let size = file.input().metadata().ok().map(|metadata| metadata.len());
                    self.stuck.insert(file.file(), Stuck { until_not: size, trouble: None });
                    self.notices.push(Notice { level: Level::Warn, text: error.to_string() });
                    self.rest(at, false);
                }
            }
        }
    }

    /// How far all files were read. Commit it together with what was derived from the batches returned so far.
    pub fn positions(&self) -> Vec<Position> {
        self.files.iter().map(Tailed::position).chain(self.resting.iter().cloned()).collect()
    }

    /// The files that are open.
    pub fn sources(&self) -> impl Iterator<Item = FileStatus> {
        self.files.iter().map(Tailed::status)
    }

    /// What the sources name now.
    fn look(&self) -> Seen {
        let mut seen = Seen::default();
        for (source, Source { pattern, .. }) in self.sources.iter().enumerate() {
            let found = discover(pattern);
            seen.troubles.extend(found.problems.iter().map(ToString::to_string));
            for path in found.files {
                // What vanished since it was listed is as if it had not been there.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let id = FileId::of(&metadata);
                seen.paths.insert(path.clone(), id);
                // The first source that names a file is its source, the first name its name.
                seen.files.entry(id).or_insert(Found { source, path, size: metadata.len() });
            }
        }
        seen
    }

    /// Renamed, truncated, vanished, grown?
    fn check_open_files(&mut self, seen: &Seen) {
        let mut at = 0;
        while at < self.files.len() {
            let file = &mut self.files[at];
            let id = file.reader.file();
            let named = seen.files.get(&id);
            if let Some(found) = named
                && seen.paths.get(file.reader.path()) != Some(&id)
            {
                let text = format!("{}: is now {}", file.reader.path().display(), found.path.display());
                self.notices.push(Notice { level: Level::Info, text });
                file.reader.renamed(&found.path);
            }
            match file.look(named.is_some()) {
                Change::None => at += 1,
                Change::Truncated(text) => {
                    let file = self.files.swap_remove(at);
                    self.generations.insert(id, file.reader.generation() + 1);
                    // Truncated after it was copied, as a rule: the copy may hold lines that were not read here.
                    self.resting.push(file.position().orphaned());
                    self.notices.push(Notice { level: Level::Warn, text });
                }
                Change::Dropped => {
                    let text =
                        format!("{}: was read to its end and is no longer followed", file.reader.path().display());
                    self.notices.push(Notice { level: Level::Info, text });
                    self.generations.remove(&id);
                    self.rest(at, false);
                }
            }
        }
    }

    /// A file that a source names: open already, known from a position, or new.
    fn meet(&mut self, id: FileId, found: &Found, seen: &Seen) {
        let open = self.files.iter().any(|file| file.reader.file() == id);
        let stuck = self.stuck.get(&id).is_some_and(|stuck| stuck.until_not == Some(found.size));
        if open || stuck {
            return;
        }
        if self.files.len() >= MAX_OPEN {
            // One text for all of them, so that it is told once.
            let text = format!("{MAX_OPEN} files are followed already: the others are not read; name fewer in `path`");
            self.stuck.insert(id, Stuck { until_not: None, trouble: Some(text) });
            return;
        }
        let options = self.sources[found.source].options.clone();
        let known = self.resting.iter().position(|position| position.file() == id);
        match known {
            Some(known) if self.resting[known].finished => {}
            Some(known) => {
                let position = self.resting.remove(known);
                self.resume(position, id, found, &options);
            }
            None => self.open(id, found, &options, Some(seen)),
        }
    }

    /// A file that was read before.
    fn resume(&mut self, mut position: Position, id: FileId, found: &Found, options: &SourceOptions) {
        position.path.clone_from(&found.path);
        match LogReader::resume(&position, options) {
            Ok(reader) => {
                self.stuck.remove(&id);
                self.files.push(Tailed::new(reader, found.source, position.newest_ts.unwrap_or(i64::MIN)));
            }
            Err(error @ ReadError::Changed { .. }) => {
                self.notices.push(Notice { level: Level::Warn, text: format!("{error}; it is read from its start") });
                self.generations.insert(id, position.generation + 1);
                // The file that had this inode may have gone into an archive.
                self.resting.push(position.orphaned());
                self.open(id, found, options, None);
            }
            Err(error) => {
                self.stuck.insert(id, Stuck { until_not: None, trouble: Some(error.to_string()) });
                self.resting.push(position);
            }
        }
    }

    /// A new file, or a new generation of one, from its start; with `seen`, perhaps the archive of a file that was read.
    fn open(&mut self, id: FileId, found: &Found, options: &SourceOptions, seen: Option<&Seen>) {
        let generation = self.generations.get(&id).copied().unwrap_or(0);
        let probe = match probe_as(&found.path, options, Mode::Follow) {
            Ok(probe) => probe,
            Err(error) => {
                let stuck = match &error {
                    ProbeError::Empty { .. } => Stuck { until_not: Some(found.size), trouble: None },
                    ProbeError::Unreadable { .. } => Stuck { until_not: None, trouble: Some(error.to_string()) },
                    _ => Stuck { until_not: Some(found.size), trouble: Some(error.to_string()) },
                };
                self.stuck.insert(id, stuck);
                return;
            }
        };
        if let Some(seen) = seen {
            let plain = probe.compression == Compression::None;
            match self.original(&found.path, plain, seen) {
                Original::None => {}
                Original::Here if plain => {
                    let text =
                        format!("{}: is taken for a copy of a log that is followed; not read", found.path.display());
                    self.stuck.insert(id, Stuck { until_not: None, trouble: Some(text) });
                    return;
                }
                Original::Here => return,
                Original::Gone(position) => return self.resume(position, id, found, options),
            }
        }
        match LogReader::open_generation(&probe, options, Mode::Follow, generation) {
            Ok(reader) => {
                let text = format!("{}: followed as `{}`", found.path.display(), reader.format());
                self.notices.push(Notice { level: Level::Info, text });
                self.stuck.remove(&id);
                self.files.push(Tailed::new(reader, found.source, probe.first_ts));
            }
            Err(error) => {
                self.stuck.insert(id, Stuck { until_not: None, trouble: Some(error.to_string()) });
            }
        }
    }

    /// Which of the files that were read an archive or a plain copy was made of, going by its first bytes.
    fn original(&mut self, archive: &Path, plain: bool, seen: &Seen) -> Original {
        let mut prefix = Vec::new();
        if Input::open(archive).and_then(|mut input| input.fill(&mut prefix, HASHED)).is_err() {
            return Original::None; // reading it will tell
        }
        let shortest = if plain { HASHED } else { 1 };
        let read = |file: &Tailed| file.reader.prefix().len() >= shortest && prefix.starts_with(file.reader.prefix());
        if self.files.iter().any(read) {
            return Original::Here;
        }
        let is_it = |p: &Position| !p.compressed && p.begins(&prefix) && (!plain || p.is_telling());
        let original = self.resting.iter().position(is_it);
        match original {
            None => Original::None,
            Some(at) if seen.files.contains_key(&self.resting[at].file()) => Original::Here,
            Some(at) => Original::Gone(self.resting.remove(at)),
        }
    }

    /// Bounds the memory of what is gone.
    fn forget(&mut self, seen: &Seen) {
        let gone = |position: &Position| !seen.files.contains_key(&position.file());
        let mut surplus = self.resting.iter().filter(|position| gone(position)).count().saturating_sub(REMEMBERED);
        // The oldest stand first.
        self.resting.retain(|position| {
            let forgotten = surplus > 0 && gone(position);
            surplus -= usize::from(forgotten);
            !forgotten
        });
    }

    /// Closes a file, remembers how far it was read.
    fn rest(&mut self, at: usize, finished: bool) {
        let file = self.files.swap_remove(at);
        self.resting.push(Position { finished, ..file.position() });
    }
}

/// What an archive was made of.
enum Original {
    /// Nothing that was read.
    None,
    /// A file that is still read itself.
    Here,
    /// A file that is gone, read up to here.
    Gone(Position),
}

/// Why a file is not followed.
struct Stuck {
    /// It stays so as long as the file has this size; `None`: every poll tries again.
    until_not: Option<u64>,
    /// What somebody should know.
    trouble: Option<String>,
}

/// What the sources name.
#[derive(Default)]
struct Seen {
    files: BTreeMap<FileId, Found>,
    paths: BTreeMap<PathBuf, FileId>,
    troubles: BTreeSet<String>,
}

struct Found {
    /// Index of the source.
    source: usize,
    path: PathBuf,
    size: u64,
}
