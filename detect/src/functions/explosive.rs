//! For tests only: `explosive(text)` panics where the text is 'boom', as a function with a mistake in it would.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

pub(super) fn udf() -> ScalarUDF {
    let explode = |arguments: &[ColumnarValue]| {
        let text = ColumnarValue::values_to_arrays(arguments)?.remove(0);
        assert!(!text.as_string_view().iter().flatten().any(|text| text == "boom"), "explosive('boom')");
        Ok(ColumnarValue::Array(text))
    };
    create_udf("explosive", vec![DataType::Utf8View], DataType::Utf8View, Volatility::Immutable, Arc::new(explode))
}
