//! Peer groups in batch: a baseline's rows are fitted when somebody reads them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};
use futures::{TryStreamExt, stream};

use super::Peers;

/// The rows of `plan`, a baseline's, with what their peers say about them.
pub fn fitted(plan: Arc<dyn ExecutionPlan>, peers: Peers) -> Result<StreamingTable> {
    StreamingTable::try_new(Arc::clone(peers.schema()), vec![Arc::new(Fitted { plan, peers })])
}

#[derive(Debug)]
struct Fitted {
    plan: Arc<dyn ExecutionPlan>,
    peers: Peers,
}

impl PartitionStream for Fitted {
    fn schema(&self) -> &SchemaRef {
        self.peers.schema()
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (plan, peers) = (Arc::clone(&self.plan), self.peers.clone());
        let rows = stream::once(async move {
            let schema = plan.schema();
            let rows = collect(reset_plan_states(plan)?, context).await?;
            Ok::<_, datafusion::common::DataFusionError>(stream::iter(
                peers.fit_windows(&rows, &schema)?.into_iter().map(Ok),
            ))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.peers.schema()), rows.try_flatten()))
    }
}
