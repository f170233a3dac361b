//! The keys of the last JSON line: the next one of a log most likely has the same, in the same order, so that they need be
//! neither searched for their end nor looked up.

use std::ops::Range;

use super::field::Meaning;

/// Keys that are remembered.
const MAX_KEYS: usize = 64;

/// The keys of a line's outermost object, and what its format says that they mean. Of one format only.
#[derive(Debug, Default)]
pub struct Keys {
    known: Vec<Key>,
}

/// A key, in its place.
#[derive(Debug)]
pub(super) struct Key {
    /// What stood between the values before and behind it: `,"status":`. Empty: it cannot be found by its text.
    pub(super) around: String,
    /// Where the key stands in that.
    pub(super) at: Range<usize>,
    pub(super) meaning: Meaning,
}

impl Keys {
    /// The key that stood in this place.
    #[inline]
    pub(super) fn expected(&self, place: usize) -> Option<&Key> {
        self.known.get(place).filter(|key| !key.around.is_empty())
    }

    /// Another key stands in this place: `around` is the text from the value before it to its own.
    pub(super) fn remember(&mut self, place: usize, key: &str, around: &str, meaning: Meaning) {
        // What is written with escapes is not found by its text.
        let is_plain = !key.contains(['"', '\\']);
        let at = memchr::memmem::find(around.as_bytes(), key.as_bytes()).filter(|_| is_plain);
        let around = if at.is_some() { around.to_owned() } else { String::new() };
        let at = at.unwrap_or(0);
        let key = Key { around, at: at..at + key.len(), meaning };
        if let Some(known) = self.known.get_mut(place) {
            *known = key;
        } else if place == self.known.len() && place < MAX_KEYS {
            self.known.push(key);
        }
    }
}
