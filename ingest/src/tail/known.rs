//! What is known of files that are not open.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::beginning::Beginning;
use super::seen::Seen;
use crate::position::{FileId, Position};

/// Positions kept of files that are gone: their archives may come, or a disk that was away.
const REMEMBERED: usize = 16_384;

/// See above.
pub(super) struct Known {
    /// Files that a source names: archives that were read, files that are closed for now or cannot be opened.
    resting: BTreeMap<FileId, Position>,
    /// The same by where their first requests stand and how these begin: very many files are not to be compared one by one.
    alike: BTreeMap<u64, HashMap<u64, BTreeSet<FileId>>>,
    /// Files that no source names any more, and content that was overwritten. The oldest first.
    gone: VecDeque<Position>,
    /// Keys whose positions may have changed, and whose they were.
    touched: Vec<(String, FileId)>,
}

impl Known {
    pub(super) fn new(mut positions: Vec<Position>) -> Self {
        positions.sort_by_key(|position| position.newest_ts);
        Self { resting: BTreeMap::new(), alike: BTreeMap::new(), gone: positions.into(), touched: Vec::new() }
    }

    /// Which files are named and which are gone; forgets the oldest of the latter. Returns whether any lost its name
    /// while it was not open.
    pub(super) fn sort(&mut self, seen: &Seen) -> bool {
        let is_named = |position: &Position| !position.overwritten && seen.files.contains_key(&position.file());
        let (back, gone): (Vec<_>, Vec<_>) = self.gone.drain(..).partition(is_named);
        self.gone = gone.into();
        for position in back {
            self.rest(position, seen);
        }
        let left: Vec<FileId> = self.resting.keys().filter(|id| !seen.files.contains_key(id)).copied().collect();
        for id in &left {
            if let Some(position) = self.take(*id) {
                self.gone.push_back(position);
            }
        }
        let surplus = self.gone.len().saturating_sub(REMEMBERED);
        self.touched.extend(self.gone.drain(..surplus).map(|position| (position.key.clone(), position.file())));
        !left.is_empty()
    }

    /// A file is not open any more, or not yet.
    pub(super) fn rest(&mut self, position: Position, seen: &Seen) {
        if !seen.files.contains_key(&position.file()) {
            self.touch(&position);
            self.gone.push_back(position);
        } else if let Some(before) = self.keep(position) {
            self.lost(before);
        }
    }

    /// A named file stays closed. Returns what was known of a file with its inode.
    pub(super) fn keep(&mut self, position: Position) -> Option<Position> {
        let before = self.take(position.file());
        self.touch(&position);
        self.alike
            .entry(position.prefix_at)
            .or_default()
            .entry(position.begin_hash)
            .or_default()
            .insert(position.file());
        self.resting.insert(position.file(), position);
        before
    }

    /// What was read of a file is not in it any more; a copy or an archive may have it.
    pub(super) fn lost(&mut self, position: Position) {
        self.touch(&position);
        self.gone.push_back(position.orphaned());
    }

    /// The generation that a file is in whose content was overwritten so far as is known.
    pub(super) fn generation(&self, id: FileId) -> u32 {
        let overwritten = self.gone.iter().filter(|position| position.overwritten && position.file() == id);
        overwritten.map(|position| position.generation + 1).max().unwrap_or(0)
    }

    pub(super) fn of(&self, id: FileId) -> Option<&Position> {
        self.resting.get(&id)
    }

    pub(super) fn take(&mut self, id: FileId) -> Option<Position> {
        let position = self.resting.remove(&id)?;
        self.touch(&position);
        if let Some(alike) = self.alike.get_mut(&position.prefix_at) {
            if let Some(ids) = alike.get_mut(&position.begin_hash) {
                ids.remove(&id);
                if ids.is_empty() {
                    alike.remove(&position.begin_hash);
                }
            }
            if alike.is_empty() {
                self.alike.remove(&position.prefix_at);
            }
        }
        Some(position)
    }

    /// The named files that may begin as another one does.
    pub(super) fn resting_like(&self, beginning: &Beginning) -> Vec<&Position> {
        let mut like = Vec::new();
        for (place, alike) in &self.alike {
            for begin in [Some(0), beginning.begin_hash(*place)].into_iter().flatten() {
                like.extend(alike.get(&begin).into_iter().flatten().filter_map(|id| self.resting.get(id)));
            }
        }
        like
    }

    pub(super) fn gone(&self) -> &VecDeque<Position> {
        &self.gone
    }

    pub(super) fn take_gone(&mut self, at: usize) -> Option<Position> {
        let position = self.gone.remove(at)?;
        self.touch(&position);
        Some(position)
    }

    /// Where the first requests of files stand.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> {
        self.alike.keys().copied().chain(self.gone.iter().map(|position| position.prefix_at))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Position> {
        self.resting.values().chain(&self.gone)
    }

    /// A position was made, has changed or is no more.
    pub(super) fn touch(&mut self, position: &Position) {
        self.touched.push((position.key.clone(), position.file()));
    }

    /// What is to be stored now of all that was touched since the last time: positions, and keys that have none.
    pub(super) fn changes(&mut self) -> (Vec<Position>, Vec<String>) {
        let mut touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return (Vec::new(), Vec::new());
        }
        touched.sort_unstable();
        touched.dedup();
        let gone: HashMap<&str, &Position> = self.gone.iter().map(|position| (position.key(), position)).collect();
        let (mut positions, mut without) = (Vec::new(), Vec::new());
        for (key, id) in touched {
            let resting = self.resting.get(&id).filter(|position| position.key == key);
            match gone.get(key.as_str()).copied().or(resting) {
                Some(position) => positions.push(position.clone()),
                None => without.push(key),
            }
        }
        (positions, without)
    }
}
