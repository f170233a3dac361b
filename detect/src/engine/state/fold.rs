//! Counts, sums, extremes and truths for many groups: one value a group, which is its state and its result alike.
//!
//! DataFusion's accumulators give the same values, but no way to look at one group without taking all of them apart; that is
//! what looking into open windows needs ([`super::look`]).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, Int64Array, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use datafusion::common::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

/// One value a group. A clone of an empty one is another empty one.
#[derive(Debug, Clone)]
pub struct Fold {
    data_type: DataType,
    cells: Cells,
}

#[derive(Debug, Clone)]
enum Cells {
    Count(Vec<i64>),
    Signed(Column<i64>),
    Unsigned(Column<u64>),
    Float(Column<f64>),
    Truth(Column<bool>),
}

/// A value a group, and whether the group has seen any.
#[derive(Debug, Clone)]
struct Column<N> {
    values: Vec<N>,
    seen: Vec<bool>,
    start: N,
    step: fn(N, N) -> N,
}

impl Fold {
    /// For an aggregate function whose argument has this type, if it is one of those that are kept here.
    pub fn of(function: &AggregateFunctionExpr, argument: &DataType) -> Option<Self> {
        let data_type = function.field().data_type().clone();
        let name = function.fun().name();
        if function.is_distinct() || function.expressions().len() != 1 {
            return None;
        }
        if name == "count" {
            return Some(Self { data_type, cells: Cells::Count(Vec::new()) });
        }
        if data_type != *argument {
            return None;
        }
        let is_signed = matches!(data_type, DataType::Int64 | DataType::Timestamp(..) | DataType::Date64);
        let cells = match name {
            "sum" if data_type == DataType::Int64 => Cells::Signed(Column::new(0, i64::wrapping_add)),
            "sum" if data_type == DataType::UInt64 => Cells::Unsigned(Column::new(0, u64::wrapping_add)),
            "sum" if data_type == DataType::Float64 => Cells::Float(Column::new(0.0, |a, b| a + b)),
            "min" if is_signed => Cells::Signed(Column::new(i64::MAX, i64::min)),
            "max" if is_signed => Cells::Signed(Column::new(i64::MIN, i64::max)),
            "min" if data_type == DataType::UInt64 => Cells::Unsigned(Column::new(u64::MAX, u64::min)),
            "max" if data_type == DataType::UInt64 => Cells::Unsigned(Column::new(u64::MIN, u64::max)),
            "bool_and" => Cells::Truth(Column::new(true, |a, b| a & b)),
            "bool_or" => Cells::Truth(Column::new(false, |a, b| a | b)),
            _ => return None,
        };
        Some(Self { data_type, cells })
    }

    /// Adds a value for each row that `counted` lets through, to `total` groups.
    pub fn update(&mut self, values: &ArrayRef, groups: &[usize], counted: Option<&NullBuffer>, total: usize) {
        match &mut self.cells {
            Cells::Count(counts) => {
                counts.resize(total, 0);
                each(groups, counted, |_, group| counts[group] += 1);
            }
            Cells::Signed(column) => column.update(&natives(values), groups, counted, total),
            Cells::Unsigned(column) => column.update(&natives(values), groups, counted, total),
            Cells::Float(column) => column.update(&natives(values), groups, counted, total),
            Cells::Truth(column) => {
                let values: Vec<bool> = values.as_boolean().values().iter().collect();
                column.update(&values, groups, counted, total);
            }
        }
    }

    /// Adds what [`Fold::values`] gave, to `total` groups.
    pub fn merge(&mut self, states: &ArrayRef, groups: &[usize], total: usize) {
        if let Cells::Count(counts) = &mut self.cells {
            counts.resize(total, 0);
            let more: ScalarBuffer<i64> = natives(states);
            each(groups, states.nulls(), |row, group| counts[group] += more[row]);
        } else {
            self.update(states, groups, states.nulls(), total);
        }
    }

