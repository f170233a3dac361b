//! Group keys, each stored once and known by a small number.
//!
//! A key is the values of the columns that a rule groups by, without the window's bounds: a client that is seen in every pane is
//! stored once. Texts become numbers ([`Words`]), and the numbers of a key are packed into one integer: looking a key up goes to
//! memory once, where comparing texts would go there three times.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, LargeStringBuilder, StringBuilder, StringViewBuilder, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, Float32Type, Float64Type, UInt32Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::words::{SharedWords, WORD_BITS};

/// The keys of one group of rules.
#[derive(Debug)]
pub struct Keys {
    columns: Vec<KeyColumn>,
    codec: Codec,
}

/// A column to group by.
#[derive(Debug, Clone)]
pub struct KeyColumn {
    /// The type of its values.
    pub data_type: DataType,
    /// If it comes as numbers of texts: what they mean.
    pub words: Option<SharedWords>,
}

/// How values become keys.
#[derive(Debug)]
enum Codec {
    /// Values that fit into 64 bits together.
    Short(Vec<Column>, Table<u64>),
    /// Into 128.
    Long(Vec<Column>, Table<u128>),
    /// Anything else: Arrow's rows, as they were first met.
    Rows(RowConverter, Table<Arc<[u8]>>),
}

/// A column of packed keys.
#[derive(Debug)]
struct Column {
    data_type: DataType,
    /// Bits that its values take.
    bits: u32,
    /// The numbers of its texts, if it is of text.
    words: SharedWords,
    /// The numbers are given by others.
    numbered: bool,
}

