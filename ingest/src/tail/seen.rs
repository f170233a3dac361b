//! What the file system shows: the files that the sources name, and those that lost their names while nobody looked.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Source;
use crate::discover::{discover, glob_base};
use crate::position::{FileId, Position};

/// What tells whether a file has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }

    pub(super) fn size(self) -> u64 {
        self.size
    }
}

/// What the sources name.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) files: BTreeMap<FileId, Found>,
    pub(super) paths: HashMap<OsString, FileId>,
    pub(super) troubles: BTreeSet<String>,
    /// Whether symbolic links lead to any of it: what happens behind them is told by nobody.
    pub(super) has_links: bool,
}

/// One of the files.
#[derive(Clone)]
pub(super) struct Found {
    /// Index of the source.
    pub(super) source: usize,
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// A file that no source names any more, and where it is now.
pub(super) struct Stray {
    pub(super) id: FileId,
    pub(super) place: PathBuf,
    /// Index of the source that named it.
    pub(super) source: usize,
}

impl Seen {
    pub(super) fn look(sources: &[Source]) -> Self {
        let mut seen = Self::default();
        for (source, Source { pattern, .. }) in sources.iter().enumerate() {
            let found = discover(pattern);
            seen.troubles.extend(found.problems.iter().map(ToString::to_string));
            seen.has_links |= found.has_links;
            for path in found.files {
                // What vanished since it was listed is as if it had not been there.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let id = FileId::of(&metadata);
                seen.paths.insert(path.clone().into_os_string(), id);
                // The first source that names a file is its source, the first name its name.
                seen.files.entry(id).or_insert(Found { source, path, stamp: Stamp::of(&metadata) });
            }
        }
        seen
    }

    /// Looks again at one of the files; whether it has changed.
    pub(super) fn look_again(&mut self, id: FileId) -> bool {
        let Some(found) = self.files.get_mut(&id) else { return false };
        let stamp = fs::metadata(&found.path).ok().filter(|now| FileId::of(now) == id).map(|now| Stamp::of(&now));
        stamp.is_some_and(|stamp| std::mem::replace(&mut found.stamp, stamp) != stamp)
    }
}

/// Looks for files that were not read to their end and were renamed while nobody looked: where they stood, under any name.
pub(super) fn strays(gone: &VecDeque<Position>, sources: &[Source]) -> Vec<Stray> {
    let mut folders: BTreeMap<PathBuf, HashMap<u64, Vec<PathBuf>>> = BTreeMap::new();
    let mut strays = Vec::new();
    for position in gone {
        if position.finished || position.compressed || position.overwritten {
            continue;
        }
        let stood = if position.real.as_os_str().is_empty() { &position.path } else { &position.real };
        let Some(folder) = stood.parent() else { continue };
        let entries = folders.entry(folder.to_owned()).or_insert_with(|| list(folder));
        let is_it = |path: &&PathBuf| fs::metadata(path).is_ok_and(|found| FileId::of(&found) == position.file());
        if let Some(place) = entries.get(&position.file().ino).into_iter().flatten().find(is_it) {
            let source = source_of(&position.path, sources);
            strays.push(Stray { id: position.file(), place: place.clone(), source });
        }
    }
    strays
}

/// What is in a folder, by inode.
fn list(folder: &Path) -> HashMap<u64, Vec<PathBuf>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut list: HashMap<u64, Vec<PathBuf>> = HashMap::new();
    for entry in entries {
        list.entry(entry.ino()).or_default().push(entry.path());
    }
    list
}

/// The source that names a path, going by the folder below which its files lie.
pub(super) fn source_of(path: &Path, sources: &[Source]) -> usize {
    let depth = |source: &Source| {
        let base = glob_base(&source.pattern);
        (path.starts_with(&base) || base == Path::new(".")).then(|| base.components().count())
    };
    let best = sources.iter().enumerate().max_by_key(|(index, source)| (depth(source), std::cmp::Reverse(*index)));
    best.map_or(0, |(index, _)| index)
}
