//! `beta_binomial_tail(k, n, a, b)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};
use statrs::function::gamma::ln_gamma;

use crate::functions::numeric;

/// Tries beyond it would take too long to add up.
const MOST: f64 = 1e7;

pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "The probability of k or more hits in n tries where the share of hits differs from client to client: it follows a beta \
         distribution. For shares of misses, of failures. By moments of the peers' shares, with mean m and variance v: \
         a = m * s, b = (1 - m) * s with s = m * (1 - m) / v - 1. What was seen of the client itself is added: a + hits, b + misses. \
         Formula: the sum of C(n, i) B(i + a, n - i + b) / B(a, b) from k on \
         (Johnson, Kemp and Kotz, Univariate Discrete Distributions, 6.2.2). NULL for more than 10 million tries.",
        "beta_binomial_tail(k, n, a, b)",
    )
    .with_argument("k", "How many hits there were; a fraction is rounded up")
    .with_argument("n", "How many tries, 0 to 10 million; a fraction is rounded down")
    .with_argument("a", "Above 0")
    .with_argument("b", "Above 0")
    .with_sql_example("SELECT beta_binomial_tail(18, 20, 2, 5); -- 0.0017...")
    .build();
    numeric::udf("beta_binomial_tail", documentation, tail)
}

pub(super) fn tail([k, n, a, b]: [f64; 4]) -> Option<f64> {
    let (k, n) = (k.ceil(), n.floor());
    if !(0.0..=MOST).contains(&n) || a <= 0.0 || b <= 0.0 {
        return None;
    }
    if k <= 0.0 {
        return Some(1.0);
    }
    if k > n {
        return Some(0.0);
    }
    // The shorter way: away from the mean the masses soon vanish.
    let above = k >= n * (a / (a + b));
    let p = if above { from(k, n, a, b) } else { 1.0 - from(n - k + 1.0, n, b, a) };
    Some(p.clamp(0.0, 1.0))
}

/// The sum of masses from `k` on, until they no longer count.
fn from(k: f64, n: f64, a: f64, b: f64) -> f64 {
    let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let choose = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    let mut mass = (choose + ln_beta(k + a, n - k + b) - ln_beta(a, b)).exp();
    let mut sum = 0.0;
    let mut i = k;
    while i <= n {
        sum += mass;
        let next = mass * (n - i) / (i + 1.0) * (i + a) / (n - i - 1.0 + b);
        // (it may rise again towards n, where b is below 1)
        if next <= sum * 1e-17 && b >= 1.0 {
            break;
        }
        mass = next;
        i += 1.0;
    }
    sum
}
