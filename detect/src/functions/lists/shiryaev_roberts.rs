//! `shiryaev_roberts(e_values)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "Evidence for a change somewhere in a series, as the Shiryaev-Roberts sum R = (R + 1) e, from R = 0, over e-values (or likelihood ratios) in \
         their order. While nothing has changed each e is 1 or less on average, given those before, and then E[R] is at most the number of windows: an alarm at \
         R >= c comes once in c windows or more rarely on average. NULL where one is below 0; 0 for an empty list. (Beyond 1.8e308 it stays there.) \
         Sources: Roberts (1966); Shin, Ramdas and Rinaldo, E-detectors (2023).",
        "shiryaev_roberts(e_values)",
    )
    .with_argument("e_values", "E-values in the order of time, each at least 0")
    .with_sql_example("SELECT shiryaev_roberts([1, 1, 4]); -- 12")
    .build();
    super::udf("shiryaev_roberts", 1, 0, documentation, compute)
}

/// See its documentation.
pub(super) fn compute(lists: &[Vec<f64>], _: &[f64]) -> Option<f64> {
    let [series] = lists else { return None };
    let all_valid = series.iter().all(|e| *e >= 0.0);
    all_valid.then(|| series.iter().fold(0.0, |r: f64, e| ((r + 1.0) * e).min(f64::MAX)))
}
