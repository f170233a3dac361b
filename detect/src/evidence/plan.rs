//! Which rows made a finding: those that the rule's lowest aggregate counted for the finding's entity.
//!
//! The rule is planned once more. From each of the entity's columns in the result it is followed down, through what only renames,
//! selects and picks, to a key of one of the lowest aggregates. What stands below that aggregate is run on rows that were read
//! again, with their number carried through.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;

use crate::engine::Keep;
use crate::engine::baseline;
use crate::engine::compile::{self, paned_schema};
use crate::engine::leaf::Slot;
use crate::engine::session::session;
use crate::engine::window::{Input, Inputs, Mode, WindowPlanner, baseline_under_windows};
use crate::lookups::Lookups;
use crate::rules::Rule;

/// The column that says which row of the input a row came from.
const ROW: &str = "__evidence_row";

/// Finds the rows that a rule counted for an entity.
#[derive(Debug)]
pub struct EvidencePlan {
    input: Arc<Slot>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

/// The baselines that rules may read, by name as a table.
pub type Baselines = BTreeMap<String, (Arc<Rule>, baseline::Table)>;

/// Rows that a rule counted.
#[derive(Debug)]
pub struct Counted {
    /// The entity's columns, in the order of the rule's header.
    pub entity: Vec<ArrayRef>,
    /// For each, the number of the row it came from.
    pub rows: UInt64Array,
}

impl EvidencePlan {
    /// Plans it. `keep`: the rows that each rule may see. `None` if the entity is not made of keys of one of the rule's lowest
    /// aggregates. Of a rule that puts windows over a baseline, it finds the rows that the baseline counted.
    pub async fn new(rule: &Rule, baselines: &Baselines, lookups: &Lookups, keep: &Keep) -> Result<Option<Self>> {
        let input = Slot::new(input_schema());
        let mut inputs = Inputs::from([("requests".to_owned(), Input { table: Arc::new(input.table()?), own: None })]);
        for (name, (_, table)) in baselines {
            let slot = Slot::new(baseline::windowed_schema(&table.row_schema()));
            inputs.insert(name.clone(), Input { table: Arc::new(slot.table()?), own: Some(table.window) });
        }
        let planner = WindowPlanner::new(Mode::Stream, inputs, keep.get(&rule.id).cloned());
        let state = session(Mode::Stream, Arc::new(planner), 1, lookups.enrichment());
        let context = SessionContext::new_with_state(state.clone());
        for (name, (_, table)) in baselines {
            let slot = Slot::new(Arc::clone(&table.schema));
            context.register_table(name.as_str(), Arc::new(slot.table()?))?;
        }
        lookups.register(&context)?;
        let plan = compile::plan(&state, rule).await?;
        let Some((aggregate, keys)) = lowest_aggregate(rule, &plan)? else { return Ok(None) };
        if let Some(below) = rule_below(aggregate, &keys, baselines)? {
            return Box::pin(Self::new(&below, &Baselines::new(), lookups, keep)).await;
        }
        // (a baseline that was joined below would not be known afterwards as it was; lookups do not change)
        if reads_baselines(&aggregate.input, baselines)? {
            return Ok(None);
        }
        let Some(carried) = carry(&aggregate.input)? else { return Ok(None) };
        let Some(row) = row_column(&carried) else { return Ok(None) };
        let keys = keys.into_iter().enumerate().map(|(i, key)| key.alias(format!("__entity_{i}")));
        let exprs: Vec<Expr> = keys.chain([Expr::Column(row)]).collect();
        let plan = LogicalPlanBuilder::from(carried).project(exprs)?.build()?;
        let plan = state.optimize(&plan)?;
        let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
        Ok(Some(Self { input, plan, context: state.task_ctx() }))
    }

