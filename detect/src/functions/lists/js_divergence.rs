//! `js_divergence(p, q)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "How unlike two histograms over the same classes are: the Jensen-Shannon divergence in bits, (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2. \
         0: as shares they are equal; 1: they have no class in common (nearly: half a count is added to each class). Symmetric. \
         NULL where the lists are empty or not of one length, or a count is below 0. Source: Lin, Divergence Measures Based on the Shannon Entropy (1991).",
        "js_divergence(p, q)",
    )
    .with_argument("p", "Counts by class")
    .with_argument("q", "Counts of the same classes")
    .with_sql_example("SELECT js_divergence([50, 50], [90, 10]); -- 0.14...")
    .build();
    super::udf("js_divergence", 2, 0, documentation, compute)
}

/// See its documentation.
pub(super) fn compute(lists: &[Vec<f64>], _: &[f64]) -> Option<f64> {
    let part = |x: f64, m: f64| x * (x / m).log2() / 2.0;
    let halves =
        super::shares(lists)?.into_iter().map(|(p, q)| part(p, f64::midpoint(p, q)) + part(q, f64::midpoint(p, q)));
    Some(halves.sum::<f64>().max(0.0))
}
