//! Leaves of a streaming plan: a place into which the engine puts batches before it runs the plan.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ptr::addr_eq;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;

use super::baseline::{self, windowed_schema};
use super::compile::paned_schema;
use super::window::{Input, Inputs};

/// What a plan reads from a slot.
pub trait Content: Clone + Debug + Default + Send + 'static {
    /// Its batches, one after the other.
    fn batches(self) -> impl Iterator<Item = Result<RecordBatch>> + Send + 'static;
}

impl Content for Vec<RecordBatch> {
    fn batches(self) -> impl Iterator<Item = Result<RecordBatch>> + Send + 'static {
        self.into_iter().map(Ok)
    }
}

/// Holds what the next execution of a plan reads. Has no statistics, so that no optimiser rule folds a plan over what it
/// happens to hold.
#[derive(Debug)]
pub struct SlotOf<C> {
    schema: SchemaRef,
    content: Mutex<C>,
}

/// One that holds batches.
pub type Slot = SlotOf<Vec<RecordBatch>>;

impl<C: Content> SlotOf<C> {
    /// An empty slot for batches of `schema`.
    pub fn new(schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { schema, content: Mutex::default() })
    }

    /// The columns of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether this node of a plan reads it.
    pub fn is_read_by(self: &Arc<Self>, node: &dyn ExecutionPlan) -> bool {
        let partitions = node.downcast_ref::<StreamingTableExec>().into_iter().flat_map(StreamingTableExec::partitions);
        partitions.into_iter().any(|partition| addr_eq(Arc::as_ptr(partition), Arc::as_ptr(self)))
    }

    /// Replaces what the slot holds.
    pub fn put(&self, content: C) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = content;
    }

    /// The slot as a table for planning.
    pub fn table(self: &Arc<Self>) -> Result<StreamingTable> {
        StreamingTable::try_new(Arc::clone(&self.schema), vec![Arc::clone(self) as Arc<dyn PartitionStream>])
    }

    /// The slot as a leaf of a physical plan.
    pub fn exec(self: &Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = vec![Arc::clone(self) as Arc<dyn PartitionStream>];
        let exec = StreamingTableExec::try_new(Arc::clone(&self.schema), partitions, None, [], false, None)?;
        Ok(Arc::new(exec))
    }

    /// A plan with an empty place of its own where this one was.
    pub fn parted(self: &Arc<Self>, plan: Arc<dyn ExecutionPlan>) -> Result<(Arc<Self>, Arc<dyn ExecutionPlan>)> {
        let own = Self::new(Arc::clone(&self.schema));
        let parted = plan.transform_up(|node| {
            let Some(scan) = node.downcast_ref::<StreamingTableExec>().filter(|_| self.is_read_by(node.as_ref()))
            else {
                return Ok(Transformed::no(node));
            };
            let projection = scan.projection().as_ref().map(|columns| columns.to_vec());
            let partitions = vec![Arc::clone(&own) as Arc<dyn PartitionStream>];
            let schema = Arc::clone(&self.schema);
            let scan = StreamingTableExec::try_new(schema, partitions, projection.as_ref(), [], false, None)?;
            Ok(Transformed::yes(Arc::new(scan) as Arc<dyn ExecutionPlan>))
        })?;
        Ok((own, parted.data))
    }
}

impl<C: Content> PartitionStream for SlotOf<C> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(content.batches())))
    }
}

/// Where the rows that windows are put over enter a plan.
#[derive(Debug)]
pub struct Leaves {
    requests: Arc<Slot>,
    baselines: BTreeMap<String, Arc<Slot>>,
}

impl Leaves {
    /// One for each table.
    pub fn new(baselines: &BTreeMap<String, baseline::Table>) -> Self {
        let slot = |(name, table): (&String, &baseline::Table)| {
            (name.clone(), Slot::new(windowed_schema(&table.row_schema())))
        };
        Self { requests: Slot::new(paned_schema()), baselines: baselines.iter().map(slot).collect() }
    }

    /// As tables to put windows over.
    pub fn inputs(&self, baselines: &BTreeMap<String, baseline::Table>) -> Result<Inputs> {
        let mut inputs =
            Inputs::from([("requests".to_owned(), Input { table: Arc::new(self.requests.table()?), own: None })]);
        for ((name, slot), table) in self.baselines.iter().zip(baselines.values()) {
            inputs.insert(name.clone(), Input { table: Arc::new(slot.table()?), own: Some(table.window) });
        }
        Ok(inputs)
    }

    /// The leaf that a plan reads, with the baseline's name if it is not that of requests.
    pub fn read_by(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<(Option<&String>, &Arc<Slot>)> {
        let mut found = (None, &self.requests);
        plan.apply(|node| {
            let read = self.baselines.iter().find(|(_, slot)| slot.is_read_by(node.as_ref()));
            found = read.map_or(found, |(name, slot)| (Some(name), slot));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }
}
