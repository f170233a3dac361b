//! Which group each key has.

use hashbrown::HashMap;

/// No group.
pub const NONE: u32 = u32::MAX;

/// The groups of keys.
#[derive(Debug)]
pub enum Groups {
    /// Of most keys that there are: by their numbers.
    Most(Vec<u32>),
    /// Of a few: room for all would cost more than these.
    Few(HashMap<u32, u32>),
}

impl Default for Groups {
    fn default() -> Self {
        Self::Most(Vec::new())
    }
}

impl Groups {
    /// The place for the group of a key: [`NONE`] while it has none.
    #[inline]
    pub fn of(&mut self, key: u32) -> &mut u32 {
        match self {
            Self::Most(groups) => {
                let at = key as usize;
                if at >= groups.len() {
                    groups.resize((at + 1).next_power_of_two(), NONE);
                }
                &mut groups[at]
            }
            Self::Few(groups) => groups.entry(key).or_insert(NONE),
        }
    }

    /// The group of a key.
    pub fn get(&self, key: u32) -> Option<u32> {
        let group = match self {
            Self::Most(groups) => groups.get(key as usize),
            Self::Few(groups) => groups.get(&key),
        };
        group.copied().filter(|group| *group != NONE)
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Most(groups) => groups.capacity() * 4,
            Self::Few(groups) => groups.allocation_size(),
        }
    }
}
