//! Joins of windows with baselines, narrowed: of a baseline with a million keys only those are read that a window's rows ask for.
//!
//! A hash join reads its left side first, the windows, into a table, and then looks up each row of its right side, the
//! baseline. Narrowed, the left side's keys are noted on the way, and the right side finds the rows with these keys. The join
//! itself stays DataFusion's: what is noted only leaves out rows that could not have matched.

use std::collections::BTreeMap;
use std::fmt;
use std::ptr::addr_eq;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, common};
use futures::{StreamExt, TryStreamExt, stream};

use super::runs::hashes;
use super::{Table, View};

/// A baseline's place in a rule's plan, where the engine puts what was known when a window began.
#[derive(Debug)]
pub struct BaselineSlot {
    table: Table,
    view: Mutex<Option<View>>,
}

impl BaselineSlot {
    /// An empty place.
    pub fn new(table: Table) -> Arc<Self> {
        Arc::new(Self { table, view: Mutex::default() })
    }

    /// The place as a table for planning.
    pub fn table(self: &Arc<Self>) -> Result<StreamingTable> {
        let partition = Arc::clone(self) as Arc<dyn PartitionStream>;
        StreamingTable::try_new(Arc::clone(&self.table.schema), vec![partition])
    }

    /// Replaces what it holds. `None` lets the memory go.
    pub fn put(&self, view: Option<View>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    fn rows(&self, wanted: Option<&[u64]>) -> Result<Vec<RecordBatch>> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        view.map_or_else(|| Ok(Vec::new()), |view| view.rows(wanted))
    }

    fn stream(self: &Arc<Self>, noted: Option<Arc<Noted>>) -> SendableRecordBatchStream {
        let slot = Arc::clone(self);
        // When the first row is asked for: then the left side has been read.
        let rows = stream::once(async move {
            let wanted = noted.and_then(|noted| noted.take());
            slot.rows(wanted.as_deref()).map(|batches| stream::iter(batches.into_iter().map(Ok)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.table.schema), rows.try_flatten()))
    }
}

impl PartitionStream for BaselineSlot {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows(None).map(|batches| stream::iter(batches.into_iter().map(Ok)));
        let rows = stream::once(async { rows }).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.table.schema), rows))
    }
}

/// Hashes of the keys of a join's left side, once it has been read to its end.
#[derive(Debug, Default)]
struct Noted(Mutex<Option<Vec<u64>>>);

impl Noted {
    fn put(&self, mut hashes: Vec<u64>) {
        hashes.sort_unstable();
        hashes.dedup();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(hashes);
    }

    fn take(&self) -> Option<Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The right side of a narrowed join.
#[derive(Debug)]
struct Narrowed {
    slot: Arc<BaselineSlot>,
    noted: Arc<Noted>,
}

impl PartitionStream for Narrowed {
    fn schema(&self) -> &SchemaRef {
        &self.slot.table.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.slot.stream(Some(Arc::clone(&self.noted)))
    }
}

/// The left side of a narrowed join.
#[derive(Debug)]
struct Noting {
    input: Arc<dyn ExecutionPlan>,
    keys: Keys,
    noted: Arc<Noted>,
}

impl DisplayAs for Noting {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "Noting: of the baseline only rows for these keys are read: {}", keys.join(", "))
    }
}

impl ExecutionPlan for Noting {
    fn name(&self) -> &'static str {
        "Noting"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.keys.iter().try_fold(TreeNodeRecursion::Continue, |go, key| go.visit_sibling(|| f(key)))
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("a plan lost its input".into()))?;
        Ok(Arc::new(Self { input, keys: self.keys.clone(), noted: Arc::clone(&self.noted) }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, keys, noted) = (input.schema(), self.keys.clone(), Arc::clone(&self.noted));
        // The join takes in all of it before it goes on, too.
        let rows = stream::once(async move {
            let batches = common::collect(input).await?;
            let mut all = Vec::new();
            for batch in &batches {
                let keys = keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows()));
                all.extend(hashes(&keys.collect::<Result<Vec<ArrayRef>>>()?, batch.num_rows())?);
            }
            noted.put(all);
            Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.try_flatten().boxed())))
    }
}

/// A join's left side's expressions that a baseline's key must equal, column by column.
type Keys = Vec<Arc<dyn PhysicalExpr>>;

/// Narrows the joins of a plan with the baselines in `slots`, where the join names the whole key.
pub fn narrow(
    plan: Arc<dyn ExecutionPlan>,
    slots: &BTreeMap<String, Arc<BaselineSlot>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let narrowed = plan.transform_up(|node| {
        let Some((slot, keys)) = node.downcast_ref::<HashJoinExec>().and_then(|join| keys_of(join, slots)) else {
            return Ok(Transformed::no(node));
        };
        let [left, right] = node.children()[..] else { return Ok(Transformed::no(node)) };
        let noted = Arc::new(Noted::default());
        let projection = right.downcast_ref::<StreamingTableExec>().and_then(|leaf| leaf.projection().clone());
        let partition: Arc<dyn PartitionStream> =
            Arc::new(Narrowed { slot: Arc::clone(slot), noted: Arc::clone(&noted) });
        let (schema, projection) = (Arc::clone(partition.schema()), projection.map(|columns| columns.to_vec()));
        let right = StreamingTableExec::try_new(schema, vec![partition], projection.as_ref(), [], false, None)?;
        let left = Arc::new(Noting { input: Arc::clone(left), keys, noted });
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(node.replace_children(vec![left, Arc::new(right)], options)?))
    });
    narrowed.map(|plan| plan.data)
}

/// The baseline that a join has on its right, and the left side's expressions that the baseline's key must equal. `None` if it has
/// none there, or does not name the whole key.
fn keys_of<'a>(
    join: &HashJoinExec,
    slots: &'a BTreeMap<String, Arc<BaselineSlot>>,
) -> Option<(&'a Arc<BaselineSlot>, Keys)> {
    if !matches!(join.join_type(), JoinType::Left | JoinType::Inner) {
        return None;
    }
    let leaf = join.right().downcast_ref::<StreamingTableExec>()?;
    let [partition] = &leaf.partitions()[..] else { return None };
    let slot = slots.values().find(|slot| addr_eq(Arc::as_ptr(slot), Arc::as_ptr(partition)))?;
    let column = |index: usize| leaf.projection().as_ref().map_or(Some(index), |columns| columns.get(index).copied());
    let key = |key: &usize| {
        let (left, _) = join
            .on()
            .iter()
            .find(|(_, right)| right.downcast_ref::<Column>().and_then(|right| column(right.index())) == Some(*key))?;
        // Another type has other hashes.
        let same_type = left.data_type(&join.left().schema()).ok()? == *slot.table.schema.field(*key).data_type();
        same_type.then(|| Arc::clone(left))
    };
    Some((slot, slot.table.keys.iter().map(key).collect::<Option<_>>()?))
}