/// Keys and their numbers.
#[derive(Debug)]
struct Table<K> {
    keys: Vec<K>,
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
    #[inline]
    fn number(&mut self, key: K) -> Result<u32> {
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
    fn retained(self, numbers: &[u32]) -> Result<Self> {
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
    fn rewrite(&mut self, change: impl Fn(K) -> K)
    where
        K: Copy,
    {
        let Self { keys, numbers, hasher } = self;
        keys.iter_mut().for_each(|key| *key = change(*key));
        numbers.clear();
        for (number, key) in (0u32..).zip(keys.iter()) {
            numbers.insert_unique(hasher.hash_one(key), number, |&n| hasher.hash_one(&keys[n as usize]));
        }
    }

    fn size(&self) -> usize {
        self.keys.capacity() * size_of::<K>() + self.numbers.allocation_size()
    }
}

impl Keys {
    /// No keys yet.
    pub fn new(columns: Vec<KeyColumn>) -> Result<Self> {
        let packed: Option<Vec<Column>> = columns.iter().map(Column::of).collect();
        let bits = packed.as_ref().map_or(u32::MAX, |columns| columns.iter().map(|c| c.bits).sum());
        let codec = match packed {
            Some(columns) if bits <= u64::BITS => Codec::Short(columns, Table::default()),
            Some(columns) if bits <= u128::BITS => Codec::Long(columns, Table::default()),
            _ => {
                let fields = columns.iter().map(|c| SortField::new(c.data_type.clone())).collect();
                Codec::Rows(RowConverter::new(fields)?, Table::default())
            }
        };
        Ok(Self { columns, codec })
    }

    /// Whether a column of texts may come as their numbers.
    pub fn are_packed(types: &[DataType]) -> bool {
        let columns = types.iter().map(|t| Column::of(&KeyColumn { data_type: t.clone(), words: None }));
        columns.map(|c| c.map_or(u32::MAX / 64, |c| c.bits)).sum::<u32>() <= u128::BITS
    }

    /// How many there are: their numbers are below it.
    pub fn len(&self) -> usize {
        match &self.codec {
            Codec::Short(_, table) => table.keys.len(),
            Codec::Long(_, table) => table.keys.len(),
            Codec::Rows(_, table) => table.keys.len(),
        }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        let words =
            |columns: &[Column]| columns.iter().filter(|c| !c.numbered).map(|c| c.words.read().size()).sum::<usize>();
        match &self.codec {
            Codec::Short(columns, table) => words(columns) + table.size(),
            Codec::Long(columns, table) => words(columns) + table.size(),
            Codec::Rows(_, table) => table.size() + table.keys.iter().map(|key| key.len()).sum::<usize>(),
        }
    }

    /// The number of each row's key; new keys get the next numbers.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, numbers: &mut Vec<u32>) -> Result<()> {
        numbers.clear();
        numbers.reserve(rows);
        match &mut self.codec {
            Codec::Short(parts, table) => {
                let mut packed = vec![0u64; rows];
                for (part, column) in parts.iter_mut().zip(columns) {
                    part.pack(column, |row, bits, value| packed[row] = shifted(packed[row], bits) | value)?;
                }
                packed.into_iter().try_for_each(|key| table.number(key).map(|n| numbers.push(n)))
            }
            Codec::Long(parts, table) => {
                let mut packed = vec![0u128; rows];
                for (part, column) in parts.iter_mut().zip(columns) {
                    part.pack(column, |row, bits, value| packed[row] = packed[row] << bits | u128::from(value))?;
                }
                packed.into_iter().try_for_each(|key| table.number(key).map(|n| numbers.push(n)))
            }
            Codec::Rows(converter, table) => {
                let columns: Vec<ArrayRef> = columns.iter().map(one_zero).collect();
                let rows = converter.convert_columns(&columns)?;
                rows.iter().try_for_each(|row| table.number(row.as_ref().into()).map(|n| numbers.push(n)))
            }
        }
    }

    /// The values of some keys, one array a column.
    pub fn values(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.codec {
            Codec::Short(columns, table) => {
                unpacked(columns, numbers.iter().map(|&n| u128::from(table.keys[n as usize])).collect())
            }
            Codec::Long(columns, table) => unpacked(columns, numbers.iter().map(|&n| table.keys[n as usize]).collect()),
            Codec::Rows(converter, table) => {
                let parser = converter.parser();
                Ok(converter.convert_rows(numbers.iter().map(|&n| parser.parse(&table.keys[n as usize])))?)
            }
        }
    }

    /// Only these keys, ascending, with the numbers 0, 1, 2 ...
    pub fn retained(self, numbers: &[u32]) -> Result<Self> {
        let mut kept = Self {
            codec: match self.codec {
                Codec::Short(columns, table) => Codec::Short(columns, table.retained(numbers)?),
                Codec::Long(columns, table) => Codec::Long(columns, table.retained(numbers)?),
                Codec::Rows(converter, table) => Codec::Rows(converter, table.retained(numbers)?),
            },
            columns: self.columns,
        };
        let own = |columns: &[Column]| -> Vec<SharedWords> {
            columns.iter().filter(|c| c.is_text() && !c.numbered).map(|c| c.words.clone()).collect()
        };
        let own = match &kept.codec {
            Codec::Short(columns, _) | Codec::Long(columns, _) => own(columns),
            Codec::Rows(..) => Vec::new(),
        };
        for words in own {
            if let Some(renumbered) = words.forget(|used| kept.mark_words(&words, used)) {
                kept.renumber_words(&words, &renumbered);
            }
        }
        Ok(kept)
    }

    /// Marks the numbers of texts that are in use.
    pub fn mark_words(&self, words: &SharedWords, used: &mut [bool]) {
        match &self.codec {
            Codec::Short(columns, table) => {
                places(columns, words)
                    .for_each(|p| table.keys.iter().for_each(|k| used[p.word(u128::from(*k))] = true));
            }
            Codec::Long(columns, table) => {
                places(columns, words).for_each(|p| table.keys.iter().for_each(|k| used[p.word(*k)] = true));
            }
            Codec::Rows(..) => {}
        }
    }

    /// Texts have new numbers: `renumbered[old]`.
    pub fn renumber_words(&mut self, words: &SharedWords, renumbered: &[u32]) {
        match &mut self.codec {
            Codec::Short(columns, table) => {
                let places: Vec<Place> = places(columns, words).collect();
                // (what was in 64 bits is again)
                #[expect(clippy::cast_possible_truncation, reason = "so many bits are in use")]
                table.rewrite(|key| places.iter().fold(u128::from(key), |key, p| p.with(key, renumbered)) as u64);
            }
            Codec::Long(columns, table) => {
                let places: Vec<Place> = places(columns, words).collect();
                table.rewrite(|key| places.iter().fold(key, |key, p| p.with(key, renumbered)));
            }
            Codec::Rows(..) => {}
        }
    }

    /// No keys, of the same columns.
    pub fn emptied(&self) -> Result<Self> {
        Self::new(self.columns.clone())
    }
}

/// Where in packed keys the number of a text is.
struct Place {
    shift: u32,
}

impl Place {
    fn word(&self, key: u128) -> usize {
        low(key >> self.shift, WORD_BITS) as usize
    }

