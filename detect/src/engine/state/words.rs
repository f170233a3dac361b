//! Texts, each stored once and known by a small number.

use std::hash::BuildHasher;

use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Numbers have so many bits.
pub const WORD_BITS: u32 = 28;

/// Texts in the order in which they were met. Number 0 is NULL.
#[derive(Debug, Default)]
pub struct Words {
    bytes: Vec<u8>,
    /// Where each text ends in `bytes`.
    ends: Vec<usize>,
    table: HashTable<Entry>,
    hasher: DefaultHashBuilder,
}

/// What is looked at before the text itself: most other texts differ here already.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    number: u32,
}

impl Words {
    /// The number of a text.
    #[inline]
    pub fn number(&mut self, text: &str) -> Result<u32> {
        let Self { bytes, ends, table, hasher } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let short = short(hash);
        let found = table.find(hash, |e| e.hash == short && at(bytes, ends, e.number) == text.as_bytes());
        if let Some(entry) = found {
            return Ok(entry.number);
        }
        let number = ends.len() + 1;
        if number >> WORD_BITS != 0 {
            return Err(exec_datafusion_err!("more than {number} different texts to group by at once"));
        }
        let number = u32::try_from(number).unwrap_or(0);
        bytes.extend_from_slice(text.as_bytes());
        ends.push(bytes.len());
        table.insert_unique(hash, Entry { hash: short, number }, |e| hasher.hash_one(at(bytes, ends, e.number)));
        Ok(number)
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> Option<&str> {
        // It was text when it was stored.
        if number == 0 { None } else { std::str::from_utf8(at(&self.bytes, &self.ends, number)).ok() }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }
}

fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
fn at<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let at = number as usize - 1;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start..ends[at]]
}
