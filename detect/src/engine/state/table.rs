//! A table of keys.

use std::hash::{BuildHasher, Hash};

use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Keys and their numbers.
#[derive(Debug)]
pub struct Table<K> {
    /// By their numbers.
    pub keys: Vec<K>,
    /// Numbers only: with the keys in it the table would be so much larger that looking up is no quicker.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), numbers: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<K: Hash + Eq> Table<K> {
    /// The number of a key; a new one gets the next.
    #[inline]
    pub fn number(&mut self, key: K) -> Result<u32> {
        let Self { keys, numbers, hasher } = self;
        let hash = hasher.hash_one(&key);
        if let Some(number) = numbers.find(hash, |&n| keys[n as usize] == key) {
            return Ok(*number);
        }
        let number =
            u32::try_from(keys.len()).map_err(|_| exec_datafusion_err!("more than 4 billion groups at once"))?;
        keys.push(key);
        numbers.insert_unique(hash, number, |&n| hasher.hash_one(&keys[n as usize]));
        Ok(number)
    }

    /// Only the keys with these numbers, ascending.
    pub fn retained(self, numbers: &[u32]) -> Result<Self> {
        let mut kept = Self::default();
        let mut numbers = numbers.iter().copied().peekable();
        for (number, key) in (0u32..).zip(self.keys) {
            if numbers.next_if_eq(&number).is_some() {
                kept.number(key)?;
            }
        }
        Ok(kept)
    }

    /// Changes the keys, which stay different ones and keep their numbers.
    pub fn rewrite(&mut self, change: impl Fn(K) -> K)
    where
        K: Copy,
    {
        let Self { keys, numbers, hasher } = self;
        for key in keys.iter_mut() {
            *key = change(*key);
        }
        numbers.clear();
        for (number, key) in (0u32..).zip(keys.iter()) {
            numbers.insert_unique(hasher.hash_one(*key), number, |&n| hasher.hash_one(keys[n as usize]));
        }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.keys.capacity() * size_of::<K>() + self.numbers.allocation_size()
    }
}
