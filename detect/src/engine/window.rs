//! `tumble` and `hop` in FROM, planned in one of two ways from the same SQL.
//!
//! * *Batch* (`query`, tests' oracle): the call becomes built-ins over the whole log: a row is repeated for each window
//!   that holds it, unless the row was late for that window.
//! * *Stream* (`scan`, `run`): the call becomes a scan of a leaf that yields the current micro-batch with the row's
//!   own `ts` in `window_start` and `window_end`; the engine puts the real bounds in when it closes a window.
//!
//! A table function (UDTF) cannot do this: its arguments are resolved against an empty schema.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::{
    Column, DFSchema, DataFusionError, Diagnostic, Result, ScalarValue, Span, TableReference, plan_datafusion_err,
};
use datafusion::datasource::provider_as_source;
use datafusion::functions::datetime::expr_fn::date_bin;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, Spanned, TableFactor};

use super::baseline::misfit;

/// Name of the hidden column that carries each row's watermark in batch mode: the newest `ts` of its file up to and
/// including the row, less the allowed lateness.
pub const ROW_WATERMARK: &str = "__row_watermark";
/// First instant of a window, inclusive.
pub const WINDOW_START: &str = "window_start";
/// End of a window, exclusive.
pub const WINDOW_END: &str = "window_end";

/// The type of `ts` and of window bounds.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Windows of `size` that start every `slide`, aligned to the Unix epoch; both in µs, `size` a multiple of `slide`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowSpec {
    /// Distance of two windows' starts, µs.
    pub slide: i64,
    /// Length of a window, µs.
    pub size: i64,
}

impl WindowSpec {
    /// Start of the pane that holds `ts`.
    pub fn pane(self, ts: i64) -> i64 {
        ts.div_euclid(self.slide) * self.slide
    }

    /// The ends of all windows that hold the pane starting at `pane`, ascending.
    pub fn ends(self, pane: i64) -> impl Iterator<Item = i64> {
        (1..=self.size / self.slide).map(move |n| pane + n * self.slide)
    }

    /// The first window end after `watermark`: a row seen at that watermark is late for all windows that end before.
    pub fn first_end_after(self, watermark: i64) -> i64 {
        self.pane(watermark) + self.slide
    }
}

/// How `hop` and `tumble` are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Expanded to built-ins over the whole log.
    Batch,
    /// A scan of the micro-batch.
    Stream,
}

/// A table that windows can be put over.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its rows.
    pub table: Arc<dyn TableProvider>,
    /// The windows that its rows are about, if it is a baseline.
    pub own: Option<WindowSpec>,
}

/// Tables that windows can be put over, by name.
pub type Inputs = BTreeMap<String, Input>;

/// The baseline that a plan scans by this name, if windows are put over it.
pub fn baseline_under_windows(scanned: &str) -> Option<&str> {
    scanned.strip_suffix(UNDER_WINDOWS)
}

/// What a plan adds to the name of a baseline that it puts windows over: the same may be joined as well, as another table.
const UNDER_WINDOWS: &str = " under windows";

/// Plans `hop(table, ts, slide, size)` and `tumble(table, ts, size)`.
///
/// It has its own list of tables, because names inside the call are not collected as table references by DataFusion.
#[derive(Debug)]
pub struct WindowPlanner {
    mode: Mode,
    inputs: Inputs,
    /// Rows that a rule must not see (exceptions), as a predicate over the table.
    keep: Option<Expr>,
    /// The window that the statement being planned uses.
    seen: Mutex<Option<WindowSpec>>,
}

impl WindowPlanner {
    /// A planner over `inputs`; rows for which `keep` is not true are left out.
    pub fn new(mode: Mode, inputs: Inputs, keep: Option<Expr>) -> Self {
        Self { mode, inputs, keep, seen: Mutex::new(None) }
    }

