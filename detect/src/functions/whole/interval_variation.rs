//! `interval_variation(ts)`

use datafusion::logical_expr::{AggregateUDF, Documentation, aggregate_doc_sections::DOC_SECTION_STATISTICAL};

use super::{Of, Sample, gaps};

/// With fewer intervals everything looks regular.
const FEWEST: f64 = 8.0;

pub(super) fn udf() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_STATISTICAL,
        "How irregular the intervals between requests are: standard deviation over mean (coefficient of variation) of the intervals \
         between seconds with a request, within blocks of 1,024 seconds (17 minutes). 0 is a metronome, 1 is what independent requests \
         come to (Poisson), people come to more: they read, and pause. Says nothing about clients with more than one request in two \
         seconds. NULL with fewer than 8 intervals. In bounded memory, as id_density.",
        "interval_variation(ts)",
    )
    .with_argument("ts", "A timestamp; what is below a second is cut off")
    .with_sql_example("SELECT client, interval_variation(ts) FROM requests GROUP BY client;")
    .build();
    super::udf("interval_variation", Of::Seconds, documentation, evaluate)
}

fn evaluate(seconds: &Sample) -> Option<f64> {
    let intervals = || seconds.blocks().flat_map(gaps).map(f64::from);
    let (n, sum) = intervals().fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x));
    let mean = sum / n;
    let variance = intervals().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (n >= FEWEST).then(|| variance.sqrt() / mean)
}
