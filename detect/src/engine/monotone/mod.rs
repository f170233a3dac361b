//! What a rule's conditions say about one group while its rows come in.
//!
//! Two questions are answered about the plan above a lowest aggregate. *Threshold*: how many rows must a group have before any
//! condition can be true? Groups below it need not be put together. *Monotone*: once the conditions are true for a group,
//! do they stay true whatever rows follow in the window? Then a finding can be told before the window closes.
//!
//! The analysis follows how each column can change when a row is added: not at all, only up, only down, or anyhow. It knows few
//! functions and is sure of what it says.

mod known;

use std::sync::Arc;

use datafusion::common::{JoinSide, JoinType};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::streaming::StreamingTableExec;

use super::constant;
use super::leaf::SlotOf;
use super::state::aggregate::Aggregate;
use super::state::{Threshold, WindowGroups};
pub use known::{Argument, argument};
use known::{Known, STILL, Trend, known, least_values, of_aggregate};

/// How many rows a group may have.
type Rows = (f64, f64);
const ANY_ROWS: Rows = (1.0, f64::INFINITY);
/// Thresholds are not looked for beyond it.
const MOST_ROWS: i64 = 1 << 30;

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
    pub input: &'a Arc<SlotOf<WindowGroups>>,
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
    if let Some(chain) = Chain::of(plan, splits, ANY_ROWS) {
        let mut threshold = chain.threshold(splits[chain.split].aggregates);
        threshold.rows = threshold.rows.max(rows_needed(plan, splits));
        found[chain.split] =
            Findings { threshold: (threshold.rows > 1).then_some(threshold), settles: is_root && chain.settles };
        return;
    }
    for child in plan.children() {
        visit(child, false, splits, found);
    }
}

/// The least number of rows with which a group may pass, however its conditions are put: they are asked for ever larger groups,
/// in ranges so narrow that what is divided by the number of rows keeps close bounds.
fn rows_needed(plan: &Arc<dyn ExecutionPlan>, splits: &[Lowest<'_>]) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let possible =
        |least: i64, most: i64| Chain::of(plan, splits, (least as f64, most as f64)).is_none_or(|chain| chain.possible);
    let (mut least, mut width) = (1, 0);
    while least < MOST_ROWS {
        if !possible(least, least + width) {
            least += width + 1;
            width = (2 * width + 1).min(least / 16);
        } else if width > 0 {
            width /= 2;
        } else {
            break;
        }
    }
    least
}

/// A split and what is done to its groups, each by itself.
struct Chain {
    split: usize,
    columns: Vec<Known>,
    settles: bool,
    /// Whether a group may pass.
    possible: bool,
    /// Aggregates and what they must reach.
    least: Vec<(usize, f64)>,
}

impl Chain {
    fn of(plan: &Arc<dyn ExecutionPlan>, splits: &[Lowest<'_>], rows: Rows) -> Option<Self> {
        if let Some(leaf) = plan.downcast_ref::<StreamingTableExec>() {
            return Self::lowest(leaf, splits, rows);
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let mut chain = Self::of(filter.input(), splits, rows)?;
            chain.filter(filter.predicate());
            chain.project(filter.projection().as_deref());
            return Some(chain);
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let mut chain = Self::of(projection.input(), splits, rows)?;
            chain.columns = projection.expr().iter().map(|p| known(&p.expr, &chain.columns)).collect();
            return Some(chain);
        }
        let join = plan.downcast_ref::<HashJoinExec>()?;
        // A baseline or a lookup, joined to each group. (Lookups are put on the left, which a join keeps in memory.)
        let (groups, table, side) = match join.join_type() {
            JoinType::Left if is_table(join.right()) => (join.left(), join.right(), JoinSide::Left),
            JoinType::Right if constant::is_lookup(join.left()) => (join.right(), join.left(), JoinSide::Right),
            _ => return None,
        };
        let mut chain = Self::of(groups, splits, rows)?;
        let still = |e: &Arc<dyn PhysicalExpr>| known(e, &chain.columns).trend == Trend::Still;
        let by_filter = join.filter().is_none_or(|f| {
            let columns: Vec<Known> = f
                .column_indices()
                .iter()
                .map(|c| if c.side == side { chain.columns[c.index] } else { STILL })
                .collect();
            known(f.expression(), &columns).trend == Trend::Still
        });
        let of_groups = |(left, right)| if side == JoinSide::Left { left } else { right };
        if !by_filter || !join.on().iter().map(|(left, right)| of_groups((left, right))).all(still) {
            return None;
        }
        let of_table = std::iter::repeat_n(STILL, table.schema().fields().len());
        let at = if side == JoinSide::Left { chain.columns.len() } else { 0 };
        chain.columns.splice(at..at, of_table);
        chain.project(join.projection.as_deref());
        Some(chain)
    }

    fn lowest(leaf: &StreamingTableExec, splits: &[Lowest<'_>], rows: Rows) -> Option<Self> {
        let stream = leaf.partitions().first()?;
        let address = Arc::as_ptr(stream).cast::<()>();
        let split = splits.iter().position(|s| Arc::as_ptr(s.input).cast::<()>() == address)?;
        let keys = splits[split].keys;
        let aggregates = splits[split].aggregates.iter().enumerate();
        let columns = std::iter::repeat_n(STILL, keys)
            .chain(aggregates.map(|(i, a)| Known { aggregate: Some(i), ..of_aggregate(a, rows) }))
            .collect();
        Some(Self { split, columns, settles: true, possible: true, least: Vec::new() })
    }

    fn project(&mut self, projection: Option<&[usize]>) {
        if let Some(projection) = projection {
            self.columns = projection.iter().map(|&i| self.columns[i]).collect();
        }
    }

    fn filter(&mut self, predicate: &Arc<dyn PhysicalExpr>) {
        let condition = known(predicate, &self.columns);
        self.settles &= matches!(condition.trend, Trend::Still | Trend::Up);
        self.possible &= condition.possible();
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

    fn threshold(&self, aggregates: &[Aggregate]) -> Threshold {
        let mut threshold = Threshold { rows: 0, distinct: None };
        for &(at, least) in self.least.iter().filter(|(_, least)| least.is_finite()) {
            match aggregates[at].at_most_rows() {
                Some(true) => threshold.rows = threshold.rows.max(whole(least)),
                // The estimate of a sketch can be above the number of values.
                Some(false) => {
                    let values = whole(least_values(least));
                    threshold.rows = threshold.rows.max(values);
                    if aggregates[at].is_sketch() {
                        threshold.distinct = Some((at, values.unsigned_abs()));
                    }
                }
                None => {}
            }
        }
        threshold
    }
}

/// A table, maybe with columns that are computed row by row.
fn is_table(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<StreamingTableExec>() || plan.downcast_ref::<ProjectionExec>().is_some_and(|p| is_table(p.input()))
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn whole(x: f64) -> i64 {
    x.ceil() as i64
}

#[cfg(test)]
mod tests;
