//! What of a streaming plan depends on lookup tables alone: computed once, when the rule is planned.
//!
//! A plan runs once a micro-batch (below its lowest aggregate) and once a window (above). A lookup does not change while an
//! engine lives, so what can be made of lookups alone becomes a leaf with its rows, and a join hashes the lookup and streams
//! the requests through: as planned, DataFusion would hash every micro-batch and stream the whole lookup through.
//!
//! The leaf shows a digest of its rows where a plan is shown: plans that look alike are alike, and a fingerprint of a plan
//! changes with the content of the lookups that it reads, and only then.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions, replace_children_if_necessary,
};
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, collect};
use futures::FutureExt;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

/// Replaces each scalar subquery that stands for itself by its value. The validator lets none through that reads requests.
///
/// (DataFusion would compute it at the plan's root, which the halves of a split plan do not share.)
pub async fn fold_subqueries(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let mut values: Vec<(Arc<LogicalPlan>, ScalarValue)> = Vec::new();
    for subquery in constant_subqueries(&plan)? {
        if !values.iter().any(|(known, _)| *known == subquery) {
            let value = scalar(&subquery, state).await?;
            values.push((subquery, value));
        }
    }
    if values.is_empty() {
        return Ok(plan);
    }
    let value_of = |expr: &Expr| {
        let Expr::ScalarSubquery(subquery) = expr else { return None };
        values.iter().find(|(known, _)| *known == subquery.subquery).map(|(_, value)| value.clone())
    };
    let folded = plan.transform_down_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let rewritten = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_down(|e| match value_of(&e) {
                Some(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
                None => Ok(Transformed::no(e)),
            })?;
            Ok(rewritten.update_data(|e| name.restore(e)))
        })?;
        if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
    })?;
    Ok(folded.data)
}

