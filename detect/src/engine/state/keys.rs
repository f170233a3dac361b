//! Group keys, each stored once and known by a small number.
//!
//! A key is the values of the columns that a rule groups by, without the window's bounds: a client that is seen in every pane is
//! stored once. Texts become numbers ([`Words`]), and the numbers of a key are packed into one integer: looking a key up goes to
//! memory once, where comparing texts would go there three times.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};

use super::column::{Column, KeyColumn, Place, places, shifted, unpacked};
use super::table::Table;
use super::words::SharedWords;

/// The keys of one group of rules.
#[derive(Debug)]
pub struct Keys {
    columns: Vec<KeyColumn>,
    codec: Codec,
}

/// Keys, each by its place.
#[derive(Debug, Clone)]
pub enum SomeKeys {
    /// As integers.
    Packed(Vec<Column>, Arc<[u128]>),
    /// As columns.
    Values(Vec<ArrayRef>),
}

impl SomeKeys {
    /// Their values, one array a column.
    pub fn values(&self, places: Range<usize>) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Packed(columns, keys) => unpacked(columns, keys[places].to_vec()),
            Self::Values(columns) => Ok(columns.iter().map(|c| c.slice(places.start, places.len())).collect()),
        }
    }
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
                for (part, column) in parts.iter().zip(columns) {
                    part.pack(column, |row, bits, value| packed[row] = shifted(packed[row], bits) | value)?;
                }
                packed.into_iter().try_for_each(|key| table.number(key).map(|n| numbers.push(n)))
            }
            Codec::Long(parts, table) => {
                pack(parts, columns, rows)?.into_iter().try_for_each(|key| table.number(key).map(|n| numbers.push(n)))
            }
            Codec::Rows(converter, table) => {
                let columns: Vec<ArrayRef> = columns.iter().map(one_zero).collect();
                let rows = converter.convert_columns(&columns)?;
                rows.iter().try_for_each(|row| table.number(row.as_ref().into()).map(|n| numbers.push(n)))
            }
        }
    }

    /// Whether keys fit into 128 bits.
    pub fn fit(&self) -> bool {
        !matches!(self.codec, Codec::Rows(..))
    }

    /// The keys of rows, without being stored.
    pub fn packed(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u128>> {
        match &self.codec {
            Codec::Short(parts, _) | Codec::Long(parts, _) => pack(parts, columns, rows),
            Codec::Rows(..) => Err(exec_datafusion_err!("keys do not fit into 128 bits")),
        }
    }

    /// The numbers of keys that [`Keys::packed`] gave.
    pub fn intern_packed(&mut self, keys: &[u128]) -> Result<Vec<u32>> {
        #[expect(clippy::cast_possible_truncation, reason = "so many bits are in use")]
        match &mut self.codec {
            Codec::Short(_, table) => keys.iter().map(|&key| table.number(key as u64)).collect(),
            Codec::Long(_, table) => keys.iter().map(|&key| table.number(key)).collect(),
            Codec::Rows(..) => Err(exec_datafusion_err!("keys do not fit into 128 bits")),
        }
    }

    /// No keys, with the same numbers of texts.
    pub fn sibling(&self) -> Result<Self> {
        Ok(match &self.codec {
            Codec::Short(parts, _) => {
                Self { columns: self.columns.clone(), codec: Codec::Short(parts.clone(), Table::default()) }
            }
            Codec::Long(parts, _) => {
                Self { columns: self.columns.clone(), codec: Codec::Long(parts.clone(), Table::default()) }
            }
            Codec::Rows(..) => self.emptied()?,
        })
    }

    /// Where packed keys have numbers of these texts.
    pub fn places(&self, words: &SharedWords) -> Vec<Place> {
        match &self.codec {
            Codec::Short(parts, _) | Codec::Long(parts, _) => places(parts, words).collect(),
            Codec::Rows(..) => Vec::new(),
        }
    }

    /// The values of some keys, one array a column.
    pub fn values(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        self.some(numbers)?.values(0..numbers.len())
    }

    /// Some of the keys, apart from the table.
    pub fn some(&self, numbers: &[u32]) -> Result<SomeKeys> {
        Ok(match &self.codec {
            Codec::Short(columns, table) => {
                let keys = numbers.iter().map(|&n| u128::from(table.keys[n as usize]));
                SomeKeys::Packed(columns.clone(), keys.collect())
            }
            Codec::Long(columns, table) => {
                SomeKeys::Packed(columns.clone(), numbers.iter().map(|&n| table.keys[n as usize]).collect())
            }
            Codec::Rows(converter, table) => {
                let parser = converter.parser();
                let rows = numbers.iter().map(|&n| parser.parse(&table.keys[n as usize]));
                SomeKeys::Values(converter.convert_rows(rows)?)
            }
        })
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

fn pack(parts: &[Column], columns: &[ArrayRef], rows: usize) -> Result<Vec<u128>> {
    let mut packed = vec![0u128; rows];
    for (part, column) in parts.iter().zip(columns) {
        part.pack(column, |row, bits, value| packed[row] = packed[row] << bits | u128::from(value))?;
    }
    Ok(packed)
}

/// SQL groups both zeros of floats together.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x + 0.0)),
        DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| x + 0.0)),
        _ => Arc::clone(column),
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