    /// Which of `rows` (batches of `requests`, numbered through from 0) the rule counts in `window`, µs. Rows outside of the
    /// window must have been taken out.
    pub async fn counted(&self, rows: &[RecordBatch], window: &Range<i64>) -> Result<Vec<Counted>> {
        let mut number = 0;
        let mut batches = Vec::new();
        for rows in rows {
            let n = rows.num_rows();
            let bound = |ts| Arc::new(TimestampMicrosecondArray::from_value(ts, n).with_timezone("UTC")) as ArrayRef;
            let numbers = Arc::new(UInt64Array::from_iter_values((number..).take(n))) as ArrayRef;
            number += n as u64;
            let columns = rows.columns().iter().cloned();
            let columns = columns.chain([bound(window.start), bound(window.end), numbers]).collect();
            batches.push(RecordBatch::try_new(input_schema(), columns)?);
        }
        self.input.put(batches);
        let counted = collect(reset_plan_states(Arc::clone(&self.plan))?, Arc::clone(&self.context)).await;
        self.input.put(Vec::new());
        let split = |batch: RecordBatch| {
            let (rows, entity) = batch.columns().split_last()?;
            Some(Counted { entity: entity.to_vec(), rows: rows.as_primitive::<UInt64Type>().clone() })
        };
        Ok(counted?.into_iter().filter_map(split).collect())
    }
}

fn input_schema() -> SchemaRef {
    let row = Arc::new(Field::new(ROW, DataType::UInt64, false));
    Arc::new(Schema::new(paned_schema().fields().iter().cloned().chain([row]).collect::<Vec<_>>()))
}

/// The first of the lowest aggregates whose keys are behind all of the entity's columns, with those keys.
fn lowest_aggregate<'p>(rule: &Rule, plan: &'p LogicalPlan) -> Result<Option<(&'p Aggregate, Vec<Expr>)>> {
    let schema = plan.schema();
    let mut origins = Vec::new();
    for name in &rule.header.entity {
        let Some(at) = schema.index_of_column_by_name(None, name) else { return Ok(None) };
        let mut found = Vec::new();
        trace(plan, at, &mut found)?;
        origins.push(found);
    }
    let Some((first, others)) = origins.split_first() else { return Ok(None) };
    for (aggregate, key) in first {
        let same = |found: &Vec<(&Aggregate, Expr)>| {
            found.iter().find(|(other, _)| std::ptr::eq(*other, *aggregate)).map(|(_, key)| key.clone())
        };
        if let Some(mut keys) = others.iter().map(same).collect::<Option<Vec<_>>>() {
            keys.insert(0, key.clone());
            return Ok(Some((aggregate, keys)));
        }
    }
    Ok(None)
}

/// Follows a column of a plan's result down to the keys of lowest aggregates that it is a copy of.
fn trace<'p>(plan: &'p LogicalPlan, at: usize, found: &mut Vec<(&'p Aggregate, Expr)>) -> Result<()> {
    match plan {
        LogicalPlan::Projection(projection) => follow(&projection.expr[at], &projection.input, found),
        LogicalPlan::Filter(filter) => trace(&filter.input, at, found),
        LogicalPlan::Sort(sort) => trace(&sort.input, at, found),
        LogicalPlan::Limit(limit) => trace(&limit.input, at, found),
        LogicalPlan::SubqueryAlias(alias) => trace(&alias.input, at, found),
        LogicalPlan::Distinct(distinct) => trace(distinct.input(), at, found),
        LogicalPlan::Window(window) if at < window.input.schema().fields().len() => trace(&window.input, at, found),
        LogicalPlan::Union(union) => union.inputs.iter().try_for_each(|input| trace(input, at, found)),
        LogicalPlan::Join(join) => trace_join(join, at, found),
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.get(at) {
            _ if aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) => Ok(()),
            None => match picked(&aggregate.aggr_expr[at - aggregate.group_expr.len()]) {
                Some(value) if aggregates(&aggregate.input)? => follow(value, &aggregate.input, found),
                _ => Ok(()),
            },
            Some(key) if aggregates(&aggregate.input)? => follow(key, &aggregate.input, found),
            Some(key) => {
                found.push((aggregate, key.clone().unalias()));
                Ok(())
            }
        },
        _ => Ok(()),
    }
}

fn follow<'p>(expr: &Expr, input: &'p LogicalPlan, found: &mut Vec<(&'p Aggregate, Expr)>) -> Result<()> {
    match expr.clone().unalias_nested().data {
        Expr::Column(column) => trace(input, input.schema().index_of_column(&column)?, found),
        _ => Ok(()),
    }
}

/// What an aggregate picks its result from: a largest or least value is that of some row.
fn picked(aggregate: &Expr) -> Option<&Expr> {
    let Expr::AggregateFunction(call) = aggregate else { return None };
    let [value] = call.params.args.as_slice() else { return None };
    ["max", "min"].contains(&call.func.name()).then_some(value)
}