    fn with(&self, key: u128, renumbered: &[u32]) -> u128 {
        let old = self.word(key);
        let new = renumbered.get(old).copied().unwrap_or(0);
        key ^ ((old as u128 ^ u128::from(new)) << self.shift)
    }
}

fn places<'a>(columns: &'a [Column], words: &'a SharedWords) -> impl Iterator<Item = Place> + 'a {
    let shift = |at: usize| columns[at + 1..].iter().map(|c| c.bits).sum();
    let of_words = move |(_, c): &(usize, &Column)| c.is_text() && c.words.is(words);
    columns.iter().enumerate().filter(of_words).map(move |(at, _)| Place { shift: shift(at) })
}

/// SQL groups both zeros of floats together.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x + 0.0)),
        DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| x + 0.0)),
        _ => Arc::clone(column),
    }
}

/// Makes room for `bits` more.
fn shifted(key: u64, bits: u32) -> u64 {
    key.checked_shl(bits).unwrap_or(0)
}

/// The values in packed keys, of which the last column's are lowest.
fn unpacked(columns: &[Column], mut keys: Vec<u128>) -> Result<Vec<ArrayRef>> {
    let mut arrays: Vec<ArrayRef> =
        columns.iter().rev().map(|column| column.unpack(&mut keys)).collect::<Result<_>>()?;
    arrays.reverse();
    Ok(arrays)
}

impl Column {
    fn of(column: &KeyColumn) -> Option<Self> {
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

    fn is_text(&self) -> bool {
        matches!(self.data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    }

    /// Hands on each row's value as bits. (A number's own 64 and the one for NULL are handed on one after the other.)
    fn pack(&mut self, column: &ArrayRef, mut put: impl FnMut(usize, u32, u64)) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Float64Array, Int64Array, StringArray, StringViewArray, TimestampMicrosecondArray, UInt16Array,
    };

    #[test]
    fn what_is_equal_has_one_number_and_comes_back_as_it_was() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec![
                Some("a"),
                None,
                Some(""),
                Some("longer than twelve bytes"),
                Some("a"),
                None,
            ])),
            Arc::new(StringArray::from(vec![Some("b"), Some("b"), None, Some("x"), Some("b"), Some("b")])),
            Arc::new(UInt16Array::from(vec![Some(1), Some(0), None, Some(7), Some(1), Some(0)])),
            Arc::new(TimestampMicrosecondArray::from(vec![-1, 2, 3, 4, -1, 2]).with_timezone("UTC")),
        ];
        check(&columns, &[0, 1, 2, 3, 0, 1]);
    }

    #[test]
    fn other_types_are_keys_too() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![Some(0.5), None, Some(f64::NAN), Some(0.5)])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
            Arc::new(Int64Array::from(vec![1, 2, 3, 1])),
        ];
        check(&columns, &[0, 1, 2, 0]);
    }

    #[test]
    fn borders_between_values_count() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec!["ab", "a", "abc"])),
            Arc::new(StringViewArray::from(vec!["c", "bc", ""])),
        ];
        check(&columns, &[0, 1, 2]);
    }

    fn check(columns: &[ArrayRef], expected: &[u32]) {
        let types = columns.iter().map(|c| KeyColumn { data_type: c.data_type().clone(), words: None });
        let mut keys = Keys::new(types.collect()).unwrap();
        let mut numbers = Vec::new();
        // Cut in two, so that arrays with an offset are met as well.
        let rows = columns[0].len();
        for (at, length) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
            let part: Vec<ArrayRef> = columns.iter().map(|c| c.slice(at, length)).collect();
            keys.intern(&part, length, &mut numbers).unwrap();
            assert_eq!(numbers, expected[at..at + length]);
        }
        let values = keys.values(expected).unwrap();
        assert_eq!(&values, columns);
        let last = *expected.iter().max().unwrap();
        let kept = keys.retained(&[last]).unwrap();
        let row = expected.iter().position(|&n| n == last).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept.values(&[0]).unwrap(), columns.iter().map(|c| c.slice(row, 1)).collect::<Vec<_>>());
    }
}
