//! Columns of keys that are packed into integers: numbers as they are, texts by their numbers.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, LargeStringBuilder, StringBuilder, StringViewBuilder, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::Result;

use super::words::{SharedWords, WORD_BITS};

/// A column to group by.
#[derive(Debug, Clone)]
pub struct KeyColumn {
    /// The type of its values.
    pub data_type: DataType,
    /// If it comes as numbers of texts: what they mean.
    pub words: Option<SharedWords>,
}

/// A column of packed keys.
#[derive(Debug, Clone)]
pub struct Column {
    data_type: DataType,
    /// Bits that its values take.
    pub bits: u32,
    /// The numbers of its texts, if it is of text.
    pub words: SharedWords,
    /// The numbers are given by others.
    pub numbered: bool,
}

/// Where in packed keys the number of a text is.
pub struct Place {
    shift: u32,
}

impl Place {
    /// The number of the text in a key.
    #[expect(clippy::cast_possible_truncation, reason = "28 bits")]
    pub fn word(&self, key: u128) -> usize {
        low(key >> self.shift, WORD_BITS) as usize
    }

    /// The key with the text's new number: `renumbered[old]`.
    pub fn with(&self, key: u128, renumbered: &[u32]) -> u128 {
        let old = self.word(key);
        let new = renumbered.get(old).copied().unwrap_or(0);
        key ^ ((old as u128 ^ u128::from(new)) << self.shift)
    }
}

/// Where packed keys have numbers of these texts.
pub fn places<'a>(columns: &'a [Column], words: &'a SharedWords) -> impl Iterator<Item = Place> + 'a {
    let shift = |at: usize| columns[at + 1..].iter().map(|c| c.bits).sum();
    let of_words = move |(_, c): &(usize, &Column)| c.is_text() && c.words.is(words);
    columns.iter().enumerate().filter(of_words).map(move |(at, _)| Place { shift: shift(at) })
}

/// Makes room for `bits` more.
pub fn shifted(key: u64, bits: u32) -> u64 {
    key.checked_shl(bits).unwrap_or(0)
}

/// The values in packed keys, of which the last column's are lowest.
pub fn unpacked(columns: &[Column], mut keys: Vec<u128>) -> Result<Vec<ArrayRef>> {
    let mut arrays: Vec<ArrayRef> =
        columns.iter().rev().map(|column| column.unpack(&mut keys)).collect::<Result<_>>()?;
    arrays.reverse();
    Ok(arrays)
}

impl Column {
    /// How a column is packed, if it can be.
    pub fn of(column: &KeyColumn) -> Option<Self> {
        let bits = match &column.data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => WORD_BITS,
            // And one that says that it is not NULL.
            other if other.is_integer() || other.is_temporal() => {
                u32::try_from(other.primitive_width().filter(|w| *w <= 8)?).ok()? * 8 + 1
            }
            _ => return None,
        };
        let words = column.words.clone().unwrap_or_default();
        Some(Self { data_type: column.data_type.clone(), bits, words, numbered: column.words.is_some() })
    }

    /// Whether it is of text.
    pub fn is_text(&self) -> bool {
        matches!(self.data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    }

    /// Hands on each row's value as bits. (A number's own 64 and the one for NULL are handed on one after the other.)
    pub fn pack(&self, column: &ArrayRef, mut put: impl FnMut(usize, u32, u64)) -> Result<()> {
        match column.data_type() {
            DataType::UInt32 if self.is_text() => {
                let numbers = column.as_primitive::<UInt32Type>().values().iter().enumerate();
                numbers.for_each(|(row, &number)| put(row, WORD_BITS, u64::from(number)));
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                self.words.write().numbers(column, |row, number| put(row, WORD_BITS, u64::from(number)))?;
            }
            _ => {
                let width = (self.bits as usize - 1) / 8;
                let data = column.to_data();
                let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
                for row in 0..column.len() {
                    let valid = column.is_valid(row);
                    put(row, 1, u64::from(valid));
                    let mut value = [0; 8];
                    if valid {
                        value[..width].copy_from_slice(&bytes[row * width..(row + 1) * width]);
                    }
                    put(row, self.bits - 1, u64::from_le_bytes(value));
                }
            }
        }
        Ok(())
    }

    /// Takes this column's values off the low ends of keys.
    fn unpack(&self, keys: &mut [u128]) -> Result<ArrayRef> {
        macro_rules! texts {
            ($builder:expr) => {{
                let mut builder = $builder;
                let words = self.words.read();
                for key in keys {
                    builder.append_option(words.text(low(*key, WORD_BITS) as u32));
                    *key >>= WORD_BITS;
                }
                Arc::new(builder.finish())
            }};
        }
        #[expect(clippy::cast_possible_truncation, reason = "words have 28 bits")]
        Ok(match &self.data_type {
            DataType::Utf8 => texts!(StringBuilder::new()),
            DataType::LargeUtf8 => texts!(LargeStringBuilder::new()),
            DataType::Utf8View => texts!(StringViewBuilder::with_capacity(keys.len())),
            _ => {
                let width = (self.bits as usize - 1) / 8;
                let mut bytes = Vec::with_capacity(keys.len() * width);
                for key in keys.iter_mut() {
                    bytes.extend_from_slice(&low(*key, self.bits - 1).to_le_bytes()[..width]);
                    *key >>= self.bits - 1;
                }
                let valid = BooleanBuffer::collect_bool(keys.len(), |i| keys[i] & 1 == 1);
                for key in keys.iter_mut() {
                    *key >>= 1;
                }
                let data = ArrayData::builder(self.data_type.clone())
                    .len(keys.len())
                    .nulls(Some(NullBuffer::new(valid)).filter(|n| n.null_count() > 0))
                    .add_buffer(Buffer::from_vec(bytes))
                    .align_buffers(true)
                    .build()?;
                make_array(data)
            }
        })
    }
}

/// The lowest bits.
#[expect(clippy::cast_possible_truncation, reason = "at most 64 of them")]
fn low(key: u128, bits: u32) -> u64 {
    (key & ((1 << bits) - 1)) as u64
}
