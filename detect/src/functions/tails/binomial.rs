//! `binomial_tail(k, n, p)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::beta_reg;
use crate::functions::numeric;

pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "The probability of k or more hits in n tries of which each hits with probability p, independently. \
         Formula: I_p(k, n - k + 1), the regularised incomplete beta function \
         (NIST Digital Library of Mathematical Functions, 8.17.5).",
        "binomial_tail(k, n, p)",
    )
    .with_argument("k", "How many hits there were; a fraction is rounded up")
    .with_argument("n", "How many tries, 0 or more; a fraction is rounded down")
    .with_argument("p", "From 0 to 1")
    .with_sql_example("SELECT binomial_tail(9, 10, 0.3); -- 0.000143...")
    .build();
    numeric::udf("binomial_tail", documentation, tail)
}

pub(super) fn tail([k, n, p]: [f64; 3]) -> Option<f64> {
    let (k, n) = (k.ceil(), n.floor());
    if n < 0.0 || !(0.0..=1.0).contains(&p) {
        return None;
    }
    if k <= 0.0 {
        return Some(1.0);
    }
    if k > n || p == 0.0 {
        return Some(0.0);
    }
    beta_reg(k, n - k + 1.0, p)
}
