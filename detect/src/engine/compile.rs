//! From a rule's SQL to a plan that runs pane by pane.
//!
//! The physical plan is split at each of its lowest aggregates: the *Partial* half runs on every micro-batch and yields
//! state rows; when a window closes, the state rows of its panes go into the *Final* half, and with it runs the rest of
//! the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions, reset_plan_states};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;

use super::baseline;
use super::constant;
use super::leaf::Slot;
use super::session::session;
use super::validate::Tables;
use super::window::{Mode, WINDOW_END, WINDOW_START, WindowPlanner, WindowSpec, timestamp_type};
use crate::diagnostic::Diagnostic;
use crate::lookups::Lookups;
use crate::rules::Rule;

/// The schema of what a streaming plan scans: `requests` and the row's pane.
pub fn paned_schema() -> SchemaRef {
    let bound = |name| Arc::new(Field::new(name, timestamp_type(), false));
    let fields = tripline_ingest::schema()
        .fields()
        .iter()
        .cloned()
        .chain([bound(WINDOW_START), bound(WINDOW_END)])
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// A rule, planned.
#[derive(Debug)]
pub struct CompiledRule {
    /// The rule it came from.
    pub rule: Rule,
    /// Its window.
    pub window: WindowSpec,
    /// Its lowest aggregates.
    pub splits: Vec<Split>,
    /// Takes micro-batches with panes before the Partial halves run.
    pub input: Arc<Slot>,
    /// Take the rows of the baselines it joins, by table name, before `rest` runs.
    pub baselines: BTreeMap<String, Arc<Slot>>,
    /// The columns of `requests` that it reads.
    pub columns: Vec<String>,
    /// Everything from the Final halves upwards.
    rest: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

/// One lowest aggregate of a rule.
#[derive(Debug)]
pub struct Split {
    partial: Arc<dyn ExecutionPlan>,
    reduce: Arc<dyn ExecutionPlan>,
    reduce_input: Arc<Slot>,
    /// Takes a window's state rows before `rest` runs.
    pub state_input: Arc<Slot>,
    /// Schema of the state rows: group keys, then the accumulators' states.
    pub state_schema: SchemaRef,
    /// Positions of the window's start and end among the group keys.
    pub bounds: [Option<usize>; 2],
}

/// Plans `rule`. `baselines` are those it may join, with the schema of their rows, and `lookups` the tables of the user's own;
/// rows for which `keep` is not true are not seen by the rule.
pub async fn compile(
    rule: &Rule,
    baselines: &BTreeMap<String, SchemaRef>,
    lookups: &Lookups,
    keep: Option<Expr>,
) -> std::result::Result<CompiledRule, Diagnostic> {
    let explain = |e: DataFusionError| Diagnostic::from_datafusion(&rule.origin, &rule.text, &e);
    let input = Slot::new(paned_schema());
    let table: Arc<dyn TableProvider> = Arc::new(input.table().map_err(explain)?);
    let planner = WindowPlanner::new(Mode::Stream, BTreeMap::from([("requests".to_owned(), table)]), keep);
    let planner = Arc::new(planner);
    let state = session(Mode::Stream, Arc::clone(&planner), 1);

    let mut slots = BTreeMap::new();
    let context = SessionContext::new_with_state(state.clone());
    // Only to be refused with a better message than "no such table".
    let bare = Slot::new(tripline_ingest::schema());
    context.register_table("requests", Arc::new(bare.table().map_err(explain)?)).map_err(explain)?;
    for (name, schema) in baselines {
        let slot = Slot::new(baseline::table_schema(schema));
        context.register_table(name.as_str(), Arc::new(slot.table().map_err(explain)?)).map_err(explain)?;
        slots.insert(name.clone(), slot);
    }
    lookups.register(&context).map_err(explain)?;

    let plan = plan(&state, rule).await.map_err(explain)?;
    let names: Vec<_> = baselines.keys().cloned().collect();
    Tables { baselines: &names }.check(&plan).map_err(|refusal| match refusal.span {
        Some(span) => {
            let error = super::window::refuse(refusal.message, Some(span), refusal.help);
            Diagnostic::from_datafusion(&rule.origin, &rule.text, &error)
        }
        None => rule.problem_at(refusal.word, refusal.message).with_help(refusal.help),
    })?;
    let window = planner.window().ok_or_else(|| rule.problem_at("FROM", "the rule reads no window"))?;
    check_output(rule, &plan)?;
    slots.retain(|name, _| scans(&plan, name));

    let plan = constant::fold_subqueries(plan, &state).await.map_err(explain)?;
    let plan = state.optimize(&plan).map_err(explain)?;
    let columns = columns_read(&plan);
    let physical = state.query_planner().create_physical_plan(&plan, &state).await.map_err(explain)?;
    let physical = constant::fold(physical, state.task_ctx()).await.map_err(explain)?;
    let mut splits = Vec::new();
    let rest = split(physical, &mut splits).map_err(explain)?;
    if splits.is_empty() {
        return Err(rule
            .problem_at("GROUP BY", "this rule's aggregate cannot run incrementally")
            .with_help("group by window_start, window_end and the rule's keys with ordinary aggregates"));
    }
    Ok(CompiledRule {
        rule: rule.clone(),
        window,
        splits,
        input,
        baselines: slots,
        columns,
        rest,
        context: state.task_ctx(),
    })
}

/// Parses and plans a rule's SQL with its parameters, not optimised.
pub async fn plan(state: &SessionState, rule: &Rule) -> Result<LogicalPlan> {
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(&rule.sql, &dialect)?;
    let plan = state.statement_to_plan(statement).await?;
    if matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_)) {
        return Err(DataFusionError::Plan("a rule is one SELECT".into()));
    }
    plan.with_param_values(ParamValues::from(
        rule.params.iter().map(|(k, v)| (k.as_str(), v.clone())).collect::<Vec<_>>(),
    ))
}