    /// The window of the statements planned so far.
    pub fn window(&self) -> Option<WindowSpec> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, spec: WindowSpec, span: Option<Span>) -> Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some(other) if other != spec && self.mode == Mode::Stream => Err(refuse(
                "this rule uses two different windows",
                span,
                "give every hop() and tumble() of a rule the same slide and size, or write two rules",
            )),
            _ => {
                *seen = Some(spec);
                Ok(())
            }
        }
    }

    fn plan_call(&self, call: &Call, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let (table, spec) = arguments(call, context)?;
        self.remember(spec, call.span)?;
        let input = self.inputs.get(&table).ok_or_else(|| {
            refuse(
                format!("there is no table \"{table}\" to put windows over"),
                call.span,
                format!("{}() takes one of: {}", call.name, self.inputs.keys().cloned().collect::<Vec<_>>().join(", ")),
            )
        })?;
        if let Some((message, help)) = input.own.and_then(|own| misfit(&table, own, spec)) {
            return Err(refuse(message, call.span, help));
        }
        let is_baseline = input.own.is_some();
        let scanned = if is_baseline { format!("{table}{UNDER_WINDOWS}") } else { table.clone() };
        let source = provider_as_source(Arc::clone(&input.table));
        let mut plan = LogicalPlanBuilder::scan(TableReference::bare(scanned), source, None)?;
        if is_baseline {
            plan = plan.alias(table.as_str())?;
        }
        if let Some(keep) = &self.keep {
            let keep = kept(keep, &table, plan.schema(), call.span)?;
            plan = plan.filter(keep)?;
        }
        match self.mode {
            Mode::Stream => plan.build(),
            Mode::Batch => expand(plan, &table, spec),
        }
    }
}

/// What its exceptions leave to a rule, if the table has the columns that they ask for.
fn kept(keep: &Expr, table: &str, schema: &DFSchema, span: Option<Span>) -> Result<Expr> {
    match keep.column_refs().into_iter().find(|c| schema.maybe_index_of_column(c).is_none()) {
        None => Ok(keep.clone()),
        Some(missing) => Err(refuse(
            format!("an exception of this rule asks for {}, which the table {table} does not have", missing.name),
            span,
            format!("write the exception with columns of {table}, or for the baseline that makes it"),
        )),
    }
}

/// The table's name and the window.
fn arguments(call: &Call, context: &mut dyn RelationPlannerContext) -> Result<(String, WindowSpec)> {
    let usage = if call.name == "hop" {
        "write hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes'): table, time column, slide, size"
    } else {
        "write tumble(requests, ts, INTERVAL '10 minutes'): table, time column, size"
    };
    let wanted = if call.name == "hop" { 4 } else { 3 };
    if call.args.len() != wanted {
        let message = format!("{}() takes {wanted} arguments, not {}", call.name, call.args.len());
        return Err(refuse(message, call.span, usage));
    }
    let table = match &call.args[0] {
        ast::Expr::Identifier(ident) => context.normalize_ident(ident.clone()),
        other => return Err(refuse("the first argument is not a table's name", span_of(other), usage)),
    };
    match &call.args[1] {
        ast::Expr::Identifier(ident) if context.normalize_ident(ident.clone()) == "ts" => {}
        other => return Err(refuse("windows run over the column ts", span_of(other), usage)),
    }
    let slide = interval_us(&call.args[2], context)?;
    let (size_arg, size) =
        if call.name == "hop" { (&call.args[3], interval_us(&call.args[3], context)?) } else { (&call.args[2], slide) };
    if size % slide != 0 {
        let help = "choose a size that is a whole number of slides, such as slide '1 minute', size '10 minutes'";
        return Err(refuse("the window's size is not a multiple of its slide", span_of(size_arg), help));
    }
    if size / slide > MAX_PANES {
        let message = format!("one row would be in {} windows at once; at most {MAX_PANES} are allowed", size / slide);
        return Err(refuse(message, span_of(size_arg), "choose a longer slide or a shorter size"));
    }
    Ok((table, WindowSpec { slide, size }))
}

/// Windows that may overlap at one instant. Bounds what one row can cost.
const MAX_PANES: i64 = 1440;

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some(call) = Call::of(&relation)? else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = self.plan_call(&call, context)?;
        let (TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. }) = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// A call of `hop` or `tumble` as it stands in FROM.
struct Call {
    name: &'static str,
    args: Vec<ast::Expr>,
    span: Option<Span>,
}

