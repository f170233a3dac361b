//! Group keys, each stored once and known by a small number.
//!
//! A key is the values of the columns that a rule groups by, without the window's bounds: a client that is seen in every pane is
//! stored once. Keys are kept as bytes, one after the other; a value is a tag (NULL or not) and its bytes.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, LargeStringBuilder, StringBuilder, StringViewBuilder, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::{DefaultHashBuilder, HashTable};

/// The keys of one group of rules.
pub struct Keys {
    types: Vec<DataType>,
    codec: Codec,
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`.
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// How values become bytes.
enum Codec {
    /// Text, and numbers of a fixed width.
    Plain(Vec<Kind>),
    /// Anything else, as Arrow's rows.
    Rows(RowConverter),
}

#[derive(Debug, Clone)]
enum Kind {
    Text(DataType),
    Fixed(DataType, usize),
}

const NULL: u8 = 0;
const VALUE: u8 = 1;

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("len", &self.len()).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Keys {
    /// No keys yet, of columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let kinds: Option<Vec<Kind>> = types.iter().map(Kind::of).collect();
        let codec = match kinds {
            Some(kinds) => Codec::Plain(kinds),
            None => Codec::Rows(RowConverter::new(types.iter().cloned().map(SortField::new).collect())?),
        };
        let hasher = DefaultHashBuilder::default();
        Ok(Self { types: types.to_vec(), codec, bytes: Vec::new(), ends: Vec::new(), table: HashTable::new(), hasher })
    }

    /// How many there are: their numbers are below it.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether two keys are the same exactly if SQL groups them together. (Floats have two zeros.)
    pub fn are_exact(&self) -> bool {
        matches!(self.codec, Codec::Plain(_))
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }

    /// The number of each row's key; new keys get the next numbers.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, numbers: &mut Vec<u32>) -> Result<()> {
        numbers.clear();
        numbers.reserve(rows);
        if let Codec::Rows(converter) = &self.codec {
            let encoded = converter.convert_columns(columns)?;
            for row in &encoded {
                let row = row.as_ref().to_vec();
                numbers.push(self.number(&row)?);
            }
            return Ok(());
        }
        let Codec::Plain(kinds) = &self.codec else { return Ok(()) };
        let columns: Vec<Values> = kinds.iter().zip(columns).map(|(kind, column)| Values::of(kind, column)).collect();
        let mut scratch = Vec::new();
        for row in 0..rows {
            scratch.clear();
            for column in &columns {
                column.encode(row, &mut scratch);
            }
            numbers.push(self.number(&scratch)?);
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self, key: &[u8]) -> Result<u32> {
        let Self { bytes, ends, table, hasher, .. } = self;
        let hash = hasher.hash_one(key);
        if let Some(&number) = table.find(hash, |&n| at(bytes, ends, n) == key) {
            return Ok(number);
        }
        let number =
            u32::try_from(ends.len()).map_err(|_| exec_datafusion_err!("more than 4 billion groups at once"))?;
        bytes.extend_from_slice(key);
        ends.push(bytes.len());
        table.insert_unique(hash, number, |&n| hasher.hash_one(at(bytes, ends, n)));
        Ok(number)
    }

    /// The values of some keys, one array a column.
    pub fn values(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let keys = || numbers.iter().map(|&n| at(&self.bytes, &self.ends, n));
        match &self.codec {
            Codec::Rows(converter) => {
                let parser = converter.parser();
                Ok(converter.convert_rows(keys().map(|key| parser.parse(key)))?)
            }
            Codec::Plain(kinds) => {
                let mut rest: Vec<&[u8]> = keys().collect();
                kinds.iter().map(|kind| kind.decode(&mut rest)).collect()
            }
        }
    }

    /// Only these keys, ascending, with the numbers 0, 1, 2 ...
    pub fn retained(&self, numbers: &[u32]) -> Result<Self> {
        let mut kept = self.emptied()?;
        for &number in numbers {
            kept.number(at(&self.bytes, &self.ends, number))?;
        }
        Ok(kept)
    }

    /// No keys, of the same columns.
    pub fn emptied(&self) -> Result<Self> {
        Self::new(&self.types)
    }
}

#[inline]
fn at<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &bytes[start..ends[number]]
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text(data_type.clone())),
            other if other.is_integer() || other.is_temporal() => {
                Some(Self::Fixed(other.clone(), other.primitive_width()?))
            }
            _ => None,
        }
    }

    /// Takes this column's values off the beginnings of `keys`.
    fn decode(&self, keys: &mut [&[u8]]) -> Result<ArrayRef> {
        macro_rules! text {
            ($builder:expr) => {{
                let mut builder = $builder;
                for key in keys {
                    builder.append_option(take_text(key));
                }
                Arc::new(builder.finish())
            }};
        }
        Ok(match self {
            Self::Text(DataType::Utf8) => text!(StringBuilder::new()),
            Self::Text(DataType::LargeUtf8) => text!(LargeStringBuilder::new()),
            Self::Text(_) => text!(StringViewBuilder::with_capacity(keys.len())),
            Self::Fixed(data_type, width) => {
                let mut bytes = Vec::with_capacity(keys.len() * width);
                let valid = BooleanBuffer::collect_bool(keys.len(), |i| keys[i][0] == VALUE);
                for key in keys.iter_mut() {
                    bytes.extend_from_slice(&key[1..=*width]);
                    *key = &key[1 + width..];
                }
                let data = ArrayData::builder(data_type.clone())
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

fn take_text<'a>(key: &mut &'a [u8]) -> Option<&'a str> {
    let (tag, rest) = key.split_first()?;
    if *tag == NULL {
        *key = rest;
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
    *key = rest;
    // It was text when it was stored.
    std::str::from_utf8(text).ok()
}

/// One column of a batch, to be encoded row by row.
enum Values<'a> {
    View(&'a arrow::array::StringViewArray),
    Utf8(&'a arrow::array::StringArray),
    Large(&'a arrow::array::LargeStringArray),
    Fixed { bytes: Buffer, width: usize, nulls: Option<&'a NullBuffer> },
}

impl<'a> Values<'a> {
    fn of(kind: &Kind, column: &'a ArrayRef) -> Self {
        match kind {
            Kind::Text(DataType::Utf8) => Self::Utf8(column.as_string()),
            Kind::Text(DataType::LargeUtf8) => Self::Large(column.as_string()),
            Kind::Text(_) => Self::View(column.as_string_view()),
            Kind::Fixed(_, width) => {
                let data = column.to_data();
                let bytes = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
                Self::Fixed { bytes, width: *width, nulls: column.nulls() }
            }
        }
    }

    #[inline]
    fn encode(&self, row: usize, key: &mut Vec<u8>) {
        let text = match self {
            Self::View(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Utf8(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Fixed { bytes, width, nulls } => {
                let valid = nulls.is_none_or(|n| n.is_valid(row));
                key.push(if valid { VALUE } else { NULL });
                if valid {
                    key.extend_from_slice(&bytes[row * width..(row + 1) * width]);
                } else {
                    key.extend(std::iter::repeat_n(0, *width));
                }
                return;
            }
        };
        match text {
            None => key.push(NULL),
            Some(text) => {
                key.push(VALUE);
                // Lines are far shorter than 4 GiB.
                key.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                key.extend_from_slice(text.as_bytes());
            }
        }
    }
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
        let types: Vec<_> = columns.iter().map(|c| c.data_type().clone()).collect();
        let mut keys = Keys::new(&types).unwrap();
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