/// The output must have the entity's columns, each name once.
fn check_output(rule: &Rule, plan: &LogicalPlan) -> std::result::Result<(), Diagnostic> {
    let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(rule
                .problem_at(name, format!("two columns of the result are named {name}"))
                .with_help("give one another name with AS"));
        }
    }
    if let Some(key) = key_outside_entity(rule, plan) {
        return Err(rule
            .problem_at(&key, format!("one entity would have several rows a window: the rule also groups by {key}"))
            .with_help(format!("add {key} to the header's entity, or aggregate over it")));
    }
    for column in &rule.header.entity {
        if !names.contains(&column.as_str()) {
            return Err(Diagnostic::at_word(
                &rule.origin,
                &rule.text,
                column,
                format!("the entity names {column}, but the rule does not return it"),
            )
            .with_help(format!("the rule returns: {}", names.join(", "))));
        }
    }
    Ok(())
}

/// A column that the result is grouped by and that is neither a bound of the window nor part of the entity. Looks through what
/// keeps rows apart; joins and unions are taken to be right.
fn key_outside_entity(rule: &Rule, plan: &LogicalPlan) -> Option<String> {
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    let mut node = plan;
    let aggregate = loop {
        node = match node {
            LogicalPlan::Projection(projection) => {
                for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
                    if let Expr::Column(column) = expr.clone().unalias() {
                        let shown = renamed.get(field.name()).unwrap_or(field.name()).clone();
                        renamed.insert(column.name, shown);
                    }
                }
                &projection.input
            }
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Aggregate(aggregate) => break aggregate,
            _ => return None,
        }
    };
    let shown = |expr: &Expr| {
        let name = expr.schema_name().to_string();
        let name = name.rsplit('.').next().unwrap_or(&name).to_owned();
        renamed.get(&name).cloned().unwrap_or(name)
    };
    let is_part =
        |name: &String| [WINDOW_START, WINDOW_END].contains(&name.as_str()) || rule.header.entity.contains(name);
    aggregate.group_expr.iter().map(shown).find(|name| !is_part(name))
}

fn scans(plan: &LogicalPlan, table: &str) -> bool {
    let mut found = false;
    // The visitor returns no error.
    let _ = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == table);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// The columns of `requests` that an optimised plan reads, in the table's order.