impl Call {
    fn of(relation: &TableFactor) -> Result<Option<Self>> {
        let (name, args) = match relation {
            TableFactor::Table { name, args: Some(args), .. } => (name, &args.args),
            TableFactor::Function { name, args, .. } => (name, args),
            _ => return Ok(None),
        };
        let name = match name.to_string().to_ascii_lowercase().as_str() {
            "hop" => "hop",
            "tumble" => "tumble",
            _ => return Ok(None),
        };
        let span = Span::try_from_sqlparser_span(relation.span());
        let args = args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
                other => Err(refuse(format!("{name}() cannot take {other}"), span, "give the arguments by position")),
            })
            .collect::<Result<_>>()?;
        Ok(Some(Self { name, args, span }))
    }
}

/// The batch meaning of a window: repeat each row for every window that holds it and that it was not late for.
fn expand(scan: LogicalPlanBuilder, table: &str, spec: WindowSpec) -> Result<LogicalPlan> {
    const OVERLAP: &str = "__overlap";
    let columns: Vec<Expr> = scan.schema().columns().into_iter().map(Expr::Column).collect();
    let visible: Vec<Expr> = scan
        .schema()
        .columns()
        .into_iter()
        .filter(|c| c.name != ROW_WATERMARK)
        .map(|c| Expr::Column(Column::from_name(c.name)))
        .collect();

    let pane = date_bin(
        lit(ScalarValue::new_interval_mdn(0, 0, spec.slide * 1000)),
        col("ts"),
        lit(ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into()))),
    );
    // date_bin answers in nanoseconds whatever it is asked in; the arithmetic below is in microseconds.
    let pane = cast(cast(pane, timestamp_type()), DataType::Int64);
    let overlaps: Vec<ScalarValue> = (0..spec.size / spec.slide).map(|n| ScalarValue::from(n * spec.slide)).collect();
    let overlaps = lit(ScalarValue::List(ScalarValue::new_list_nullable(&overlaps, &DataType::Int64)));

    let repeated = scan
        .project(columns.into_iter().chain([pane.alias("__pane"), overlaps.alias(OVERLAP)]).collect::<Vec<_>>())?
        .unnest_column(OVERLAP)?;
    let start = cast(col("__pane") - col(OVERLAP), timestamp_type());
    let end = cast(col("__pane") - col(OVERLAP) + lit(spec.size), timestamp_type());
    let everything =
        visible.iter().cloned().chain([col(ROW_WATERMARK), start.alias(WINDOW_START), end.alias(WINDOW_END)]);
    let bounds = [WINDOW_START, WINDOW_END].map(col);
    repeated
        .project(everything.collect::<Vec<_>>())?
        .filter(col(WINDOW_END).gt(col(ROW_WATERMARK)))?
        .project(visible.into_iter().chain(bounds).collect::<Vec<_>>())?
        .alias(table)?
        .build()
}

fn interval_us(expr: &ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    let wrong = |message: &str| refuse(message, span_of(expr), "write an interval such as INTERVAL '10 minutes'");
    let planned = context.sql_to_expr(expr.clone(), &DFSchema::empty())?;
    let Expr::Literal(value, _) = planned else { return Err(wrong("this is not an interval")) };
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => (v.months, v.days, v.nanoseconds),
        ScalarValue::IntervalDayTime(Some(v)) => (0, v.days, i64::from(v.milliseconds) * 1_000_000),
        ScalarValue::IntervalYearMonth(Some(months)) => (months, 0, 0),
        _ => return Err(wrong("this is not an interval")),
    };
    if months != 0 {
        return Err(wrong("months are not all of one length; windows need a fixed one"));
    }
    let us = i64::from(days) * 86_400_000_000 + nanos / 1000;
    if !(1_000_000..=366 * 86_400_000_000).contains(&us) {
        return Err(wrong("a window's slide and size are between one second and 366 days"));
    }
    Ok(us)
}

fn span_of(node: &impl Spanned) -> Option<Span> {
    Span::try_from_sqlparser_span(node.span())
}

/// An error that points at the SQL and names the way out.
pub fn refuse(message: impl Into<String>, span: Option<Span>, help: impl Into<String>) -> DataFusionError {
    let message = message.into();
    plan_datafusion_err!("{message}").with_diagnostic(Diagnostic::new_error(message, span).with_help(help, None))
}
