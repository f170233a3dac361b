//! The keys of the last JSON line: the next one of a log most likely has the same, in the same order, so that they need be
//! neither searched for their end nor looked up.

use super::field::Meaning;

/// Keys that are remembered.
const MAX_KEYS: usize = 64;

/// The keys of a line's outermost object, and what its format says that they mean. Of one format only.
#[derive(Debug, Default)]
pub struct Keys {
    known: Vec<(Option<String>, Meaning)>,
}

impl Keys {
    /// The key that stood in this place.
    pub(super) fn expected(&self, place: usize) -> Option<&str> {
        self.known.get(place)?.0.as_deref()
    }

    /// What the expected key of this place means.
    pub(super) fn meaning(&self, place: usize) -> Option<Meaning> {
        self.known.get(place).map(|(_, meaning)| *meaning)
    }

    /// Another key stands in this place.
    pub(super) fn remember(&mut self, place: usize, key: &str, meaning: Meaning) {
        // What is written with escapes is not found by its text.
        let key = (!key.contains(['"', '\\'])).then(|| key.to_owned());
        if let Some(known) = self.known.get_mut(place) {
            *known = (key, meaning);
        } else if place == self.known.len() && place < MAX_KEYS {
            self.known.push((key, meaning));
        }
    }
}
