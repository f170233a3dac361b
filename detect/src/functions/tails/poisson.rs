//! `poisson_tail(k, mean)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};
use statrs::function::gamma::checked_gamma_lr;

use crate::functions::numeric;

/// Counts beyond it would take too long.
const MOST: f64 = 1e9;

pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "The probability of k or more events where `mean` are expected and they come independently of each other (Poisson): \
         P(k, mean), the regularised lower incomplete gamma function. Requests seldom come so: people's counts vary more, and \
         gamma_poisson_tail or negative_binomial_tail says less often that they are odd. \
         Formula: NIST Digital Library of Mathematical Functions, 8.2.4 and 8.4.10. NULL for counts above 10^9.",
        "poisson_tail(k, mean)",
    )
    .with_argument("k", "How many there were; a fraction is rounded up; at most 10^9")
    .with_argument("mean", "How many are expected, 0 to 10^9")
    .with_sql_example("SELECT poisson_tail(10, 2.5); -- 0.000277...")
    .build();
    numeric::udf("poisson_tail", documentation, tail)
}

pub(super) fn tail([k, mean]: [f64; 2]) -> Option<f64> {
    let k = k.ceil();
    if !(0.0..=MOST).contains(&mean) || k > MOST {
        return None;
    }
    if k <= 0.0 {
        return Some(1.0);
    }
    if mean == 0.0 {
        return Some(0.0);
    }
    checked_gamma_lr(k, mean).ok().map(|p| p.clamp(0.0, 1.0))
}
