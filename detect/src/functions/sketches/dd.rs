//! `ddsketch(x)`, and what can be asked of it.
//!
//! Counts by buckets whose bounds grow by [`GAMMA`] (Masson, Rim and Lee 2019). Magnitudes beyond [`LEAST`] and [`MOST`] are taken for these, which bounds the
//! number of buckets without ever merging any: what buckets there are does not depend on the order. Bytes: `d`, then (bucket, count) ascending.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::aggregate_doc_sections::DOC_SECTION_APPROXIMATE;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF};

use super::scalar::{Compute, udf};
use super::{Sketch, u32_at, u64_at};

/// The largest relative error of a value.
const ACCURACY: f64 = 0.01;
const GAMMA: f64 = (1.0 + ACCURACY) / (1.0 - ACCURACY);
/// Magnitudes below it count as 0.
const LEAST: f64 = 1e-9;
const MOST: f64 = 1e18;
/// Bucket 0 is zero; those of magnitudes begin here, on either side.
const FIRST: i32 = 2_000;
const TAG: u8 = b'd';
const ENTRY: usize = 12;

#[derive(Debug, Default)]
struct Dd(BTreeMap<i32, u64>);

/// The bucket of a number.
#[expect(clippy::cast_possible_truncation, reason = "from -1,036 to 2,073")]
fn bucket(x: f64) -> i32 {
    let size = x.abs();
    if size < LEAST {
        return 0;
    }
    let nth = (size.min(MOST).ln() / GAMMA.ln()).ceil() as i32 + FIRST;
    if x < 0.0 { -nth } else { nth }
}

/// What a bucket's numbers are, within [`ACCURACY`].
fn value(bucket: i32) -> f64 {
    let size = 2.0 * GAMMA.powi(bucket.saturating_abs().min(8_000) - FIRST) / (GAMMA + 1.0);
    match bucket.signum() {
        0 => 0.0,
        1 => size,
        _ => -size,
    }
}

