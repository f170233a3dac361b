//! What an aggregate's state takes, found by trying: an accumulator is fed with made-up values and asked for its size.
//!
//! Most states have one size. Those that keep each value they see grow with what one client does, and a client may be an
//! attacker: rules with such aggregates run, within `[engine] memory`, but their author is told.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::Engine;
use super::compile::{CompiledRule, Split, paned_schema};
use super::state::aggregate::{Aggregate, Inputs};
use crate::diagnostic::Diagnostic;

/// Groups, or values, that are tried.
const TRIED: i64 = 4096;
/// Below this, bytes, a state does not grow with its values.
const GROWS: usize = 4;
/// Calls longer than this, bytes, are shown without their arguments.
const LONG: usize = 60;
/// A group key of one text of some length and its count take about this, bytes.
const KEY: usize = 100;

/// What the state of one group takes in one pane, beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// With one value, bytes.
    pub group: usize,
    /// For each further value that is different, bytes; 0 if there is a bound.
    pub value: usize,
    /// With very many values, if there is a bound, bytes.
    pub most: usize,
}

impl Cost {
    /// Of an aggregate whose arguments (without a filter) have these types. `None`: nothing can be made up for them.
    pub fn of(aggregate: &Aggregate, types: &[DataType]) -> Option<Self> {
        let one_each = size(aggregate, types, TRIED, |row| row).ok()?;
        let (few, many) = (size(aggregate, types, TRIED, |_| 0).ok()?, size(aggregate, types, 4 * TRIED, |_| 0).ok()?);
        let values = usize::try_from(3 * TRIED).unwrap_or(usize::MAX);
        let value = many.saturating_sub(few).div_ceil(values);
        // (a sketch is a list of hashes until that takes 16 KiB)
        let value = if value < GROWS || aggregate.is_sketch() || !types.iter().any(is_wide) { 0 } else { value };
        Some(Self { group: one_each.div_ceil(values / 3), value, most: few })
    }

    /// For people.
    pub fn describe(self) -> String {
        let Self { group, value, most } = self;
        match value {
            0 if most > 4 * group => format!("{} to {}", bytes(group), bytes(most)),
            0 => bytes(group),
            _ => format!("{}, and {} for each further value", bytes(group), bytes(value)),
        }
    }
}

fn bytes(n: usize) -> String {
    if n < 10_000 { format!("{n} bytes") } else { format!("{} KiB", n >> 10) }
}

/// Whether there can be more values than a state could hold at once without harm.
fn is_wide(kind: &DataType) -> bool {
    kind.primitive_width() > Some(2) || kind.is_string() || kind.is_binary()
}

/// The size of an accumulator that has seen `rows` different values, each in its group.
fn size(aggregate: &Aggregate, types: &[DataType], rows: i64, group: impl Fn(i64) -> i64) -> Result<usize> {
    let fields: Vec<_> = types.iter().map(|kind| Field::new("", kind.clone(), true)).collect();
    let columns = types.iter().map(|kind| values(kind, rows)).collect::<Result<Vec<_>>>()?;
    let length = usize::try_from(rows).unwrap_or(0);
    let options = RecordBatchOptions::new().with_row_count(Some(length));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    let groups: Vec<usize> = (0..rows).map(|row| usize::try_from(group(row)).unwrap_or(0)).collect();
    let total = groups.last().map_or(0, |last| last + 1);
    let inputs = Inputs { arguments: (0..types.len()).collect(), ..Inputs::default() };
    let mut accumulator = aggregate.accumulator()?;
    accumulator.update(&inputs, &batch, &groups, total)?;
    accumulator.settle(total);
    Ok(accumulator.size())
}

/// Different values; texts are as long as a short path.
fn values(kind: &DataType, rows: i64) -> Result<ArrayRef> {
    let numbers: ArrayRef = if kind.is_string() {
        Arc::new(StringViewArray::from_iter_values((0..rows).map(|row| format!("/v1/orders/of/{row:010}"))))
    } else {
        Arc::new(Int64Array::from_iter_values(0..rows))
    };
    Ok(cast(&numbers, kind)?)
}

impl Split {
    /// What each aggregate keeps, as people call it.
    pub fn costs(&self) -> Vec<(String, Option<Cost>)> {
        self.aggregates.iter().map(|a| (call(a), self.cost(a))).collect()
    }

    fn cost(&self, aggregate: &Aggregate) -> Option<Cost> {
        let mut wanted: Vec<_> = aggregate.wanted().cloned().collect();
        wanted.truncate(wanted.len() - usize::from(aggregate.has_filter()));
        Cost::of(aggregate, &self.grouping.source.types_of(&paned_schema(), &wanted).ok()?)
    }
}

/// `count(DISTINCT path@9)` as people write it, in short.
fn call(aggregate: &Aggregate) -> String {
    let mut text = String::new();
    let mut rest = aggregate.describe();
    while let Some((before, after)) = rest.split_once('@') {
        text += before;
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    }
    text += &rest;
    if text.len() > LONG {
        let (name, rest) = text.split_once('(').unwrap_or((&text, ""));
        text = format!("{name}({}..)", if rest.starts_with("DISTINCT ") { "DISTINCT " } else { "" });
    }
    text
}

