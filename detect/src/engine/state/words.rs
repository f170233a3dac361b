//! Texts, each stored once and known by a small number.

use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Numbers have so many bits.
pub const WORD_BITS: u32 = 28;

/// Texts in the order in which they were met. Number 0 is NULL.
#[derive(Debug, Default)]
pub struct Words {
    all: String,
    /// Where each text ends in `all`.
    ends: Vec<usize>,
    table: HashTable<Entry>,
    hasher: DefaultHashBuilder,
    /// How many were in use when it was looked at last.
    checked: usize,
    /// Counts how often the texts got new numbers.
    pub generation: u64,
}

/// Texts that several stores know by the same numbers. (The lock is never waited for: numbers are given before stores work.)
#[derive(Debug, Clone, Default)]
pub struct SharedWords(Arc<RwLock<Words>>);

/// Fewer texts than these are not worth the search for unused ones.
const MIN_WORDS: usize = if cfg!(test) { 2 } else { 64 * 1024 };

impl SharedWords {
    /// To look up texts.
    pub fn read(&self) -> RwLockReadGuard<'_, Words> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To number texts.
    pub fn write(&self) -> RwLockWriteGuard<'_, Words> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Drops the texts that nobody uses, if they are most. `mark` says which numbers are in use; returns the new ones, by the old.
    pub fn forget(&self, mark: impl FnOnce(&mut [bool])) -> Option<Vec<u32>> {
        let (count, checked) = (self.read().ends.len(), self.read().checked);
        if count < checked.saturating_mul(2).max(MIN_WORDS) {
            return None;
        }
        let mut used = vec![false; count + 1];
        mark(&mut used);
        let kept = used[1..].iter().filter(|used| **used).count();
        self.write().checked = kept;
        (kept <= count / 2).then(|| self.write().retain(&used))
    }
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
        let Self { all, ends, table, hasher, .. } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let short = short(hash);
        let found = table.find(hash, |e| e.hash == short && at(all, ends, e.number) == text);
        if let Some(entry) = found {
            return Ok(entry.number);
        }
        let number = ends.len() + 1;
        if number >> WORD_BITS != 0 {
            return Err(exec_datafusion_err!("more than {number} different texts to group by at once"));
        }
        let number = u32::try_from(number).unwrap_or(0);
        all.push_str(text);
        ends.push(all.len());
        table.insert_unique(hash, Entry { hash: short, number }, |e| {
            hasher.hash_one(at(all, ends, e.number).as_bytes())
        });
        Ok(number)
    }

    /// The number of each text of a column; 0 where there is none.
    pub fn numbers(&mut self, texts: &ArrayRef, mut put: impl FnMut(usize, u32)) -> Result<()> {
        macro_rules! texts {
            ($array:expr) => {{
                let array = $array;
                for row in 0..array.len() {
                    put(row, if array.is_valid(row) { self.number(array.value(row))? } else { 0 });
                }
            }};
        }
        match texts.data_type() {
            DataType::Utf8 => texts!(texts.as_string::<i32>()),
            DataType::LargeUtf8 => texts!(texts.as_string::<i64>()),
            _ => texts!(texts.as_string_view()),
        }
        Ok(())
    }

    /// Keeps the texts whose numbers are marked. Returns their new numbers, by the old.
    pub fn retain(&mut self, used: &[bool]) -> Vec<u32> {
        let old = std::mem::take(self);
        (self.checked, self.generation) = (old.checked, old.generation + 1);
        let mut number = |(number, used): (usize, &bool)| {
            let text = used.then(|| old.text(u32::try_from(number).ok()?)).flatten()?;
            self.number(text).ok()
        };
        used.iter().enumerate().map(|each| number(each).unwrap_or(0)).collect()
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> Option<&str> {
        if number == 0 { None } else { Some(at(&self.all, &self.ends, number)) }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.all.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }
}

fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
fn at<'a>(all: &'a str, ends: &[usize], number: u32) -> &'a str {
    let at = number as usize - 1;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &all[start..ends[at]]
}
