//! Functions that ask sketches: of one, of two, or of one and a value, to a `DOUBLE`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{has_text, hashes};

/// What such a function computes, by its arguments. `None` is NULL.
#[derive(Debug, Clone, Copy)]
pub(super) enum Compute {
    One(fn(&[u8]) -> Option<f64>),
    Two(fn(&[u8], &[u8]) -> Option<f64>),
    /// A sketch and a number.
    Number(fn(&[u8], f64) -> Option<f64>),
    /// A sketch and the hash of a value.
    Value(fn(&[u8], u64) -> Option<f64>),
}

/// It is NULL where an argument is NULL, not finite, or bytes that are no such sketch: one odd row must not stop a rule.
#[derive(Debug)]
struct Ask {
    name: &'static str,
    signature: Signature,
    documentation: Documentation,
    compute: Compute,
}

pub(super) fn udf(name: &'static str, documentation: Documentation, compute: Compute) -> ScalarUDF {
    let arguments = if matches!(compute, Compute::One(_)) { 1 } else { 2 };
    let signature = Signature::any(arguments, Volatility::Immutable);
    ScalarUDF::new_from_impl(Ask { name, signature, documentation, compute })
}

// There is one function of a name.
impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Ask {}

impl Hash for Ask {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Ask {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let is_sketch = |kind: &DataType| kind.is_binary() || kind.is_null();
        let fits = match (self.compute, arguments) {
            (Compute::One(_), [sketch]) => is_sketch(sketch),
            (Compute::Two(_), [a, b]) => is_sketch(a) && is_sketch(b),
            (Compute::Number(_), [sketch, x]) => is_sketch(sketch) && (x.is_numeric() || x.is_null()),
            (Compute::Value(_), [sketch, value]) => is_sketch(sketch) && has_text(value),
            _ => false,
        };
        if fits {
            return Ok(DataType::Float64);
        }
        plan_err!("{} wants a sketch, as an aggregate makes it: {}", self.name, self.documentation.syntax_example)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let sketches = cast(&arrays[0], &DataType::Binary)?;
        let sketches: &BinaryArray = sketches.as_binary();
        let sketch = |row: usize| sketches.is_valid(row).then(|| sketches.value(row));
        let rows = 0..sketches.len();
        let second = |kind: &DataType| -> Result<ArrayRef> { Ok(cast(&arrays[1], kind)?) };
        let answers: Float64Array = match self.compute {
            Compute::One(compute) => rows.map(|row| compute(sketch(row)?)).collect(),
            Compute::Two(compute) => {
                let others = second(&DataType::Binary)?;
                let others: &BinaryArray = others.as_binary();
                rows.map(|row| compute(sketch(row)?, others.is_valid(row).then(|| others.value(row))?)).collect()
            }
            Compute::Number(compute) => {
                let numbers = second(&DataType::Float64)?;
                let numbers: &Float64Array = numbers.as_primitive::<Float64Type>();
                let number = |row: usize| Some(numbers.value(row)).filter(|x| numbers.is_valid(row) && x.is_finite());
                rows.map(|row| compute(sketch(row)?, number(row)?)).collect()
            }
            Compute::Value(compute) => {
                let hashes = hashes(&arrays[1])?;
                rows.map(|row| compute(sketch(row)?, hashes[row]?)).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
