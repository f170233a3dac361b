//! What is known of files that are not open.

use std::collections::{BTreeMap, VecDeque};

use super::seen::Seen;
use crate::position::{FileId, Position};

/// Positions kept of files that are gone: their archives may come, or a disk that was away.
const REMEMBERED: usize = 256;

/// See above.
pub(super) struct Known {
    /// Files that a source names: archives that were read, files that are closed for now or cannot be opened.
    resting: BTreeMap<FileId, Position>,
    /// Files that no source names any more, and content that was overwritten. The oldest first.
    gone: VecDeque<Position>,
}

impl Known {
    pub(super) fn new(positions: Vec<Position>) -> Self {
        Self { resting: BTreeMap::new(), gone: positions.into() }
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
        self.gone.extend(left.iter().filter_map(|id| self.resting.remove(id)));
        let surplus = self.gone.len().saturating_sub(REMEMBERED);
        self.gone.drain(..surplus);
        !left.is_empty()
    }

    /// A file is not open any more, or not yet.
    pub(super) fn rest(&mut self, position: Position, seen: &Seen) {
        if !seen.files.contains_key(&position.file()) {
            self.gone.push_back(position);
        } else if let Some(before) = self.resting.insert(position.file(), position) {
            self.gone.push_back(before.orphaned());
        }
    }

    /// A named file stays closed.
    pub(super) fn keep(&mut self, id: FileId, position: Position) {
        self.resting.insert(id, position);
    }

    /// What was read of a file is not in it any more; a copy or an archive may have it.
    pub(super) fn lost(&mut self, position: Position) {
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
        self.resting.remove(&id)
    }

    pub(super) fn resting(&self) -> impl Iterator<Item = &Position> {
        self.resting.values()
    }

    pub(super) fn gone(&self) -> &VecDeque<Position> {
        &self.gone
    }

    pub(super) fn take_gone(&mut self, at: usize) -> Option<Position> {
        self.gone.remove(at)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Position> {
        self.resting.values().chain(&self.gone)
    }
}
