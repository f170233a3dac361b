//! Plain SQL over whole logs: the batch side, and the oracle that the engine is tested against.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, ident, lit};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{DataFrame, SessionContext};
use tripline_ingest::{LogReader, Mode as ReadMode, Probe, SourceOptions};

use crate::diagnostic::Diagnostic;
use crate::engine::session::session;
use crate::engine::window::{
    Input, Inputs, Mode, ROW_WATERMARK, WINDOW_END, WINDOW_START, WindowPlanner, WindowSpec, timestamp_type,
};
use crate::engine::{FileRows, Keep, baseline, compile};
use crate::history::read::{ParquetFile, listing, table};
use crate::input::InputFile;
use crate::lookups::Lookups;
use crate::peers::{self, Peers};
use crate::rules::Rule;

/// Where a batch session reads `requests` from: partitions of [`with_watermark_schema`].
pub type Partitions = Vec<Arc<dyn PartitionStream>>;

/// `requests` and each row's watermark.
pub fn with_watermark_schema() -> SchemaRef {
    let watermark = Arc::new(Field::new(ROW_WATERMARK, timestamp_type(), false));
    Arc::new(Schema::new(tripline_ingest::schema().fields().iter().cloned().chain([watermark]).collect::<Vec<_>>()))
}

/// What `requests` is made of.
#[derive(Debug, Default)]
pub struct Requests {
    /// Logs.
    pub partitions: Partitions,
    /// Parquet.
    pub parquet: Vec<ParquetFile>,
}

impl Requests {
    /// Files as they were found. What goes wrong with one of the logs is added to `problems`.
    pub fn new(files: Vec<InputFile>, problems: &Problems) -> Self {
        let mut requests = Self::default();
        for file in files {
            match file {
                InputFile::Log(probe, options) => {
                    requests.partitions.push(Arc::new(LogPartition::new(probe, *options, Arc::clone(problems))));
                }
                InputFile::Parquet(file) => requests.parquet.push(file),
            }
        }
        requests
    }

    /// One table of [`with_watermark_schema`].
    fn table(self) -> Result<Arc<dyn TableProvider>> {
        let logs: Arc<dyn TableProvider> =
            Arc::new(StreamingTable::try_new(with_watermark_schema(), self.partitions.clone())?);
        if self.parquet.is_empty() {
            return Ok(logs);
        }
        // Rows of a history are in the order of ts, each the newest of its file: none is late for any window.
        let watermark = col("ts").alias(ROW_WATERMARK);
        let columns = tripline_ingest::schema().fields().iter().map(|f| ident(f.name())).collect::<Vec<_>>();
        let stored = LogicalPlanBuilder::scan("parquet", provider_as_source(table(&self.parquet)?), None)?
            .project(columns.into_iter().chain([watermark]).collect::<Vec<_>>())?;
        let all = if self.partitions.is_empty() {
            stored
        } else {
            stored.union(LogicalPlanBuilder::scan("logs", provider_as_source(logs), None)?.build()?)?
        };
        Ok(Arc::new(ViewTable::new(all.build()?, None)))
    }
}

/// Adds the column [`ROW_WATERMARK`].
pub fn with_watermark(file: &FileRows) -> Result<RecordBatch> {
    let watermarks = TimestampMicrosecondArray::from_iter_values(file.watermarks()).with_timezone("UTC");
    let columns = file.rows.columns().iter().cloned().chain([Arc::new(watermarks) as ArrayRef]).collect();
    Ok(RecordBatch::try_new(with_watermark_schema(), columns)?)
}

/// A session in which any SQL can be asked about whole logs.
pub struct BatchSession {
    context: SessionContext,
    state: SessionState,
    inputs: Inputs,
    keep: Keep,
}

impl BatchSession {
    /// Over logs: see [`Self::over`].
    pub async fn new(
        partitions: Partitions,
        rules: &[Rule],
        keep: Keep,
        lookups: &Lookups,
        threads: usize,
    ) -> std::result::Result<Self, Diagnostic> {
        Self::over(Requests { partitions, parquet: Vec::new() }, rules, keep, lookups, threads).await
    }

