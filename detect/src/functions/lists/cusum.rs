//! `cusum(series, target, slack)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "How far a series has drifted upwards at its end: S = max(0, S + x - target - slack), from S = 0, over the values in their order. A shift too \
         small for any single window adds up; what is below target + slack is forgotten, but never saved up as credit. 0 for an empty list. \
         Source: Page, Continuous Inspection Schemes (1954).",
        "cusum(series, target, slack)",
    )
    .with_argument("series", "Values in the order of time, as array_agg(x ORDER BY t)")
    .with_argument("target", "What is usual")
    .with_argument("slack", "Half the shift that matters, at least 0")
    .with_sql_example("SELECT cusum([5, 9, 9, 9], 5, 1); -- 9")
    .build();
    super::udf("cusum", 1, 2, documentation, compute)
}

/// See its documentation.
pub(super) fn compute(lists: &[Vec<f64>], numbers: &[f64]) -> Option<f64> {
    let ([series], &[target, slack]) = (lists, numbers) else { return None };
    (slack >= 0.0).then(|| series.iter().fold(0.0, |s, x| f64::max(0.0, s + x - target - slack)))
}