fn columns_read(plan: &LogicalPlan) -> Vec<String> {
    let mut read = BTreeSet::new();
    // The visitor returns no error.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.table() == "requests"
        {
            read.extend(scan.projected_schema.fields().iter().map(|f| f.name().clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    tripline_ingest::schema().fields().iter().map(|f| f.name().clone()).filter(|name| read.contains(name)).collect()
}

/// Replaces each lowest `Final ← Partial` by `Final ← slot`; what is below goes into `splits`.
fn split(plan: Arc<dyn ExecutionPlan>, splits: &mut Vec<Split>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| {
        let Some(partial) = final_over_partial(&node) else { return Ok(Transformed::no(node)) };
        if contains_aggregate(partial.input())? {
            return Ok(Transformed::no(node));
        }
        let partial_plan = Arc::clone(node.children()[0]);
        let split = Split::new(partial, partial_plan)?;
        let leaf = split.state_input.exec()?;
        splits.push(split);
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let replaced = node.replace_children(vec![leaf], options)?;
        Ok(Transformed::new(replaced, true, TreeNodeRecursion::Jump))
    })
    .map(|t| t.data)
}

fn final_over_partial(node: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    let finish = node.downcast_ref::<AggregateExec>()?;
    let partial = finish.input().downcast_ref::<AggregateExec>()?;
    (finish.mode().input_mode() == AggregateMode::Final.input_mode() && *partial.mode() == AggregateMode::Partial)
        .then_some(partial)
}

fn contains_aggregate(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        found |= node.is::<AggregateExec>();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

impl Split {
    fn new(partial: &AggregateExec, plan: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let state_schema = plan.schema();
        let keys = partial.group_expr().num_group_exprs();
        let bound = |name: &str| state_schema.fields().iter().take(keys).position(|f| f.name() == name);
        let bounds = [bound(WINDOW_START), bound(WINDOW_END)];
        if bounds == [None, None] {
            // The validator lets no such rule through; a plan that lost its window must not run wrongly.
            return Err(DataFusionError::Internal("the optimiser removed the window from the group keys".into()));
        }
        let reduce_input = Slot::new(Arc::clone(&state_schema));
        let reduce = AggregateExec::try_new(
            AggregateMode::PartialReduce,
            partial.group_expr().as_final(),
            partial.aggr_expr().to_vec(),
            vec![None; partial.aggr_expr().len()],
            reduce_input.exec()?,
            partial.input_schema(),
        )?;
        Ok(Self {
            partial: plan,
            reduce: Arc::new(reduce),
            reduce_input,
            state_input: Slot::new(Arc::clone(&state_schema)),
            state_schema,
            bounds,
        })
    }
}

impl CompiledRule {
    /// State rows of what is in `input`, for one split.
    pub async fn run_partial(&self, split: &Split) -> Result<Vec<RecordBatch>> {
        self.run(&split.partial).await
    }

    /// Fewer state rows that say the same (best effort).
    pub async fn run_reduce(&self, split: &Split, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        split.reduce_input.put(states);
        let reduced = self.run(&split.reduce).await;
        split.reduce_input.put(Vec::new());
        reduced
    }

    /// The rule's rows for the window whose state rows are in the splits' `state_input`.
    pub async fn run_rest(&self) -> Result<Vec<RecordBatch>> {
        self.run(&self.rest).await
    }

    /// The schema of the rule's rows.
    pub fn output_schema(&self) -> SchemaRef {
        self.rest.schema()
    }

    /// What a checkpoint must agree on: state rows of another plan would be misread.
    pub fn fingerprint(&self) -> String {
        use datafusion::physical_plan::displayable;
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(datafusion::DATAFUSION_VERSION);
        hash.update(format!("{:?}", self.window));
        for split in &self.splits {
            hash.update(displayable(split.partial.as_ref()).indent(false).to_string());
            hash.update(format!("{:?}", split.state_schema));
        }
        format!("{:x}", hash.finalize())
    }

    async fn run(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<RecordBatch>> {
        // Metrics would pile up otherwise, and joins keep their build side.
        let fresh = reset_plan_states(Arc::clone(plan))?;
        collect(fresh, Arc::clone(&self.context)).await
    }
}
