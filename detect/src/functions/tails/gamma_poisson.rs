//! `gamma_poisson_tail(k, shape, rate, exposure)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::beta_reg;
use crate::functions::numeric;

pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "The probability of k or more events in `exposure` units of time of one whose own rate is not known, where peers' rates \
         follow a gamma distribution: for clients without a history. By moments of the peers' rates, with mean m and variance v: \
         shape = m * m / v, rate = m / v. What was seen of the client itself is added: shape + events, rate + time. \
         Formula: I_x(k, shape) with x = exposure / (rate + exposure) (Gelman and others, Bayesian Data Analysis, 2.6).",
        "gamma_poisson_tail(k, shape, rate, exposure)",
    )
    .with_argument("k", "How many there were; a fraction is rounded up")
    .with_argument("shape", "Above 0")
    .with_argument("rate", "Above 0, in the unit of exposure")
    .with_argument("exposure", "How long was looked, 0 or more")
    .with_sql_example("SELECT gamma_poisson_tail(20, 2, 0.5, 1); -- 0.0023...")
    .build();
    numeric::udf("gamma_poisson_tail", documentation, tail)
}

pub(super) fn tail([k, shape, rate, exposure]: [f64; 4]) -> Option<f64> {
    let k = k.ceil();
    if shape <= 0.0 || rate <= 0.0 || exposure < 0.0 {
        return None;
    }
    if k <= 0.0 {
        return Some(1.0);
    }
    if exposure == 0.0 {
        return Some(0.0);
    }
    beta_reg(k, shape, exposure / (rate + exposure))
}