/// The scalar subqueries of a plan that do not refer to what is around them.
fn constant_subqueries(plan: &LogicalPlan) -> Result<Vec<Arc<LogicalPlan>>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, .. }) = e
                    && outer_ref_columns.is_empty()
                {
                    found.push(Arc::clone(subquery));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The one value of a subquery; NULL if it has no row.
async fn scalar(plan: &LogicalPlan, state: &SessionState) -> Result<ScalarValue> {
    let physical = state.create_physical_plan(plan).await?;
    let schema = physical.schema();
    let batches = collect(physical, state.task_ctx()).await?;
    let rows = concat_batches(&schema, &batches)?;
    match rows.num_rows() {
        0 => ScalarValue::try_from(rows.column(0).data_type()),
        1 => ScalarValue::try_from_array(rows.column(0), 0),
        n => plan_err!("a subquery that stands for one value has {n} rows"),
    }
}

/// Replaces what depends on lookups alone by its rows, and lets joins hash the lookups.
pub fn fold(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>>> {
    async move {
        if is_constant(&plan)? {
            let schema = plan.schema();
            let batches = collect(plan, context).await?;
            return Constant::leaf(&concat_batches(&schema, &batches)?);
        }
        let mut children = Vec::new();
        for child in plan.children() {
            children.push(fold(Arc::clone(child), Arc::clone(&context)).await?);
        }
        build_on_constant(replace_children_if_necessary(plan, children)?)
    }
    .boxed()
}

/// Whether a plan reads a lookup and nothing that comes in batches.
fn is_constant(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let (mut lookup, mut streamed) = (false, false);
    plan.apply(|node| {
        lookup |= node.is::<DataSourceExec>() || node.is::<Constant>();
        streamed |= node.is::<StreamingTableExec>();
        Ok(if streamed { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(lookup && !streamed)
}

/// Whether a plan, folded, is a lookup's rows.
pub fn is_lookup(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<Constant>()
}

/// A join keeps its left side in memory and streams the right one through: the lookup goes left.
fn build_on_constant(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let on_the_right = || {
        let children = plan.children();
        Ok::<_, datafusion::error::DataFusionError>(is_constant(children[1])? && !is_constant(children[0])?)
    };
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        // NOT IN over something that may be NULL has no mirror image; it is right as it stands, only slower.
        if !join.null_aware && on_the_right()? {
            return join.swap_inputs(PartitionMode::CollectLeft);
        }
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        if on_the_right()? {
            return join.swap_inputs();
        }
    } else if let Some(join) = plan.downcast_ref::<CrossJoinExec>()
        && on_the_right()?
    {
        return join.swap_inputs();
    }
    Ok(plan)
}

/// Rows that a plan reads again and again.
#[derive(Debug)]
struct Constant {
    rows: RecordBatch,
    digest: String,
    properties: Arc<PlanProperties>,
}

impl Constant {
    fn leaf(rows: &RecordBatch) -> Result<Arc<dyn ExecutionPlan>> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(rows.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(Self { rows: rows.clone(), digest: digest(rows)?, properties: Arc::new(properties) }))
    }
}

/// SHA-256 over the rows, the same however they lie in memory.
fn digest(rows: &RecordBatch) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{:?} {}", rows.schema().fields(), rows.num_rows()));
    if rows.num_columns() > 0 {
        let fields = rows.columns().iter().map(|c| SortField::new(c.data_type().clone())).collect();
        for row in &RowConverter::new(fields)?.convert_columns(rows.columns())? {
            hash.update(row.data().len().to_le_bytes());
            hash.update(row);
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}

impl DisplayAs for Constant {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Lookup: rows={}, sha256={}", self.rows.num_rows(), self.digest)
    }
}

impl ExecutionPlan for Constant {
    fn name(&self) -> &'static str {
        "Lookup"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(MemoryStream::try_new(vec![self.rows.clone()], self.rows.schema(), None)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;

    use super::super::compile::compile;
    use super::super::leaf::Slot;
    use super::super::session::session;
    use super::super::window::{Inputs, Mode, WindowPlanner};
    use super::*;
    use crate::lookups::Lookups;
    use crate::rules::Rule;

    fn lookups(partners: &str) -> Lookups {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("partners.csv"), partners).unwrap();
        let mut lookups = Lookups::default();
        lookups.read_folder(folder.path()).unwrap();
        lookups
    }

    /// The plan of a statement over `r`, whose rows are those of `requests`, and the lookup `partners`.
    async fn plan(sql: &str) -> String {
        let planner = Arc::new(WindowPlanner::new(Mode::Stream, Inputs::new(), None));
        let state = session(Mode::Stream, planner, 1, &Arc::default());
        let context = SessionContext::new_with_state(state.clone());
        let requests = Slot::new(tripline_ingest::schema());
        context.register_table("r", Arc::new(requests.table().unwrap())).unwrap();
        lookups("client,tier\na,1\nb,2\n").register(&context).unwrap();
        let plan = state.create_logical_plan(sql).await.unwrap();
        let plan = fold_subqueries(plan, &state).await.unwrap();
        let physical = state.create_physical_plan(&plan).await.unwrap();
        displayable(fold(physical, state.task_ctx()).await.unwrap().as_ref()).indent(false).to_string()
    }

    /// Which leaf a join keeps in memory: the first below it.
    fn built(plan: &str) -> &str {
        let mut below = plan.lines().skip_while(|line| !line.contains("Join")).skip(1);
        below.find(|line| line.contains("Lookup") || line.contains("StreamingTable")).unwrap_or_default().trim()
    }

    #[tokio::test]
    async fn joins_hash_the_lookup() {
        for sql in [
            "SELECT r.client, count(*) FROM r LEFT JOIN partners p ON p.client = r.client GROUP BY r.client",
            "SELECT r.client, count(*) FROM r JOIN partners p ON p.client = r.client AND r.status > p.tier GROUP BY r.client",
            "SELECT client, count(*) FROM r WHERE client NOT IN (SELECT client FROM partners) GROUP BY client",
            "SELECT client, count(*) FROM r WHERE EXISTS (SELECT 1 FROM partners p WHERE p.client = r.client) GROUP BY client",
            "SELECT r.client, count(*) FROM r JOIN partners p ON r.client > p.client GROUP BY r.client",
            "SELECT r.client, count(*) FROM r CROSS JOIN partners p GROUP BY r.client",
            "SELECT r.client, max(p.n) FROM r JOIN (SELECT client, count(*) AS n FROM partners GROUP BY client) p \
             ON p.client = r.client GROUP BY r.client",
        ] {
            let plan = plan(sql).await;
            assert!(built(&plan).starts_with("Lookup: rows=2"), "{sql}\n{plan}");
            assert!(!plan.contains("DataSourceExec") && plan.matches("AggregateExec").count() == 2, "{plan}");
        }
        // The value may be NULL: here the batch is hashed.
        let plan = plan("SELECT client FROM r WHERE object NOT IN (SELECT client FROM partners)").await;
        assert!(built(&plan).starts_with("StreamingTable"), "{plan}");
    }

    #[tokio::test]
    async fn a_subquery_that_stands_for_one_value_is_that_value() {
        let plan = plan("SELECT client FROM r WHERE status > (SELECT max(tier) FROM partners)").await;
        assert!(plan.contains("> 2") && !plan.contains("Lookup") && !plan.contains("Subquery"), "{plan}");
    }

    const WINDOW: &str = "tumble(requests, ts, INTERVAL '1 minute')";

    /// State rows may be merged as long as what they were made of is the same.
    #[tokio::test]
    async fn the_fingerprint_knows_what_of_a_lookup_the_state_depends_on() {
        let fingerprint = async |sql: &str, partners: &str| {
            let text = format!("/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\n{sql}");
            let rule = Rule::parse("a/b", "b.sql", &text).unwrap();
            let compiled = compile(&rule, &BTreeMap::new(), &lookups(partners), None).await;
            compiled.unwrap_or_else(|e| panic!("{e}")).fingerprint()
        };
        let base = "client,tier,note\na,1,x\nb,2,y\n";
        let below = format!(
            "SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} WHERE client NOT IN (SELECT client FROM partners) \
             GROUP BY window_start, window_end, client"
        );
        let above = format!(
            "WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} GROUP BY window_start, window_end, client) \
             SELECT w.* FROM w LEFT JOIN partners p ON p.client = w.client WHERE n > coalesce(p.tier, 0)"
        );
        let scalar =
            below.replace("client NOT IN (SELECT client FROM partners)", "status > (SELECT max(tier) FROM partners)");
        for (sql, other, same) in [
            (&below, "client,tier,note\na,1,x\nc,2,y\n", false),
            (&below, "client,tier,note\na,1,x\nb,3,z\n", true),
            (&scalar, "client,tier,note\na,1,x\nb,3,y\n", false),
            (&scalar, "client,tier,note\nc,1,x\nd,2,z\n", true),
            (&above, "client,tier,note\nc,5,z\n", true),
        ] {
            assert_eq!(fingerprint(sql, base).await == fingerprint(sql, other).await, same, "{sql}\n{other}");
        }
    }
}
