//! `ewma(series, weight)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "The exponentially weighted moving average at the end of a series: m = weight x + (1 - weight) m over the values in their order, from the first \
         value. NULL for an empty list. Source: Roberts, Control Chart Tests Based on Geometric Moving Averages (1959).",
        "ewma(series, weight)",
    )
    .with_argument("series", "Values in the order of time, as array_agg(x ORDER BY t)")
    .with_argument("weight", "What the newest value counts, above 0 and at most 1")
    .with_sql_example("SELECT ewma([10, 10, 20], 0.5); -- 15")
    .build();
    super::udf("ewma", 1, 1, documentation, compute)
}

/// See its documentation.
pub(super) fn compute(lists: &[Vec<f64>], numbers: &[f64]) -> Option<f64> {
    let ([series], &[weight]) = (lists, numbers) else { return None };
    let in_range = weight > 0.0 && weight <= 1.0;
    series.iter().copied().filter(|_| in_range).reduce(|m, x| weight * x + (1.0 - weight) * m)
}
