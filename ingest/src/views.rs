//! The text columns of one batch, as Arrow string views: 16 bytes a value, which hold up to 12 bytes of text themselves
//! and otherwise point into a buffer. Text that stands in the block of the file is pointed at where it is; other text
//! is copied once, into the side buffer. The empty text is NULL: the table has no other.
//!
//! This is the one module with `unsafe`. Arrow's checked constructor validates each value's UTF-8 and bounds again,
//! which costs about as much as the rest of the parser. It is not needed: every view made here comes from a `&str`,
//! which is UTF-8 already, and either lies within the block's memory (immutable, and kept alive by the `Buffer` held
//! here) or was just appended to the side buffer, which only ever grows. Views never leave this module, so none can
//! meet buffers that it was not made for. Debug builds check all of it again, and a property test compares with the
//! checked constructor.
#![expect(unsafe_code, reason = "see above")]

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};

/// Text up to this length is kept in the view.
const INLINE: usize = 12;
const BLOCK: u128 = 0;
const SIDE: u128 = 1;

/// `MASKS[n]` keeps the first `n` bytes.
const MASKS: [u128; INLINE + 1] = {
    let mut masks = [0; INLINE + 1];
    let mut bytes = 1;
    while bytes <= INLINE {
        masks[bytes] = masks[bytes - 1] << 8 | 0xFF;
        bytes += 1;
    }
    masks
};

/// Text columns that fill row by row. A column that a row does not mention is NULL there.
pub(crate) struct TextColumns {
    block: Buffer,
    side: Vec<u8>,
    columns: Vec<Column>,
    row: usize,
    capacity: usize,
}

#[derive(Clone, Default)]
struct Column {
    /// Empty until the first value, then as long as the batch can become. Zero, the view of the empty text, is NULL.
    views: Vec<u128>,
}

impl TextColumns {
    /// `count` empty columns over the text of `block`, for up to `capacity` rows.
    pub(crate) fn new(block: Buffer, count: usize, capacity: usize) -> Self {
        assert!(u32::try_from(block.len()).is_ok(), "a block is a few MiB");
        Self { block, side: Vec::new(), columns: vec![Column::default(); count], row: 0, capacity }
    }

    /// Ends the row.
    pub(crate) fn next_row(&mut self) {
        self.row += 1;
    }

    /// Gives the current row's value in a column, once.
    #[inline]
    pub(crate) fn set(&mut self, column: usize, text: Option<&str>) {
        if let Some(text) = text {
            let view = self.view(text);
            self.put(column, self.row, view);
        }
    }

    #[inline]
    fn put(&mut self, column: usize, row: usize, view: u128) {
        let Column { views } = &mut self.columns[column];
        if views.is_empty() {
            *views = vec![0; self.capacity];
        }
        views[row] = view;
    }

    /// Gives column `to` the value that `from` was given in the current row; the bytes are shared.
    #[inline]
    pub(crate) fn share(&mut self, from: usize, to: usize) {
        let view = self.columns[from].views[self.row];
        self.put(to, self.row, view);
    }

    /// Gives a column the same value in all rows so far; the bytes are stored once.
    pub(crate) fn fill(&mut self, column: usize, text: &str) {
        let view = self.view(text);
        self.columns[column].views = vec![view; self.row];
    }

    /// The columns, each as long as there were rows.
    pub(crate) fn finish(self) -> Vec<ArrayRef> {
        let rows = self.row;
        let buffers: Arc<[Buffer]> = Arc::new([self.block, Buffer::from_vec(self.side)]);
        let all_null: ArrayRef = Arc::new(StringViewArray::new_null(rows));
        let finish = |column: Column| {
            let Column { mut views } = column;
            if views.is_empty() {
                return all_null.clone();
            }
            views.truncate(rows);
            Arc::new(array(views, &buffers))
        };
        self.columns.into_iter().map(finish).collect()
    }

    #[inline]
    fn view(&mut self, text: &str) -> u128 {
        let bytes = text.as_bytes();
        // Where `text` lies relative to the block; far outside if it lies elsewhere.
        let at = (bytes.as_ptr() as usize).wrapping_sub(self.block.as_ptr() as usize);
        if at < self.block.len() && bytes.len() <= self.block.len() - at {
            if bytes.len() > INLINE {
                return long_view(bytes, BLOCK, at);
            }
            // Sixteen bytes at once, cut to size by a mask: quicker than a copy of varying length.
            if let Some(window) = self.block[at..].first_chunk::<16>() {
                return (u128::from_le_bytes(*window) & MASKS[bytes.len()]) << 32 | bytes.len() as u128;
            }
        }
        self.copied_view(bytes)
    }