    /// Over `requests`, with the baselines among `rules` and `lookups` as tables. `keep`: which rows each rule may see.
    pub async fn over(
        requests: Requests,
        rules: &[Rule],
        keep: Keep,
        lookups: &Lookups,
        threads: usize,
    ) -> std::result::Result<Self, Diagnostic> {
        let explain = |e| Diagnostic::from_datafusion("query", "", &e);
        let requests = requests.table().map_err(explain)?;
        let inputs = Inputs::from([("requests".to_owned(), Input { table: Arc::clone(&requests), own: None })]);
        let planner = Arc::new(WindowPlanner::new(Mode::Batch, inputs.clone(), None));
        let state = session(Mode::Batch, planner, threads, lookups.enrichment());
        let context = SessionContext::new_with_state(state.clone());

        // The watermark is not part of the table that people see.
        let visible: Vec<Expr> = tripline_ingest::schema().fields().iter().map(|f| ident(f.name())).collect();
        let view = context.read_table(requests).and_then(|all| all.select(visible)).map_err(explain)?;
        context.register_table("requests", view.into_view()).map_err(explain)?;
        lookups.register(&context).map_err(explain)?;
        let mut session = Self { context, state, inputs, keep };
        for rule in rules.iter().filter(|r| r.is_baseline() && lookups.awaited(r).is_none()) {
            session.add_baseline(rule).await?;
        }
        Ok(session)
    }

    /// Baselines as `run` has kept them in `dir`, in place of those of the logs.
    pub async fn use_kept_baselines(&mut self, dir: &Path, rules: &[Rule]) -> std::result::Result<(), Diagnostic> {
        for rule in rules.iter().filter(|r| r.is_baseline()) {
            let explain = |e| Diagnostic::from_datafusion(&rule.origin, &rule.text, &e);
            let files =
                tripline_ingest::discover(&dir.join(rule.table_name()).join("*.parquet").display().to_string()).files;
            if files.is_empty() {
                continue;
            }
            let (plan, window) = self.planned(rule).await.map_err(explain)?;
            let schema = Arc::new(plan.schema().as_arrow().clone());
            let schema = Peers::new(rule, &schema)?.map_or(schema, |peers| Arc::clone(peers.schema()));
            let rows = listing(files.iter().map(PathBuf::as_path), schema).map_err(explain)?;
            self.show_baseline(rule, rows, window).await.map_err(explain)?;
        }
        Ok(())
    }

    async fn add_baseline(&mut self, rule: &Rule) -> std::result::Result<(), Diagnostic> {
        let explain = |e| Diagnostic::from_datafusion(&rule.origin, &rule.text, &e);
        let (rows, window) = self.planned(rule).await.map_err(explain)?;
        let peers = Peers::new(rule, &Arc::new(rows.schema().as_arrow().clone()))?;
        let rows: Arc<dyn TableProvider> = match peers {
            None => Arc::new(ViewTable::new(rows, None)),
            Some(peers) => {
                let plan = self.state.create_physical_plan(&rows).await.map_err(explain)?;
                Arc::new(peers::fitted(plan, peers).map_err(explain)?)
            }
        };
        self.show_baseline(rule, rows, window).await.map_err(explain)
    }

    /// Makes a baseline's rows the table that rules and people see.
    async fn show_baseline(
        &mut self,
        rule: &Rule,
        rows: Arc<dyn TableProvider>,
        window: Option<WindowSpec>,
    ) -> Result<()> {
        let name = format!("__{}", rule.table_name());
        self.context.deregister_table(name.as_str())?;
        self.context.deregister_table(rule.table_name())?;
        if window.is_some() {
            let input = Input { table: under_windows(Arc::clone(&rows))?, own: window };
            self.inputs.insert(rule.table_name(), input);
            let planner = WindowPlanner::new(Mode::Batch, self.inputs.clone(), None);
            self.state.register_relation_planner(Arc::new(planner))?;
        }
        self.context.register_table(name.as_str(), rows)?;
        let view = self.state.create_logical_plan(&baseline::view_sql(rule, &name)).await?;
        self.context.register_table(rule.table_name(), Arc::new(ViewTable::new(view, None)))?;
        Ok(())
    }

