//! `dense_ids(id)`

use datafusion::logical_expr::{AggregateUDF, Documentation, aggregate_doc_sections::DOC_SECTION_STATISTICAL};

use super::{Of, Sample, span};

/// A block with fewer ids says little: five of ten is chance.
const FEWEST: usize = 32;

pub(super) fn udf() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_STATISTICAL,
        "How many different ids were read as by counting: those in blocks of 1,024 ids of which 32 or more were seen, and at least \
         half of what lies between the lowest and the highest of them. The order does not matter. 0 where there are none. \
         In bounded memory: of more than 64 blocks a sample of whole blocks is looked at, and the number is an estimate.",
        "dense_ids(id)",
    )
    .with_argument("id", "A whole number, such as CAST(object_part(object, -1) AS BIGINT)")
    .with_sql_example("SELECT client, dense_ids(CAST(object AS BIGINT)) FROM requests GROUP BY client;")
    .build();
    super::udf("dense_ids", Of::Ids, documentation, evaluate)
}

#[expect(clippy::cast_precision_loss, reason = "at most 64 * 1,024")]
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn evaluate(ids: &Sample) -> Option<f64> {
    let dense = ids.blocks().filter(|block| block.len() >= FEWEST && block.len() * 2 >= usize::from(span(block)));
    Some(dense.map(<[u16]>::len).sum::<usize>() as f64 * ids.factor())
}