    /// The view of a text that does not lie in the block, or at its very end.
    #[inline(never)]
    fn copied_view(&mut self, bytes: &[u8]) -> u128 {
        if bytes.len() <= INLINE {
            return inline_view(bytes);
        }
        let at = self.side.len();
        self.side.extend_from_slice(bytes);
        // What is derived from a block stays far below 4 GiB, too: each byte of it is copied a bounded number of times.
        assert!(u32::try_from(self.side.len()).is_ok(), "buffers of a batch are below 4 GiB");
        long_view(bytes, SIDE, at)
    }
}

/// The view of a text of up to 12 bytes: its length, then the bytes.
fn inline_view(bytes: &[u8]) -> u128 {
    let mut text = [0; 16];
    text[4..4 + bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(text) | bytes.len() as u128
}

/// The view of a longer text: its length, first four bytes, buffer and place in the buffer, which is shorter than 4 GiB.
#[inline]
fn long_view(bytes: &[u8], buffer: u128, at: usize) -> u128 {
    let prefix = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (at as u128) << 96 | buffer << 64 | u128::from(prefix) << 32 | bytes.len() as u128
}

/// An array of these views.
fn array(views: Vec<u128>, buffers: &Arc<[Buffer]>) -> StringViewArray {
    let values = views.iter().filter(|view| **view != 0).count();
    let valid = || BooleanBuffer::collect_bool(views.len(), |row| views[row] != 0);
    let nulls = (values < views.len()).then(|| NullBuffer::new(valid()));
    let views = ScalarBuffer::from(views);
    debug_assert!(StringViewArray::try_new(views.clone(), buffers.clone(), nulls.clone()).is_ok());
    // SAFETY: the module's comment says why each view is UTF-8 and within `buffers`; zero is the view of the empty text.
    // `nulls` is as long as `views`.
    unsafe { StringViewArray::new_unchecked(views, buffers.clone(), nulls) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use proptest::prelude::*;

    proptest! {
        /// Parts of the block and other texts, NULLs and shared values come out as they went in, and what Arrow's checked
        /// constructor makes of the same views is the same.
        #[test]
        fn views_equal_the_values(
            block in "\\PC{0,60}",
            rows in proptest::collection::vec((any::<[usize; 2]>(), proptest::option::of("\\PC{0,20}"), any::<bool>()), 0..150),
        ) {
            let buffer = Buffer::from_vec(block.clone().into_bytes());
            let text = std::str::from_utf8(&buffer).expect("was a string");
            let mut columns = TextColumns::new(buffer.clone(), 4, rows.len());
            let mut expected = [const { Vec::new() }; 3];
            for ([a, b], other, share) in &rows {
                let (a, b) = (text.floor_char_boundary(a % (text.len() + 1)), text.floor_char_boundary(b % (text.len() + 1)));
                let part = &text[a.min(b)..a.max(b)];
                columns.set(0, Some(part));
                columns.set(1, other.as_deref());
                if *share && !part.is_empty() {
                    columns.share(0, 2);
                }
                columns.next_row();
                let not_empty = |text: Option<&'_ str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
                expected[0].push(not_empty(Some(part)));
                expected[1].push(not_empty(other.as_deref()));
                expected[2].push(not_empty(share.then_some(part)));
            }
            let arrays = columns.finish();
            for (array, expected) in arrays.iter().zip(&expected) {
                let array = array.as_string_view();
                let checked = StringViewArray::new(
                    array.views().clone(),
                    array.data_buffers().to_vec(),
                    array.nulls().cloned(),
                );
                prop_assert_eq!(array, &checked);
                let values: Vec<_> = array.iter().map(|value| value.map(str::to_owned)).collect();
                prop_assert_eq!(&values, expected);
            }
            prop_assert_eq!(arrays[3].null_count(), rows.len());
        }
    }

    #[test]
    fn a_filled_column_stores_its_text_once() {
        let mut columns = TextColumns::new(Buffer::from_vec(Vec::<u8>::new()), 1, 3);
        columns.next_row();
        columns.next_row();
        columns.fill(0, "longer than twelve bytes");
        let arrays = columns.finish();
        let array = arrays[0].as_string_view();
        assert_eq!(array, &StringViewArray::from_iter_values(["longer than twelve bytes"; 2]));
        assert_eq!(array.data_buffers()[1].len(), 24);
    }
}