/// A column of a join is one of its inputs', and where the join wants them equal, another of the other's.
fn trace_join<'p>(join: &'p Join, at: usize, found: &mut Vec<(&'p Aggregate, Expr)>) -> Result<()> {
    let left = join.left.schema().fields().len();
    let (input, place, other) = match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti => (&join.right, at, &join.left),
        _ if at < left => (&join.left, at, &join.right),
        _ => (&join.right, at - left, &join.left),
    };
    trace(input, place, found)?;
    let column = Column::from(input.schema().qualified_field(place));
    let mut pairs = join.on.clone();
    for condition in join.filter.iter().flat_map(split_conjunction) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition {
            pairs.push(((**left).clone(), (**right).clone()));
        }
    }
    for (a, b) in pairs.into_iter().flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)]) {
        if let (Expr::Column(a), Expr::Column(b)) = (a, b)
            && a == column
            && let Some(at) = other.schema().maybe_index_of_column(&b)
        {
            trace(other, at, found)?;
        }
    }
    Ok(())
}

fn aggregates(plan: &LogicalPlan) -> Result<bool> {
    let is_one = |node: &LogicalPlan| matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_));
    plan.exists(|node| Ok(is_one(node)))
}

/// The baseline that an aggregate puts windows over, with the columns behind `keys` for its entity.
fn rule_below(aggregate: &Aggregate, keys: &[Expr], baselines: &Baselines) -> Result<Option<Rule>> {
    let mut found = None;
    aggregate.input.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found = found.or_else(|| baselines.get(baseline_under_windows(scan.table_name.table())?));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some((rule, _)) = found else { return Ok(None) };
    let mut below = Rule::clone(rule);
    below.header.entity = keys.iter().filter_map(|key| Some(origin(key, &aggregate.input)?.name)).collect();
    Ok((below.header.entity.len() == keys.len()).then_some(below))
}

/// The column of the scanned table that an expression is a copy of.
fn origin(expr: &Expr, input: &LogicalPlan) -> Option<Column> {
    let Expr::Column(column) = expr.clone().unalias_nested().data else { return None };
    match input {
        LogicalPlan::TableScan(_) => Some(column),
        LogicalPlan::Projection(projection) => {
            origin(&projection.expr[input.schema().maybe_index_of_column(&column)?], &projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let at = input.schema().maybe_index_of_column(&column)?;
            origin(&Expr::Column(Column::from(alias.input.schema().qualified_field(at))), &alias.input)
        }
        LogicalPlan::Filter(filter) => origin(expr, &filter.input),
        _ => None,
    }
}

fn reads_baselines(plan: &LogicalPlan, baselines: &Baselines) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let table = scan.table_name.table();
            found |= baselines.contains_key(baseline_under_windows(table).unwrap_or(table));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// A plan with [`ROW`] among its columns. `None`: the rows cannot be told apart any more.
fn carry(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let carried = match plan {
        LogicalPlan::TableScan(_) if row_column(plan).is_some() => plan.clone(),
        LogicalPlan::Join(join) => {
            let (left, right) = match (carry(&join.left)?, carry(&join.right)?) {
                (Some(left), None) => (left, join.right.as_ref().clone()),
                (None, Some(right)) => (join.left.as_ref().clone(), right),
                _ => return Ok(None),
            };
            plan.with_new_exprs(plan.expressions(), vec![left, right])?
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => {
            let Some(input) = carry(plan.inputs()[0])? else { return Ok(None) };
            plan.with_new_exprs(plan.expressions(), vec![input])?
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = carry(&alias.input)? else { return Ok(None) };
            LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build()?
        }
        LogicalPlan::Projection(projection) => {
            let Some(input) = carry(&projection.input)? else { return Ok(None) };
            let mut exprs = projection.expr.clone();
            if row_column(plan).is_none() {
                exprs.extend(row_column(&input).map(Expr::Column));
            }
            LogicalPlanBuilder::from(input).project(exprs)?.build()?
        }
        _ => return Ok(None),
    };
    Ok(row_column(&carried).is_some().then_some(carried))
}

fn row_column(plan: &LogicalPlan) -> Option<Column> {
    plan.schema().columns().into_iter().find(|column| column.name == ROW)
}