/// The calls with DISTINCT in a rule's lowest aggregates, whose argument can have many values. (The optimiser turns some into
/// groups of their own.)
pub fn distinct_calls(plan: &LogicalPlan) -> Vec<String> {
    let mut calls = Vec::new();
    let is_lowest = |input: &LogicalPlan| input.exists(|node| Ok(matches!(node, LogicalPlan::Aggregate(_))));
    // The visitor returns no error.
    let _ = plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node
            && !is_lowest(&aggregate.input)?
        {
            for expr in &aggregate.aggr_expr {
                let Expr::AggregateFunction(f) = expr.clone().unalias() else { continue };
                let wide = |e: &Expr| e.get_type(aggregate.input.schema()).is_ok_and(|kind| is_wide(&kind));
                if f.params.distinct && f.params.args.iter().any(wide) {
                    let arguments: Vec<_> = f.params.args.iter().map(|e| e.human_display().to_string()).collect();
                    let arguments = arguments.join(", ").replace("requests.", "");
                    calls.push(format!("{}(DISTINCT {arguments})", f.func.name()));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    calls
}

impl CompiledRule {
    /// What its author should know, though it runs.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut growing: Vec<(String, String)> = Vec::new();
        for (call, cost) in self.splits.iter().flat_map(Split::costs) {
            if let Some(cost) = cost.filter(|cost| cost.value > 0) {
                growing.push((call, format!("{} each, and {} a group", bytes(cost.value), bytes(cost.group))));
            }
        }
        if !growing.iter().any(|(call, _)| call.contains("(DISTINCT ")) {
            growing.extend(self.distinct_calls.iter().map(|call| (call.clone(), format!("{} each", bytes(KEY)))));
        }
        growing.dedup();
        growing.into_iter().map(|(call, cost)| self.grows(&call, &cost)).collect()
    }

    fn grows(&self, call: &str, cost: &str) -> Diagnostic {
        let name = call.split('(').next().unwrap_or(call);
        let word = if call.contains("(DISTINCT ") { "DISTINCT" } else { name };
        let message = format!("{call} keeps every value of a group until its windows close: about {cost}");
        let instead = match (name, word) {
            ("count", _) => "approx_distinct(..) keeps at most 16 KiB a group and is right within 2 %",
            ("median", _) => "approx_median(..) keeps at most 100 centroids a group",
            (_, "DISTINCT") => "without DISTINCT it keeps one number",
            _ => "count, sum, min, max and approx_distinct keep little",
        };
        let help = format!(
            "{instead}; or see to it that a group has few values (WHERE, a shorter window): above [engine] memory its windows are given up"
        );
        self.rule.problem_at(word, message).with_help(help).warning()
    }
}

impl Engine {
    /// What the authors of rules should know, though they run.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        self.compiled().flat_map(CompiledRule::warnings).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Keep;
    use crate::lookups::Lookups;
    use crate::rules::Rule;

    async fn engine(select: &str) -> Engine {
        let sql = format!(
            "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client, {select} \
             FROM tumble(requests, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, client"
        );
        let rule = Rule::parse("a/b", "rule.sql", &sql).unwrap();
        let (engine, problems) = Engine::new(&[rule], &Keep::new(), &Lookups::default()).await;
        assert!(problems.is_empty(), "{}", problems[0]);
        engine
    }

    #[tokio::test]
    async fn states_that_grow_are_warned_of_with_an_estimate_and_the_way_out() {
        for (select, call, help) in [
            ("count(DISTINCT path) AS n", "count(DISTINCT path)", "approx_distinct(..)"),
            ("count(*) AS m, count(DISTINCT path) AS n", "count(DISTINCT path)", "approx_distinct(..)"),
            ("sum(DISTINCT bytes_out) AS n, count(*) AS m", "sum(DISTINCT bytes_out)", "without DISTINCT"),
            ("median(duration_ms) AS n", "median(duration_ms)", "approx_median(..)"),
            ("count(DISTINCT path) FILTER (WHERE status = 200) AS n", "count(DISTINCT path)", "approx_distinct(..)"),
        ] {
            let warnings: Vec<String> = engine(select).await.warnings().iter().map(ToString::to_string).collect();
            assert_eq!(warnings.len(), 1, "{select}: {warnings:?}");
            let parts = ["warning: ", call, "bytes", "rule.sql:5:", "^", "= help: ", help, "[engine] memory"];
            assert!(parts.iter().all(|part| warnings[0].contains(part)), "{select}: {}", warnings[0]);
        }
    }

    #[tokio::test]
    async fn states_with_a_bound_are_not() {
        for select in [
            "count(*) AS n, sum(bytes_out) AS a, max(path) AS b, avg(duration_ms) AS c, stddev(duration_ms) AS d",
            "approx_distinct(path) AS n, approx_median(duration_ms) AS a",
            "count(DISTINCT status) AS n, count(*) AS m",
            "count(DISTINCT status) AS n",
        ] {
            let warnings: Vec<String> = engine(select).await.warnings().iter().map(ToString::to_string).collect();
            assert_eq!(warnings, Vec::<String>::new(), "{select}");
        }
    }

    #[tokio::test]
    async fn what_a_group_takes_is_measured() {
        let engine = engine("count(*) AS n, sum(bytes_out) AS a, approx_distinct(path) AS b").await;
        let costs = engine.rules[0].compiled.splits[0].costs();
        let of = |call: &str| costs.iter().find(|(c, _)| c == call).and_then(|(_, cost)| *cost).unwrap();
        assert_eq!(of("count(*)").describe(), "0 bytes");
        assert!((8..=24).contains(&of("sum(bytes_out)").group), "{costs:?}");
        let sketch = of("approx_distinct(path)");
        assert!((8..=512).contains(&sketch.group) && (16_000..40_000).contains(&sketch.most), "{costs:?}");
    }
}