impl Sketch for Dd {
    fn takes(kind: &DataType) -> bool {
        kind.is_numeric() || kind.is_null()
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let numbers = cast(values, &DataType::Float64)?;
        for x in numbers.as_primitive::<Float64Type>().iter().flatten().filter(|x| x.is_finite()) {
            *self.0.entry(bucket(x)).or_default() += 1;
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Option<()> {
        for (bucket, count) in read(bytes)? {
            let mine = self.0.entry(bucket).or_default();
            *mine = mine.saturating_add(count);
        }
        Some(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![TAG];
        for (bucket, count) in &self.0 {
            bytes.extend(bucket.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        bytes
    }

    fn size(&self) -> usize {
        self.0.len() * 2 * ENTRY
    }
}

/// Buckets and counts, ascending; `None`: the bytes are something else.
fn read(bytes: &[u8]) -> Option<impl Iterator<Item = (i32, u64)> + Clone> {
    let (tag, rest) = bytes.split_first()?;
    let (entries, rest) = rest.as_chunks::<ENTRY>();
    let entries = entries.iter().filter_map(|entry| Some((u32_at(entry, 0)?.cast_signed(), u64_at(entry, 4)?)));
    Some(entries).filter(|_| *tag == TAG && rest.is_empty())
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn count_of(bytes: &[u8]) -> Option<f64> {
    Some(read(bytes)?.map(|(_, count)| count as f64).sum())
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn quantile_of(bytes: &[u8], q: f64) -> Option<f64> {
    let all = count_of(bytes).filter(|n| *n > 0.0 && (0.0..=1.0).contains(&q))?;
    let (rank, mut below) = ((q * (all - 1.0)).floor(), 0.0);
    let mut buckets = read(bytes)?;
    let found = buckets.find(|(_, count)| {
        below += *count as f64;
        below > rank
    });
    found.map(|(bucket, _)| value(bucket))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn p_value_of(bytes: &[u8], x: f64) -> Option<f64> {
    let (bucket, all) = (bucket(x), count_of(bytes)?);
    let as_much: f64 = read(bytes)?.filter(|(b, _)| *b >= bucket).map(|(_, count)| count as f64).sum();
    Some((1.0 + as_much) / (1.0 + all))
}

pub(super) fn sketch() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_APPROXIMATE,
        "How numbers are distributed, for ddsketch_quantile and ddsketch_p_value: counts by buckets of 2 % width. What a baseline keeps of what clients did, to say tomorrow \
         how odd a client is. 12 bytes a bucket in use: 350 are enough for 1 to 1,000. NaN and infinity are no values; magnitudes below 10^-9 count as 0, those \
         above 10^18 as that. (Of a single window approx_percentile_cont(x, q) does.) \
         Source: Masson, Rim and Lee, DDSketch (2019).",
        "ddsketch(x)",
    )
    .with_argument("x", "A number")
    .with_sql_example("SELECT ddsketch_quantile(ddsketch(bytes_out), 0.99) FROM requests;")
    .build();
    super::aggregate::<Dd>("ddsketch", documentation)
}

pub(super) fn quantile() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "A quantile of the numbers in a DDSketch, within 1 % of the number at rank floor(q (n - 1)), counted from 0. NULL if there are none, or q is not from 0 to 1. \
         Source: Masson, Rim and Lee (2019).",
        "ddsketch_quantile(sketch, q)",
    )
    .with_argument("sketch", "Of ddsketch")
    .with_argument("q", "0 the least, 0.5 the median, 1 the most")
    .with_sql_example("SELECT ddsketch_quantile(ddsketch(bytes_out), 0.99) FROM requests;")
    .build();
    udf("ddsketch_quantile", documentation, Compute::Number(quantile_of))
}

pub(super) fn p_value() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "How odd a number is beside those in a DDSketch: the conformal p-value (1 + how many are at least x) / (n + 1), where numbers within 2 % of each other may count as equal. \
         If x is one of a kind with them (exchangeable), P(p <= a) <= a; it is never below 1 / (n + 1). For a rule with a budget. \
         Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005).",
        "ddsketch_p_value(sketch, x)",
    )
    .with_argument("sketch", "Of ddsketch: of others, or of earlier days")
    .with_argument("x", "The number")
    .with_sql_example("SELECT ddsketch_p_value(ddsketch(bytes_out), 1000000) FROM requests;")
    .build();
    udf("ddsketch_p_value", documentation, Compute::Number(p_value_of))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few values")]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use proptest::prelude::*;

    use super::super::sketch_of;
    use super::*;

    fn of(values: &[f64], cut: usize) -> Vec<u8> {
        sketch_of::<Dd>(&(Arc::new(Float64Array::from(values.to_vec())) as ArrayRef), cut)
    }

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        let number = prop_oneof![4 => 0.0f64..5000.0, 1 => -5000.0f64..0.0, 1 => Just(0.0), 1 => 1e-12f64..1e12];
        proptest::collection::vec(number, 1..300)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against sorting and counting.
        #[test]
        fn quantiles_and_ranks_are_those_of_the_numbers(mut numbers in numbers(), q in 0.0f64..=1.0, x in -100.0f64..5000.0, cut in any::<prop::sample::Index>()) {
            let sketch = of(&numbers, 0);
            prop_assert_eq!(&of(&numbers, cut.index(numbers.len())), &sketch);
            numbers.sort_by(f64::total_cmp);
            let exact = numbers[(q * (numbers.len() - 1) as f64).floor() as usize];
            let found = quantile_of(&sketch, q).unwrap();
            prop_assert!((found - exact).abs() <= 0.0101 * exact.abs() + LEAST, "{} {}", found, exact);
            let n = numbers.len() as f64;
            prop_assert_eq!(count_of(&sketch), Some(n));
            let p_of = |x: f64| (1.0 + numbers.iter().filter(|y| **y >= x).count() as f64) / (n + 1.0);
            let p = p_value_of(&sketch, x).unwrap();
            let wide = 0.0203 * x.abs() + LEAST;
            prop_assert!(p_of(x + wide) <= p && p_of(x - wide) >= p, "{} {}", p, p_of(x));
        }

        /// Whatever stands in a log.
        #[test]
        fn odd_numbers_are_few_buckets(numbers in proptest::collection::vec(any::<f64>(), 0..50), bytes in any::<Vec<u8>>()) {
            let sketch = of(&numbers, 0);
            prop_assert_eq!(count_of(&sketch), Some(numbers.iter().filter(|x| x.is_finite()).count() as f64));
            prop_assert!(read(&sketch).unwrap().all(|(bucket, _)| bucket.abs() < 5_000));
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = TAG;
            }
            let _ = Dd::default().merge(&bytes);
            let _ = quantile_of(&bytes, 0.5);
        }
    }
}