    /// Makes room for `total` groups.
    pub fn settle(&mut self, total: usize) {
        match &mut self.cells {
            Cells::Count(counts) => counts.resize(total, 0),
            Cells::Signed(column) => column.grow(total),
            Cells::Unsigned(column) => column.grow(total),
            Cells::Float(column) => column.grow(total),
            Cells::Truth(column) => column.grow(total),
        }
    }

    /// The values of some groups.
    pub fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let data_type = &self.data_type;
        match &self.cells {
            Cells::Count(counts) => Ok(Arc::new(Int64Array::from(counts[groups].to_vec()))),
            Cells::Signed(column) => column.array(data_type, groups),
            Cells::Unsigned(column) => column.array(data_type, groups),
            Cells::Float(column) => column.array(data_type, groups),
            Cells::Truth(column) => {
                let values = BooleanBuffer::from(column.values[groups.clone()].to_vec());
                Ok(Arc::new(BooleanArray::new(values, column.nulls(groups))))
            }
        }
    }

    /// The values of all groups, which are settled, without a copy: none are left.
    pub fn take_values(&mut self) -> Result<ArrayRef> {
        let data_type = &self.data_type;
        match &mut self.cells {
            Cells::Count(counts) => Ok(Arc::new(Int64Array::from(std::mem::take(counts)))),
            Cells::Signed(column) => column.take(data_type),
            Cells::Unsigned(column) => column.take(data_type),
            Cells::Float(column) => column.take(data_type),
            Cells::Truth(column) => {
                let all = 0..column.values.len();
                let nulls = column.nulls(all);
                column.seen = Vec::new();
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(&mut column.values)), nulls)))
            }
        }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        match &self.cells {
            Cells::Count(counts) => counts.capacity() * 8,
            Cells::Signed(column) => column.size(),
            Cells::Unsigned(column) => column.size(),
            Cells::Float(column) => column.size(),
            Cells::Truth(column) => column.size(),
        }
    }
}

impl<N: Copy> Column<N> {
    fn new(start: N, step: fn(N, N) -> N) -> Self {
        Self { values: Vec::new(), seen: Vec::new(), start, step }
    }

    fn grow(&mut self, total: usize) {
        self.values.resize(total, self.start);
        self.seen.resize(total, false);
    }

    fn update(&mut self, values: &[N], groups: &[usize], counted: Option<&NullBuffer>, total: usize) {
        self.grow(total);
        each(groups, counted, |row, group| {
            self.values[group] = (self.step)(self.values[group], values[row]);
            self.seen[group] = true;
        });
    }

    fn nulls(&self, groups: Range<usize>) -> Option<NullBuffer> {
        let seen = &self.seen[groups];
        seen.contains(&false).then(|| NullBuffer::from(seen))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<N>() + self.seen.capacity()
    }
}

impl<N: ArrowNativeType> Column<N> {
    fn array(&self, data_type: &DataType, groups: Range<usize>) -> Result<ArrayRef> {
        array(data_type, self.values[groups.clone()].to_vec(), self.nulls(groups))
    }

    fn take(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = self.nulls(0..self.values.len());
        self.seen = Vec::new();
        array(data_type, std::mem::take(&mut self.values), nulls)
    }
}

fn each(groups: &[usize], counted: Option<&NullBuffer>, mut add: impl FnMut(usize, usize)) {
    match counted {
        None => groups.iter().enumerate().for_each(|(row, &group)| add(row, group)),
        Some(counted) => counted.valid_indices().for_each(|row| add(row, groups[row])),
    }
}

fn natives<N: ArrowNativeType>(values: &ArrayRef) -> ScalarBuffer<N> {
    let data = values.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

fn array<N: ArrowNativeType>(data_type: &DataType, values: Vec<N>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let (length, values) = (values.len(), Buffer::from_vec(values));
    Ok(make_array(ArrayData::builder(data_type.clone()).len(length).nulls(nulls).add_buffer(values).build()?))
}
