//! `id_gap_entropy(id)`

use datafusion::logical_expr::{AggregateUDF, Documentation, aggregate_doc_sections::DOC_SECTION_STATISTICAL};

use super::{Of, Sample, gaps};

pub(super) fn udf() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_STATISTICAL,
        "How irregular the distances between neighbouring ids are, in bits: the entropy (Shannon 1948) of the distances' powers of two, \
         within blocks of 1,024 ids. 0 is one distance throughout: counting, or counting by threes. Ids picked at \
         random come to 2 and more. NULL with fewer than two distances. In bounded memory, as id_density.",
        "id_gap_entropy(id)",
    )
    .with_argument("id", "A whole number, such as CAST(object_part(object, -1) AS BIGINT)")
    .with_sql_example("SELECT client, id_gap_entropy(CAST(object AS BIGINT)) FROM requests GROUP BY client;")
    .build();
    super::udf("id_gap_entropy", Of::Ids, documentation, evaluate)
}

fn evaluate(ids: &Sample) -> Option<f64> {
    let mut powers = [0_u32; 11];
    for gap in ids.blocks().flat_map(gaps) {
        powers[gap.max(1).ilog2() as usize] += 1;
    }
    let all = f64::from(powers.iter().sum::<u32>());
    let shares = powers.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all);
    (all >= 2.0).then(|| shares.map(|share| -share * share.log2()).sum::<f64>().max(0.0))
}
