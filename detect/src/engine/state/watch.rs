//! Which groups of an open window may already be enough for a finding.
//!
//! For each key a watch counts its rows in the newest window. No aggregate with a threshold can be above that count, so only
//! keys that reach it are worth a look, and the next look is due only when enough rows have come to make a difference.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::PaneKey;
use super::pane::Pane;
use crate::engine::window::WindowSpec;

/// What a rule must reach before its rows can be findings: its `HAVING count(*) >= 500`, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Rows, at least.
    pub rows: i64,
    /// Position of an `approx_distinct` among the aggregates, and what it must reach.
    pub distinct: Option<(usize, u64)>,
}

/// Watches the newest window of one rule.
#[derive(Debug)]
pub struct Watch {
    /// The rule's number.
    pub rule: usize,
    /// Its windows.
    spec: WindowSpec,
    /// When a key is worth a look.
    pub threshold: Threshold,
    /// Rows of each key in `from..to`.
    counts: Vec<u32>,
    from: i64,
    to: i64,
    /// The number of rows at which a key is looked at next; and the end of a window that told about it.
    next: HashMap<u32, Next>,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Rows(u32),
    /// Told: not again in a window that starts before this.
    After(i64),
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(rule: usize, spec: WindowSpec, threshold: Threshold) -> Self {
        Self { rule, spec, threshold, counts: Vec::new(), from: i64::MIN, to: i64::MIN, next: HashMap::new() }
    }

    /// The window that is watched: its start and end, µs.
    pub fn window(&self) -> (i64, i64) {
        (self.from, self.to)
    }

    /// Moves on to the first window to end that holds `ts`, unless the one at hand ends later. Returns whether it is watched now.
    pub fn advance(&mut self, ts: i64, panes: &BTreeMap<PaneKey, Pane>, slide: i64) -> bool {
        let to = self.spec.pane(ts).saturating_add(self.spec.slide);
        if to <= self.to {
            return to == self.to;
        }
        let from = to - self.spec.size;
        for (key, rows) in in_time(panes, self.from, from.min(self.to), slide).flat_map(Pane::counts) {
            if let Some(count) = self.counts.get_mut(key as usize) {
                *count = count.saturating_sub(clamp(rows));
            }
        }
        // (there are such panes after a restart only: the rows of others are counted as they come)
        for (key, rows) in in_time(panes, from.max(self.to), to, slide).flat_map(Pane::counts) {
            self.add(key, clamp(rows));
        }
        (self.from, self.to) = (from, to);
        // (what a key had in the panes that are gone may be missing at its next look)
        self.next.retain(|_, next| matches!(next, Next::After(start) if *start > from));
        true
    }

    /// Counts rows of the newest pane; the keys that are worth a look, ascending.
    pub fn count(&mut self, numbers: &[u32]) -> Vec<u32> {
        let enough = clamp(self.threshold.rows);
        let mut candidates = Vec::new();
        for &key in numbers {
            if self.add(key, 1) >= enough {
                candidates.push(key);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|key| match self.next.get(key) {
            None => true,
            Some(Next::Rows(rows)) => self.counts[*key as usize] >= *rows,
            Some(Next::After(_)) => false,
        });
        candidates
    }

    /// Rows of a key in the window that is watched.
    pub fn rows(&self, key: u32) -> u32 {
        self.counts.get(key as usize).copied().unwrap_or(0)
    }

    /// A look at a key found too little: at least `missing` more rows are needed.
    pub fn look_again(&mut self, key: u32, missing: u64) {
        let count = self.rows(key);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX).max(MIN_STEP).max(count / 8);
        self.next.insert(key, Next::Rows(count.saturating_add(missing)));
    }

    /// A look at a key told a finding of the window that ends at `end`: not again before a window that shares no pane with it.
    pub fn told(&mut self, key: u32, end: i64) {
        self.next.insert(key, Next::After(end));
    }

    /// Counts anew what the panes hold.
    pub fn recount(&mut self, panes: &BTreeMap<PaneKey, Pane>, slide: i64, keys: usize) {
        self.counts = vec![0; keys.next_power_of_two()];
        for (key, rows) in in_time(panes, self.from, self.to, slide).flat_map(Pane::counts) {
            self.add(key, clamp(rows));
        }
    }

    fn add(&mut self, key: u32, rows: u32) -> u32 {
        let at = key as usize;
        if at >= self.counts.len() {
            self.counts.resize((at + 1).next_power_of_two(), 0);
        }
        self.counts[at] = self.counts[at].saturating_add(rows);
        self.counts[at]
    }

    /// Gives the keys new numbers: `renumbered[old]`, where it is not `u32::MAX`.
    pub fn renumber(&mut self, renumbered: &[u32]) {
        let next = std::mem::take(&mut self.next);
        self.next = next
            .into_iter()
            .filter_map(|(key, next)| Some((renumbered.get(key as usize).copied().filter(|n| *n != u32::MAX)?, next)))
            .collect();
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.counts.capacity() * 4 + self.next.len() * 24
    }
}

/// A failed look is not repeated before so many more rows of the key.
const MIN_STEP: u32 = 8;

/// The panes in `from..to` without what came late.
pub fn in_time(panes: &BTreeMap<PaneKey, Pane>, from: i64, to: i64, slide: i64) -> impl Iterator<Item = &Pane> {
    let to = to.max(from);
    let range = PaneKey { pane: from, first_end: i64::MIN }..PaneKey { pane: to, first_end: i64::MIN };
    panes.range(range).filter(move |(key, _)| key.first_end == key.pane + slide).map(|(_, pane)| pane)
}

fn clamp(rows: i64) -> u32 {
    u32::try_from(rows.max(0)).unwrap_or(u32::MAX)
}