    /// The plan of a rule, with its parameters and without the rows it must not see.
    pub async fn plan(&self, rule: &Rule) -> Result<LogicalPlan> {
        Ok(self.planned(rule).await?.0)
    }

    /// The same, with its windows.
    async fn planned(&self, rule: &Rule) -> Result<(LogicalPlan, Option<WindowSpec>)> {
        let mut state = self.state.clone();
        let keep = self.keep.get(&rule.id).cloned();
        let planner = Arc::new(WindowPlanner::new(Mode::Batch, self.inputs.clone(), keep));
        state.register_relation_planner(Arc::clone(&planner) as Arc<dyn RelationPlanner>)?;
        Ok((compile::plan(&state, rule).await?, planner.window()))
    }

    /// The plan of any SQL.
    pub async fn plan_sql(&self, sql: &str) -> Result<LogicalPlan> {
        self.state.create_logical_plan(sql).await
    }

    /// The rows of a plan for which a condition of SQL holds.
    pub fn only(&self, plan: LogicalPlan, condition: &str) -> Result<LogicalPlan> {
        let frame = DataFrame::new(self.state.clone(), plan);
        let condition = frame.parse_sql_expr(condition)?;
        Ok(frame.filter(condition)?.into_unoptimized_plan())
    }

    /// Runs a plan to its end.
    pub async fn rows(&self, plan: LogicalPlan) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let frame = self.context.execute_logical_plan(plan).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        Ok((schema, frame.collect().await?))
    }

    /// Runs a plan, batch by batch.
    pub async fn stream(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
        self.context.execute_logical_plan(plan).await?.execute_stream().await
    }
}

/// A baseline's rows as a table to put windows over. None is late: it came when its own window was closed.
fn under_windows(rows: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let schema = baseline::windowed_schema(&rows.schema());
    let columns = schema.fields().iter().map(|field| field.name().as_str());
    let columns = columns.filter(|name| ![WINDOW_START, WINDOW_END].contains(name)).map(|name| match name {
        "ts" => col(WINDOW_START).alias("ts"),
        other => ident(other),
    });
    let never = lit(ScalarValue::TimestampMicrosecond(Some(i64::MIN), Some("UTC".into()))).alias(ROW_WATERMARK);
    let plan = LogicalPlanBuilder::scan("rows", provider_as_source(rows), None)?
        .project(columns.chain([never]).collect::<Vec<_>>())?;
    Ok(Arc::new(ViewTable::new(plan.build()?, None)))
}

/// One log file as a partition of `requests`.
#[derive(Debug)]
pub struct LogPartition {
    schema: SchemaRef,
    probe: Probe,
    options: SourceOptions,
    problems: Problems,
}

/// What went wrong while reading, for the user to see afterwards.
pub type Problems = Arc<Mutex<Vec<String>>>;

impl LogPartition {
    /// A file as found by `tripline_ingest::probe`.
    pub fn new(probe: Probe, options: SourceOptions, problems: Problems) -> Self {
        Self { schema: with_watermark_schema(), probe, options, problems }
    }
}

impl PartitionStream for LogPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let batches = builder.tx();
        let (probe, options, problems) = (self.probe.clone(), self.options.clone(), Arc::clone(&self.problems));
        builder.spawn_blocking(move || {
            // What can be read counts; the rest is told: one truncated archive does not spoil a query.
            let tell = |e: String| problems.lock().unwrap_or_else(PoisonError::into_inner).push(e);
            let mut reader = match LogReader::open(&probe, &options, ReadMode::Once) {
                Ok(reader) => reader,
                Err(e) => {
                    tell(e.to_string());
                    return Ok(());
                }
            };
            loop {
                match reader.next_batch() {
                    Ok(Some(batch)) => {
                        let file = FileRows {
                            rows: batch.rows,
                            newest_before: batch.newest_before,
                            lateness: reader.lateness_us(),
                        };
                        if batches.blocking_send(with_watermark(&file)).is_err() {
                            return Ok(());
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(e) => {
                        tell(e.to_string());
                        return Ok(());
                    }
                }
            }
        });
        builder.build()
    }
}
