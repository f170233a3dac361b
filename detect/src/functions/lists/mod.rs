//! Functions of lists of numbers: of a series of windows in the order of time, or of two histograms. One file a function.
//!
//! A list comes from `[a, b, c]` in SQL, or from `array_agg(x ORDER BY t)`.

mod cusum;
mod ewma;
mod js_divergence;
mod psi;
mod shiryaev_roberts;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The functions, for a session to register.
pub(super) fn all() -> [ScalarUDF; 5] {
    [cusum::udf(), ewma::udf(), shiryaev_roberts::udf(), psi::udf(), js_divergence::udf()]
}

/// What such a function computes of its lists and then of its numbers. `None` is NULL.
type Compute = fn(&[Vec<f64>], &[f64]) -> Option<f64>;

/// A function of lists and then of numbers. It is NULL where an argument or a number in a list is NULL or not finite: one odd row must not
/// stop a rule, and a list with a hole has no meaning.
#[derive(Debug)]
struct Lists {
    name: &'static str,
    /// So many of the arguments are lists.
    first: usize,
    signature: Signature,
    documentation: Documentation,
    compute: Compute,
}

fn udf(name: &'static str, lists: usize, numbers: usize, documentation: Documentation, compute: Compute) -> ScalarUDF {
    let signature = Signature::any(lists + numbers, Volatility::Immutable);
    ScalarUDF::new_from_impl(Lists { name, first: lists, signature, documentation, compute })
}

// There is one function of a name.
impl PartialEq for Lists {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Lists {}

impl Hash for Lists {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Lists {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let is_list = |kind: &DataType| match kind {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                item.data_type().is_numeric() || item.data_type().is_null()
            }
            kind => kind.is_null(),
        };
        let (lists, numbers) = arguments.split_at(self.first.min(arguments.len()));
        if lists.iter().all(is_list) && numbers.iter().all(|kind| kind.is_numeric() || kind.is_null()) {
            return Ok(DataType::Float64);
        }
        plan_err!(
            "{} wants lists of numbers such as [1, 2, 3], then numbers: {}",
            self.name,
            self.documentation.syntax_example
        )
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = arrays.first().map_or(args.number_rows, Array::len);
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        let (lists, numbers) = arrays.split_at(self.first.min(arrays.len()));
        let lists: Vec<ArrayRef> = lists.iter().map(|column| cast(column, &list)).collect::<Result<_, _>>()?;
        let numbers: Vec<ArrayRef> =
            numbers.iter().map(|column| cast(column, &DataType::Float64)).collect::<Result<_, _>>()?;
        let value = |row: usize| {
            let lists = lists.iter().map(|column| {
                let list = column.as_list::<i32>();
                list.is_valid(row).then(|| finite(list.value(row).as_primitive::<Float64Type>()))?
            });
            let numbers = numbers.iter().map(|column| {
                let column = column.as_primitive::<Float64Type>();
                Some(column.value(row)).filter(|x| column.is_valid(row) && x.is_finite())
            });
            let (lists, numbers) = (lists.collect::<Option<Vec<_>>>()?, numbers.collect::<Option<Vec<_>>>()?);
            (self.compute)(&lists, &numbers).filter(|x| x.is_finite())
        };
        Ok(ColumnarValue::Array(Arc::new((0..rows).map(value).collect::<Float64Array>())))
    }
}

fn finite(list: &Float64Array) -> Option<Vec<f64>> {
    list.iter().map(|x| x.filter(|x| x.is_finite())).collect()
}

/// Two histograms over the same classes as shares. Half a count is added to each class (Jeffreys): a class that was never seen is
/// surprising, not impossible. `None`: there is no class, not as many in both, or something below 0.
fn shares(lists: &[Vec<f64>]) -> Option<Vec<(f64, f64)>> {
    let [a, b] = lists else { return None };
    if a.is_empty() || a.len() != b.len() || a.iter().chain(b).any(|n| *n < 0.0) {
        return None;
    }
    let share = |of: &[f64]| {
        let all: f64 = of.iter().map(|n| n + 0.5).sum();
        of.iter().map(|n| (n + 0.5) / all).collect::<Vec<f64>>()
    };
    Some(share(a).into_iter().zip(share(b)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(compute: Compute, series: &[f64], numbers: &[f64]) -> Option<f64> {
        compute(&[series.to_vec()], numbers)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// Against their definitions as sums over all that may have been the change.
        #[test]
        fn recurrences_are_sums_over_the_changes_that_may_have_been(series in proptest::collection::vec(0.0f64..3.0, 0..20), slack in 0.0f64..0.5) {
            let starts = 0..series.len();
            let suffix = |k: usize| series[k..].iter().map(|x| x - 1.0 - slack).sum::<f64>();
            let drift = starts.clone().map(suffix).fold(0.0, f64::max);
            prop_assert!((ask(cusum::compute, &series, &[1.0, slack]).unwrap() - drift).abs() < 1e-9);
            let evidence: f64 = starts.map(|k| series[k..].iter().product::<f64>()).sum();
            prop_assert!((ask(shiryaev_roberts::compute, &series, &[]).unwrap() - evidence).abs() <= 1e-9 * evidence);
            let n = i32::try_from(series.len()).unwrap();
            let weighted = (1..).zip(&series).map(|(i, x)| if i == 1 { x * 0.7f64.powi(n - 1) } else { 0.3 * x * 0.7f64.powi(n - i) });
            let (weighted, found) = (weighted.sum::<f64>(), ask(ewma::compute, &series, &[0.3]));
            prop_assert!(found.map_or(series.is_empty(), |found| (found - weighted).abs() < 1e-9));
        }
    }
}
