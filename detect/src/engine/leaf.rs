//! Leaves of a streaming plan: a place into which the engine puts batches before it runs the plan.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;

/// Holds the batches that the next execution of a plan reads. Has no statistics, so that no optimiser rule folds a
/// plan over what it happens to hold.
#[derive(Debug)]
pub struct Slot {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl Slot {
    /// An empty slot for batches of `schema`.
    pub fn new(schema: SchemaRef) -> Arc<Self> {
        Arc::new(Self { schema, batches: Mutex::default() })
    }

    /// Replaces what the slot holds.
    pub fn put(&self, batches: Vec<RecordBatch>) {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner) = batches;
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
}

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let batches = stream::iter(batches.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
