//! `id_density(id)`

use datafusion::logical_expr::{AggregateUDF, Documentation, aggregate_doc_sections::DOC_SECTION_STATISTICAL};

use super::{Of, Sample, span};

pub(super) fn udf() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_STATISTICAL,
        "How much of the id space was read where it was read: in each block of 1,024 ids, from the lowest to the highest that was \
         seen, the share of ids that were seen; over blocks with two or more, weighted by that span. 1 is every id, in whichever \
         order; customers who read their own, scattered records come to a few thousandths. NULL where no block has two. \
         In bounded memory: of more than 64 blocks a sample of whole blocks is looked at.",
        "id_density(id)",
    )
    .with_argument("id", "A whole number, such as CAST(object_part(object, -1) AS BIGINT)")
    .with_sql_example("SELECT client, id_density(CAST(object AS BIGINT)) FROM requests GROUP BY client;")
    .build();
    super::udf("id_density", Of::Ids, documentation, evaluate)
}

fn evaluate(ids: &Sample) -> Option<f64> {
    let several = || ids.blocks().filter(|block| block.len() > 1);
    let seen: usize = several().map(<[u16]>::len).sum();
    let spanned: usize = several().map(|block| usize::from(span(block))).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most 64 * 1,024")]
    (spanned > 0).then(|| seen as f64 / spanned as f64)
}
