//! What a rule's conditions say about one group while its rows come in.
//!
//! Two questions are answered about the plan above a lowest aggregate. *Threshold*: how many rows must a group have before any
//! condition can be true? Groups below it need not be put together. *Monotone*: once the conditions are true for a group,
//! do they stay true whatever rows follow in the window? Then a finding can be told before the window closes.
//!
//! The analysis follows how each column can change when a row is added: not at all, only up, only down, or anyhow. It knows few
//! functions and is sure of what it says.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr, TryCastExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::streaming::StreamingTableExec;

use super::leaf::Slot;
use super::state::Threshold;
use super::state::aggregate::Aggregate;

/// How a value changes when its group gets another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    Still,
    Up,
    Down,
    Any,
}

/// What is known of a column or an expression.
///
/// An aggregate may be NULL at first, and then never again. NULL is false where a condition is wanted, so `Up` holds with it, but
/// `Down` is meant from the first value on: whoever needs more asks for `present`.
#[derive(Debug, Clone, Copy)]
struct Known {
    trend: Trend,
    /// Never less than this.
    least: f64,
    /// Never more than this.
    most: f64,
    /// It is never NULL.
    present: bool,
    /// It is this aggregate, of those of the split.
    aggregate: Option<usize>,
}

const ANY: Known =
    Known { trend: Trend::Any, least: f64::NEG_INFINITY, most: f64::INFINITY, present: false, aggregate: None };
const STILL: Known = Known { trend: Trend::Still, ..ANY };

/// What was found out about the groups of one lowest aggregate.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What a group must reach before it can be in the result.
    pub threshold: Option<Threshold>,
    /// Whether the whole rule stands on this aggregate alone and a row of its result stays in the result.
    pub settles: bool,
}

/// A split as the analysis knows it.
pub struct Lowest<'a> {
    /// Where its groups come in.
    pub input: &'a Arc<Slot>,
    /// How many keys they have.
    pub keys: usize,
    /// Its aggregates.
    pub aggregates: &'a [Aggregate],
}

