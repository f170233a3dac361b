//! What clients are compared by, as numbers in an order that depends on the clients alone.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use sha2::{Digest, Sha256};

/// Differences below this on the logarithmic scale are rounding: sums of fractions come out a little different when they are added up
/// in another order, and two clients must not change places for that.
const GRAIN: f64 = 1e6;

/// The features of a window's rows.
#[derive(Debug)]
pub struct Features {
    /// The rows' numbers, in the order of their keys' hashes.
    pub rows: Vec<usize>,
    /// A feature's values, in that order. `None`: no number, or not a finite one; it counts as typical.
    pub columns: Vec<Vec<Option<f64>>>,
}

impl Features {
    /// Of the columns `features`; `keys` name a row.
    pub fn new(rows: &RecordBatch, keys: &[usize], features: &[usize]) -> Result<Self> {
        let keys: Vec<ArrayRef> = keys.iter().map(|&key| rows.column(key).clone()).collect();
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let names = RowConverter::new(fields)?.convert_columns(&keys)?;
        let mut order: Vec<_> =
            (0..rows.num_rows()).map(|row| (<[u8; 32]>::from(Sha256::digest(names.row(row))), row)).collect();
        order.sort_unstable();
        let rows_in_order: Vec<usize> = order.into_iter().map(|(_, row)| row).collect();
        let mut columns = Vec::new();
        for &feature in features {
            let values = cast(rows.column(feature), &DataType::Float64)?;
            let values: &Float64Array = values.as_primitive::<Float64Type>();
            let value = |&row: &usize| Some(values.value(row)).filter(|x| values.is_valid(row) && x.is_finite());
            columns.push(rows_in_order.iter().map(value).collect());
        }
        Ok(Self { rows: rows_in_order, columns })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// A value on the scale on which clients are compared: `sign(x) ln(1 + |x|)`, without what is only rounding.
pub fn scaled(x: f64) -> f64 {
    (x.signum() * x.abs().ln_1p() * GRAIN).round() / GRAIN
}

/// What is usual among some values of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// Their median, in the feature's own unit.
    pub typical: f64,
    /// How far a value is usually from it, as a standard deviation, on the scale of [`scaled`]. `None`: all are equal.
    pub spread: Option<f64>,
}

/// What makes of a median absolute deviation, and of a mean one, the standard deviation of a normal distribution.
const OF_MEDIAN: f64 = 1.482_602_218_505_602;
const OF_MEAN: f64 = 1.253_314_137_315_500_3;
/// Who is as like each other as this (5 %) is not told apart any further: else among clients that all do the same, one more request
/// would be extraordinary.
const LEAST_SPREAD: f64 = 0.05;

impl Usual {
    /// Of values; `None` if there are none. Half of them may be arbitrary and the answer stays near the others'. Where more than half are
    /// equal, their mean absolute deviation stands in for the median one (Iglewicz and Hoaglin 1993).
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        let typical = median(&mut values)?;
        let middle = scaled(typical);
        let mut distances: Vec<f64> = values.iter().map(|&x| (scaled(x) - middle).abs()).collect();
        // (sums of floats depend on their order)
        distances.sort_unstable_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "not that many clients")]
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let spread = median(&mut distances).map(|mad| OF_MEDIAN * mad).filter(|&spread| spread > 0.0);
        let spread = spread.or(Some(OF_MEAN * mean).filter(|&spread| spread > 0.0));
        Some(Self { typical, spread: spread.map(|spread| spread.max(LEAST_SPREAD)) })
    }

    /// How far `x` is from what is usual, in spreads. 0 where nothing is known.
    pub fn distance(&self, x: Option<f64>) -> f64 {
        match (x, self.spread) {
            (Some(x), Some(spread)) => (scaled(x) - scaled(self.typical)) / spread,
            _ => 0.0,
        }
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    let (_, &mut low, above) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let even = above.len() > middle;
    Some(match above.iter().copied().min_by(f64::total_cmp) {
        Some(high) if even => f64::midpoint(low, high),
        _ => low,
    })
}
