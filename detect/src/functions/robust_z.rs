//! `robust_z(x, median, mad)`

use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_MATH;
use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::numeric;

/// What makes of a median absolute deviation the standard deviation of a normal distribution: 1 / Φ⁻¹(3/4).
const SCALE: f64 = 1.482_602_218_505_602;

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_MATH,
        "How many standard deviations x is above what is usual, with median and median absolute deviation in place of mean and \
         standard deviation: the extraordinary ones among the others do not move them. (x - median) / (1.4826 * mad). \
         NULL where mad is 0: half of the others are equal then, and say nothing about how far one may be from them. \
         Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993); they take 3.5 for an outlier.",
        "robust_z(x, median, mad)",
    )
    .with_argument("x", "The value")
    .with_argument("median", "Median of the others")
    .with_argument("mad", "Median of their absolute distances from the median, above 0")
    .with_sql_example("SELECT robust_z(30, 10, 4); -- 3.37...")
    .build();
    numeric::udf("robust_z", documentation, |[x, median, mad]| (mad > 0.0).then(|| (x - median) / (SCALE * mad)))
}
