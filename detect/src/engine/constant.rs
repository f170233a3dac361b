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
            return Constant::new(&concat_batches(&schema, &batches)?);
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
    fn new(rows: &RecordBatch) -> Result<Arc<dyn ExecutionPlan>> {
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
