//! Which rows of a column have a value.

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

/// A bit a row, set where there is a value.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    words: Vec<u64>,
    set: usize,
}

impl Validity {
    /// For up to `capacity` rows, none of which has a value yet.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { words: vec![0; capacity.div_ceil(64)], set: 0 }
    }

    /// The row has a value; to be said once a row.
    #[inline]
    pub(crate) fn set(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
        self.set += 1;
    }

    /// For an array of `rows` rows; `None` if all have values.
    pub(crate) fn finish(self, rows: usize) -> Option<NullBuffer> {
        if self.set == rows {
            return None;
        }
        // Arrow counts bits from the least significant of the first byte: the order of little-endian words.
        let words: Vec<u64> =
            if cfg!(target_endian = "little") { self.words } else { self.words.into_iter().map(u64::to_le).collect() };
        Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(words), 0, rows)))
    }
}
