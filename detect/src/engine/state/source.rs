//! Where the rows of a store come from: `requests` or a baseline through filters and computed columns, or, for the rare rule that
//! does more below its lowest aggregate (a join with a lookup), through a plan of its own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use tripline_ingest::table::columns::TS;

use crate::engine::leaf::Slot;
use crate::engine::program::{Expr, Program};
use datafusion::physical_plan::execution_plan::reset_plan_states;

/// A plan over a slot that takes the rows of `requests`, or of a baseline, with the window's bounds, both of which hold the row's `ts`.
#[derive(Debug, Clone)]
pub struct Below {
    /// Takes the rows.
    pub slot: Arc<Slot>,
    /// What is done with them.
    pub plan: Arc<dyn ExecutionPlan>,
    /// How it runs.
    pub context: Arc<TaskContext>,
    /// Position of a bound in its result.
    pub ts: usize,
}

/// The rows that are grouped.
#[derive(Debug, Clone)]
pub struct Source {
    /// All must be true of a row.
    pub filters: Vec<Expr>,
    /// The baseline that they come from, by name as a table, and the columns that it has under windows.
    baseline: Option<(String, SchemaRef)>,
    below: Option<Below>,
    program: Option<Program>,
}

impl Source {
    /// The rows of `requests` for which all of `filters` are true.
    pub fn requests(filters: Vec<Expr>) -> Self {
        Self { filters, baseline: None, below: None, program: None }
    }

    /// The rows of a plan.
    pub fn plan(below: Below) -> Self {
        Self { filters: Vec::new(), baseline: None, below: Some(below), program: None }
    }

    /// The same of a baseline instead of `requests`.
    #[must_use]
    pub fn of_baseline(self, baseline: Option<(String, SchemaRef)>) -> Self {
        Self { baseline, ..self }
    }

    /// Whether both give the same rows.
    pub fn same(&self, other: &Self) -> bool {
        self.below.is_none()
            && other.below.is_none()
            && self.baseline() == other.baseline()
            && self.filters == other.filters
    }

    /// In words that a checkpoint can compare.
    pub fn describe(&self) -> String {
        let filters: Vec<_> = self.filters.iter().map(ToString::to_string).collect();
        let table = self.baseline().unwrap_or("requests");
        match &self.below {
            None if filters.is_empty() => table.into(),
            None => format!("{table} WHERE {}", filters.join(" AND ")),
            Some(below) => {
                let plan = displayable(below.plan.as_ref()).indent(false).to_string();
                self.baseline().map_or_else(|| plan.clone(), |table| format!("{table} through\n{plan}"))
            }
        }
    }

    fn schema(&self, requests: &Schema) -> SchemaRef {
        match (&self.below, &self.baseline) {
            (Some(below), _) => below.plan.schema(),
            (None, Some((_, schema))) => Arc::clone(schema),
            (None, None) => Arc::new(requests.clone()),
        }
    }

    /// The types of some expressions over its rows.
    pub fn types_of(&self, requests: &Schema, expressions: &[Expr]) -> Result<Vec<DataType>> {
        let schema = self.schema(requests);
        expressions.iter().map(|e| e.data_type(&schema)).collect()
    }

    /// The baseline that its rows come from, if they do not come from `requests`.
    pub fn baseline(&self) -> Option<&str> {
        self.baseline.as_ref().map(|(table, _)| table.as_str())
    }

    /// Whether its rows are those of `requests` as they are.
    pub fn is_requests(&self) -> bool {
        self.below.is_none() && self.baseline.is_none()
    }

    /// Makes ready to give these columns: where each will be in [`Source::rows`]. `filters`: its own, as they are evaluated.
    pub fn prepare(&mut self, requests: &Schema, filters: &[Expr], wanted: &[Expr]) -> Result<Vec<usize>> {
        let schema = self.schema(requests);
        let ts = match (&self.below, &self.baseline) {
            (Some(below), _) => below.ts,
            (None, Some((_, schema))) => schema.index_of(tripline_ingest::schema().field(TS).name())?,
            (None, None) => TS,
        };
        let ts = Arc::new(Column::new(schema.field(ts).name(), ts)) as Expr;
        let all: Vec<Expr> = [ts].into_iter().chain(wanted.iter().cloned()).collect();
        let program = Program::new(&schema, filters, &all)?;
        let outputs = program.outputs[1..].to_vec();
        self.program = Some(program);
        Ok(outputs)
    }

    /// Where `ts` is in [`Source::rows`].
    pub fn ts(&self) -> usize {
        self.program.as_ref().map_or(0, |p| p.outputs[0])
    }

    /// The rows for a batch of `requests`, or of its baseline, with bounds.
    pub async fn rows(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let Some(program) = &self.program else { return Ok(Vec::new()) };
        let Some(below) = &self.below else { return Ok(vec![program.run(batch)?]) };
        // (its leaf knows nothing of what was prepared)
        let columns: Vec<usize> = (0..below.slot.schema().fields().len()).collect();
        below.slot.put(vec![batch.project(&columns)?]);
        let rows = collect(reset_plan_states(Arc::clone(&below.plan))?, Arc::clone(&below.context)).await;
        below.slot.put(Vec::new());
        rows?.iter().map(|rows| program.run(rows)).collect()
    }
}
