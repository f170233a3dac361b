//! `negative_binomial_tail(k, mean, size)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::beta_reg;
use crate::functions::numeric;

pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "The probability of k or more events where `mean` are expected and counts vary more than Poisson's: their variance is \
         mean + mean^2 / size. From the mean m and variance v of earlier counts, size = m * m / (v - m). \
         Formula: I_x(k, size) with x = mean / (mean + size), the regularised incomplete beta function \
         (Johnson, Kemp and Kotz, Univariate Discrete Distributions, 5.6).",
        "negative_binomial_tail(k, mean, size)",
    )
    .with_argument("k", "How many there were; a fraction is rounded up")
    .with_argument("mean", "How many are expected, 0 or more")
    .with_argument("size", "Above 0; the smaller, the more counts vary")
    .with_sql_example("SELECT negative_binomial_tail(30, 5, 2); -- 0.000395...")
    .build();
    numeric::udf("negative_binomial_tail", documentation, tail)
}

pub(super) fn tail([k, mean, size]: [f64; 3]) -> Option<f64> {
    let k = k.ceil();
    if mean < 0.0 || size <= 0.0 {
        return None;
    }
    if k <= 0.0 {
        return Some(1.0);
    }
    if mean == 0.0 {
        return Some(0.0);
    }
    beta_reg(k, size, mean / (mean + size))
}
