//! `object_part(object, n)`: one of the names that make up an object.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_STRING,
        "The n-th name in an object, counted from 1; from the end if n is negative. NULL if there is none.",
        "object_part(object, n)",
    )
    .with_argument("object", "The column object: what the variable parts of a path named, joined by '/'")
    .with_argument("n", "Which name: 1 is the first, -1 the last")
    .with_sql_example("SELECT object_part('42/7', 1); -- '42'")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
struct ObjectPart {
    signature: Signature,
}

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    // All three string types: Ballista switches views off.
    let strings = [DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8];
    let forms = strings.into_iter().map(|s| TypeSignature::Exact(vec![s, DataType::Int64])).collect();
    ScalarUDF::new_from_impl(ObjectPart { signature: Signature::one_of(forms, Volatility::Immutable) })
}

impl ScalarUDFImpl for ObjectPart {
    fn name(&self) -> &'static str {
        "object_part"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [objects, numbers] = take_function_args(self.name(), arrays)?;
        let objects = cast(&objects, &DataType::Utf8View)?;
        let (objects, numbers) = (objects.as_string_view(), numbers.as_primitive::<Int64Type>());
        let mut parts = StringViewBuilder::with_capacity(objects.len());
        for (object, n) in objects.iter().zip(numbers) {
            parts.append_option(object.zip(n).and_then(|(object, n)| part(object, n)));
        }
        Ok(ColumnarValue::Array(Arc::new(parts.finish())))
    }
}

fn part(object: &str, n: i64) -> Option<&str> {
    let skip = usize::try_from(n.unsigned_abs().checked_sub(1)?).ok()?;
    if n > 0 { object.split('/').nth(skip) } else { object.rsplit('/').nth(skip) }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn counts_from_either_end() {
        assert_eq!(part("42/7/x", 1), Some("42"));
        assert_eq!(part("42/7/x", -1), Some("x"));
        assert_eq!(part("42/7/x", 4), None);
        assert_eq!(part("42/7/x", 0), None);
        assert_eq!(part("42", i64::MIN), None);
    }
}
