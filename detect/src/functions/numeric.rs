//! Functions of numbers: `f(x, y, ...)`, each a `DOUBLE`, to a `DOUBLE`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// What such a function computes. `None` is NULL.
type Compute<const N: usize> = fn([f64; N]) -> Option<f64>;

/// A function of `N` numbers. It is NULL where an argument is NULL, not finite or outside its range: one odd row must not
/// stop a rule.
#[derive(Debug)]
struct Numeric<const N: usize> {
    name: &'static str,
    signature: Signature,
    documentation: Documentation,
    compute: Compute<N>,
}

/// The function, for a session to register.
pub(super) fn udf<const N: usize>(name: &'static str, documentation: Documentation, compute: Compute<N>) -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Float64; N], Volatility::Immutable);
    ScalarUDF::new_from_impl(Numeric { name, signature, documentation, compute })
}

// There is one function of a name.
impl<const N: usize> PartialEq for Numeric<N> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<const N: usize> Eq for Numeric<N> {}

impl<const N: usize> Hash for Numeric<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<const N: usize> ScalarUDFImpl for Numeric<N> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns: Vec<&Float64Array> = arrays.iter().map(AsArray::as_primitive::<Float64Type>).collect();
        let rows = columns.first().map_or(args.number_rows, Array::len);
        let value = |row: usize| {
            let mut arguments = [0.0; N];
            for (argument, column) in arguments.iter_mut().zip(&columns) {
                *argument = Some(column.value(row)).filter(|x| column.is_valid(row) && x.is_finite())?;
            }
            (self.compute)(arguments).filter(|x| x.is_finite())
        };
        Ok(ColumnarValue::Array(Arc::new((0..rows).map(value).collect::<Float64Array>())))
    }
}
