//! What a store forgets: panes that no window holds any more, and what only they knew.

use datafusion::common::Result;

use super::Store;
use super::pane::Pane;
use super::words::SharedWords;

/// Fewer keys than these are not worth the search for unused ones.
const MIN_KEYS: usize = if cfg!(test) { 2 } else { 64 * 1024 };

impl Store {
    /// Forgets the panes whose last window ends at or before `closed_to`, and the keys that nobody has any more. Returns whether
    /// the keys have other numbers now.
    pub fn forget(&mut self, closed_to: i64) -> Result<bool> {
        let mut watches = std::mem::take(&mut self.watches);
        for watch in &mut watches {
            // (before the panes go, which it subtracts)
            watch.advance(closed_to, &self.panes, self.slide);
        }
        self.watches = watches;
        let (retain, before) = (self.retain, self.panes.len());
        self.panes.retain(|key, _| key.pane.saturating_add(retain) > closed_to);
        if self.panes.len() == before { Ok(false) } else { self.forget_keys() }
    }

    fn forget_keys(&mut self) -> Result<bool> {
        if self.keys.len() < self.keys_checked.saturating_mul(2).max(MIN_KEYS) {
            return Ok(false);
        }
        let mut used = vec![false; self.keys.len()];
        self.panes.values().flat_map(Pane::counts).for_each(|(key, _)| used[key as usize] = true);
        self.keys_checked = used.iter().filter(|used| **used).count();
        // Worth it only if most of them go.
        if self.keys_checked > used.len() / 2 {
            return Ok(false);
        }
        let kept: Vec<u32> = (0u32..).zip(&used).filter(|(_, used)| **used).map(|(key, _)| key).collect();
        let mut renumbered = vec![u32::MAX; used.len()];
        for (new, &old) in (0u32..).zip(&kept) {
            renumbered[old as usize] = new;
        }
        let empty = self.keys.emptied()?;
        self.keys = std::mem::replace(&mut self.keys, empty).retained(&kept)?;
        self.cool();
        self.panes.values_mut().for_each(|pane| pane.renumber(&renumbered));
        for watch in &mut self.watches {
            watch.renumber(&renumbered);
            watch.recount(&self.panes, self.slide, self.keys.len());
        }
        self.generation += 1;
        Ok(true)
    }

    /// Marks the numbers of texts that its keys have.
    pub fn mark_words(&self, words: &SharedWords, used: &mut [bool]) {
        self.keys.mark_words(words, used);
        for place in self.keys.places(words) {
            self.panes.values().flat_map(|p| p.sift.keys()).for_each(|key| used[place.word(key)] = true);
        }
    }

    /// Texts have new numbers: `renumbered[old]`.
    pub fn renumber_words(&mut self, words: &SharedWords, renumbered: &[u32]) {
        self.keys.renumber_words(words, renumbered);
        for place in self.keys.places(words) {
            let keys = self.panes.values_mut().flat_map(|p| p.sift.keys_mut());
            keys.for_each(|key| *key = place.with(*key, renumbered));
        }
    }
}