/// Analyses the plan above the splits; one answer for each.
pub fn analyse(rest: &Arc<dyn ExecutionPlan>, splits: &[Lowest<'_>]) -> Vec<Findings> {
    let mut found = vec![Findings::default(); splits.len()];
    visit(rest, true, splits, &mut found);
    found
}

fn visit(plan: &Arc<dyn ExecutionPlan>, is_root: bool, splits: &[Lowest<'_>], found: &mut [Findings]) {
    if let Some(chain) = Chain::of(plan, splits) {
        found[chain.split] =
            Findings { threshold: chain.threshold(splits[chain.split].aggregates), settles: is_root && chain.settles };
        return;
    }
    for child in plan.children() {
        visit(child, false, splits, found);
    }
}

/// A split and what is done to its groups, each by itself.
struct Chain {
    split: usize,
    columns: Vec<Known>,
    settles: bool,
    /// Aggregates and what they must reach.
    least: Vec<(usize, f64)>,
}

impl Chain {
    fn of(plan: &Arc<dyn ExecutionPlan>, splits: &[Lowest<'_>]) -> Option<Self> {
        if let Some(leaf) = plan.downcast_ref::<StreamingTableExec>() {
            return Self::lowest(leaf, splits);
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let mut chain = Self::of(filter.input(), splits)?;
            chain.filter(filter.predicate());
            chain.project(filter.projection().as_deref());
            return Some(chain);
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let mut chain = Self::of(projection.input(), splits)?;
            chain.columns = projection.expr().iter().map(|p| known(&p.expr, &chain.columns)).collect();
            return Some(chain);
        }
        let join = plan.downcast_ref::<HashJoinExec>()?;
        // A baseline or a lookup, joined to each group.
        let table = join.right().downcast_ref::<StreamingTableExec>()?;
        if *join.join_type() != JoinType::Left {
            return None;
        }
        let mut chain = Self::of(join.left(), splits)?;
        let still = |e: &Arc<dyn PhysicalExpr>| known(e, &chain.columns).trend == Trend::Still;
        let by_filter = join.filter().is_none_or(|f| {
            let columns: Vec<Known> = f
                .column_indices()
                .iter()
                .map(|c| if c.side == datafusion::common::JoinSide::Left { chain.columns[c.index] } else { STILL })
                .collect();
            known(f.expression(), &columns).trend == Trend::Still
        });
        if !by_filter || !join.on().iter().all(|(left, _)| still(left)) {
            return None;
        }
        let width = table.projected_schema().fields().len();
        chain.columns.extend(std::iter::repeat_n(STILL, width));
        chain.project(join.projection.as_deref());
        Some(chain)
    }

    fn lowest(leaf: &StreamingTableExec, splits: &[Lowest<'_>]) -> Option<Self> {
        let stream = leaf.partitions().first()?;
        let address = Arc::as_ptr(stream).cast::<()>();
        let split = splits.iter().position(|s| Arc::as_ptr(s.input).cast::<()>() == address)?;
        let keys = splits[split].keys;
        let aggregates = splits[split].aggregates.iter().enumerate();
        let columns = std::iter::repeat_n(STILL, keys)
            .chain(aggregates.map(|(i, a)| Known { aggregate: Some(i), ..of_aggregate(a) }))
            .collect();
        Some(Self { split, columns, settles: true, least: Vec::new() })
    }

    fn project(&mut self, projection: Option<&[usize]>) {
        if let Some(projection) = projection {
            self.columns = projection.iter().map(|&i| self.columns[i]).collect();
        }
    }

    fn filter(&mut self, predicate: &Arc<dyn PhysicalExpr>) {
        self.settles &= matches!(known(predicate, &self.columns).trend, Trend::Still | Trend::Up);
        for conjunct in datafusion::physical_expr::split_conjunction(predicate) {
            let Some(comparison) = conjunct.downcast_ref::<BinaryExpr>() else { continue };
            let (left, right) = (known(comparison.left(), &self.columns), known(comparison.right(), &self.columns));
            match comparison.op() {
                Operator::Gt | Operator::GtEq | Operator::Eq => {
                    self.least.extend(left.aggregate.map(|a| (a, right.least)));
                }
                Operator::Lt | Operator::LtEq => self.least.extend(right.aggregate.map(|a| (a, left.least))),
                _ => {}
            }
        }
    }

    fn threshold(&self, aggregates: &[Aggregate]) -> Option<Threshold> {
        let mut threshold = Threshold { rows: 0, distinct: None };
        for &(at, least) in self.least.iter().filter(|(_, least)| least.is_finite()) {
            match aggregates[at].at_most_rows() {
                Some(true) => threshold.rows = threshold.rows.max(whole(least)),
                // The estimate of a sketch can be above the number of values.
                Some(false) => {
                    let values = whole((least * 0.98 - 16.0).max(0.0));
                    threshold.rows = threshold.rows.max(values);
                    if aggregates[at].is_sketch() {
                        threshold.distinct = Some((at, values.unsigned_abs()));
                    }
                }
                None => {}
            }
        }
        (threshold.rows > 1).then_some(threshold)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn whole(x: f64) -> i64 {
    x.ceil() as i64
}

fn of_aggregate(aggregate: &Aggregate) -> Known {
    let argument = aggregate.argument();
    let up = Known { trend: Trend::Up, present: argument.present, ..ANY };
    match aggregate.function_name() {
        "count" | "approx_distinct" => Known { least: 0.0, present: true, ..up },
        "max" | "bool_or" => up,
        "min" | "bool_and" => Known { trend: Trend::Down, ..up },
        "sum" if argument.least >= 0.0 => Known { least: 0.0, ..up },
        _ => ANY,
    }
}

/// What is known of an aggregate's argument, for any row.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Never less than this.
    pub least: f64,
    /// Never more than this.
    pub most: f64,
    /// It is never NULL.
    pub present: bool,
}

/// What is known of an expression over the columns of `table`.
pub fn argument(expr: &Arc<dyn PhysicalExpr>, table: &Schema) -> Argument {
    let columns: Vec<Known> = table.fields().iter().map(|f| Known { present: !f.is_nullable(), ..ANY }).collect();
    let known = known(expr, &columns);
    let unsigned = expr.data_type(table).is_ok_and(|t| t.is_unsigned_integer());
    Argument {
        least: if unsigned { known.least.max(0.0) } else { known.least },
        most: known.most,
        present: known.present,
    }
}

fn known(expr: &Arc<dyn PhysicalExpr>, columns: &[Known]) -> Known {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return columns.get(column.index()).copied().unwrap_or(ANY);
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return of_literal(literal.value());
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return of_cast(cast.expr(), cast.cast_type(), columns);
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        return of_cast(cast.expr(), cast.cast_type(), columns);
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return of_binary(binary, columns);
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        return of_case(case, columns);
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        let inner = known(not.arg(), columns);
        return Known { trend: flipped(inner.trend), present: inner.present, ..ANY };
    }
    if let Some(is) = expr.downcast_ref::<IsNotNullExpr>() {
        return Known { trend: becomes_known(known(is.arg(), columns)), present: true, ..ANY };
    }
    if let Some(is) = expr.downcast_ref::<IsNullExpr>() {
        return Known { trend: flipped(becomes_known(known(is.arg(), columns))), present: true, ..ANY };
    }
    of_function(expr, columns)
}

/// The trend of `x IS NOT NULL`.
fn becomes_known(x: Known) -> Trend {
    match x.trend {
        Trend::Still => Trend::Still,
        Trend::Up | Trend::Down if x.aggregate.is_some() => Trend::Up,
        _ if x.present => Trend::Still,
        _ => Trend::Any,
    }
}

fn flipped(trend: Trend) -> Trend {
    match trend {
        Trend::Up => Trend::Down,
        Trend::Down => Trend::Up,
        other => other,
    }
}

/// The trend of something that goes with both.
fn both(a: Trend, b: Trend) -> Trend {
    match (a, b) {
        (Trend::Still, other) | (other, Trend::Still) => other,
        (a, b) if a == b => a,
        _ => Trend::Any,
    }
}

fn of_literal(value: &ScalarValue) -> Known {
    let number = value.cast_to(&DataType::Float64).ok();
    match (value.is_null(), number) {
        (false, Some(ScalarValue::Float64(Some(x)))) => Known { least: x, most: x, present: true, ..STILL },
        (is_null, _) => Known { present: !is_null, ..STILL },
    }
}

fn of_cast(expr: &Arc<dyn PhysicalExpr>, to: &DataType, columns: &[Known]) -> Known {
    let inner = known(expr, columns);
    // Counts fit these; a cast that overflows would be NULL. To other types only what does not change.
    let fits = matches!(to, DataType::Float64 | DataType::Int64 | DataType::UInt64 | DataType::Decimal128(20.., _));
    match inner.trend {
        _ if fits => inner,
        Trend::Still => STILL,
        _ => ANY,
    }
}

fn of_binary(binary: &BinaryExpr, columns: &[Known]) -> Known {
    let (a, b) = (known(binary.left(), columns), known(binary.right(), columns));
    let present = a.present && b.present;
    let truth = |trend| Known { trend, present, ..ANY };
    let number = |trend, least, most| Known { trend, least, most, present, aggregate: None };
    match binary.op() {
        // `x IS NOT NULL AND x`, as the optimiser writes coalesce(x, false).
        Operator::And if is_presence_of(binary.left(), binary.right()) => {
            Known { trend: b.trend, present: true, ..ANY }
        }
        Operator::And | Operator::Or => truth(both(a.trend, b.trend)),
        Operator::Gt | Operator::GtEq => truth(both(a.trend, flipped(b.trend))),
        Operator::Lt | Operator::LtEq => truth(both(flipped(a.trend), b.trend)),
        Operator::Plus => number(both(a.trend, b.trend), a.least + b.least, a.most + b.most),
        Operator::Minus => number(both(a.trend, flipped(b.trend)), a.least - b.most, a.most - b.least),
        Operator::Multiply if a.least >= 0.0 && b.least >= 0.0 => {
            number(both(a.trend, b.trend), a.least * b.least, f64::INFINITY)
        }
        // `x IS [NOT] DISTINCT FROM true`: how the optimiser writes a condition of CASE.
        Operator::IsNotDistinctFrom if is_true(binary.right()) => Known { trend: from_start(a), present: true, ..ANY },
        Operator::IsDistinctFrom if is_true(binary.right()) => {
            Known { trend: flipped(from_start(a)), present: true, ..ANY }
        }
        _ if a.trend == Trend::Still && b.trend == Trend::Still => STILL,
        _ => ANY,
    }
}

/// The trend of a condition that takes NULL for false.
fn from_start(condition: Known) -> Trend {
    if condition.trend == Trend::Down && !condition.present { Trend::Any } else { condition.trend }
}

fn is_presence_of(test: &Arc<dyn PhysicalExpr>, value: &Arc<dyn PhysicalExpr>) -> bool {
    test.downcast_ref::<IsNotNullExpr>().is_some_and(|is| is.arg() == value)
}

fn is_true(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|l| *l.value() == ScalarValue::Boolean(Some(true)))
}

fn of_case(case: &CaseExpr, columns: &[Known]) -> Known {
    let otherwise = case.else_expr().map_or(ANY, |e| known(e, columns));
    // From the last to the first: WHEN c THEN a ELSE (the rest).
    let steps = case.when_then_expr().iter().rev();
    let result = steps.fold(otherwise, |rest, (when, then)| {
        let (when, then) = (known(when, columns), known(then, columns));
        let trend = match from_start(when) {
            Trend::Still => both(then.trend, rest.trend),
            // It can go over from the one to the other: which must lie on the right side.
            Trend::Up if then.least >= rest.most => both(both(then.trend, rest.trend), Trend::Up),
            Trend::Up if then.most <= rest.least => both(both(then.trend, rest.trend), Trend::Down),
            Trend::Down if rest.least >= then.most => both(both(then.trend, rest.trend), Trend::Up),
            Trend::Down if rest.most <= then.least => both(both(then.trend, rest.trend), Trend::Down),
            _ => Trend::Any,
        };
        let present = then.present && rest.present;
        Known { trend, least: then.least.min(rest.least), most: then.most.max(rest.most), present, aggregate: None }
    });
    match case.expr() {
        Some(expr) if known(expr, columns).trend != Trend::Still => ANY,
        _ => result,
    }
}

fn of_function(expr: &Arc<dyn PhysicalExpr>, columns: &[Known]) -> Known {
    let arguments: Vec<Known> = expr.children().into_iter().map(|child| known(child, columns)).collect();
    let trend = arguments.iter().map(|a| a.trend).fold(Trend::Still, both);
    if trend == Trend::Still {
        return STILL;
    }
    let name = expr.downcast_ref::<ScalarFunctionExpr>().map_or("", ScalarFunctionExpr::name);
    let rises = ["greatest", "least", "round", "floor", "ceil", "sqrt", "ln", "exp"].contains(&name);
    if rises { Known { trend, ..ANY } } else { ANY }
}
