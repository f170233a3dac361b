//! `psi(expected, actual)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "How much a distribution has shifted between two histograms over the same classes: the population stability index, the sum over classes of \
         (a - e) ln(a / e), where e and a are shares of all. 0: none; above 0.25 is commonly called a large shift, but that holds for some thousands of counts: \
         by chance alone it is about (classes - 1) (1/n + 1/m) for n and m counts. Half a count is added to each class. \
         NULL where the lists are empty or not of one length, or a count is below 0. Source: Kullback and Leibler (1951), as J(1, 2); Yurdakul and Naranjo (2020).",
        "psi(expected, actual)",
    )
    .with_argument("expected", "Counts by class, as they were")
    .with_argument("actual", "Counts of the same classes, as they are")
    .with_sql_example("SELECT psi([50, 50], [90, 10]); -- 0.85...")
    .build();
    super::udf("psi", 2, 0, documentation, compute)
}

/// See its documentation.
pub(super) fn compute(lists: &[Vec<f64>], _: &[f64]) -> Option<f64> {
    Some(super::shares(lists)?.into_iter().map(|(e, a)| (a - e) * (a / e).ln()).sum())
}
