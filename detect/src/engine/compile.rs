//! From a rule's SQL to a plan that runs pane by pane.
//!
//! The physical plan is split at each of its lowest aggregates. What is below, and the aggregates themselves, become a
//! [`Grouping`] with [`Aggregate`]s, for a store to keep pane by pane; when a window closes, its groups take the place of the
//! aggregate, and the rest of the plan runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;

use super::baseline;
use super::baseline::join::{BaselineSlot, narrow};
use super::constant;
use super::cost;
use super::leaf::{Leaves, Slot, SlotOf};
use super::monotone;
use super::program::{Expr, flatten, over};
use super::session::session;
use super::state::aggregate::Aggregate;
use super::state::source::Below;
use super::state::{Grouping, Source, Store, Threshold, View, ViewColumn, WindowGroups};
use super::validate::Tables;
use super::window::{
    Mode, WINDOW_END, WINDOW_START, WindowPlanner, WindowSpec, baseline_under_windows, timestamp_type,
};
use crate::budget::Budget;
use crate::diagnostic::Diagnostic;
use crate::enrichment;
use crate::lookups::Lookups;
use crate::peers::Peers;
use crate::rules::Rule;

/// The schema of what a streaming plan scans: `requests` and the window's bounds, which hold the row's `ts` there.
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
    pub rule: Arc<Rule>,
    /// Its window.
    pub window: WindowSpec,
    /// Its lowest aggregates.
    pub splits: Vec<Split>,
    /// The baselines that it puts windows over, by table name, with what made them.
    inputs: BTreeMap<String, String>,
    /// Take the rows of the baselines it joins, by table name, before `rest` runs.
    pub baselines: BTreeMap<String, Arc<BaselineSlot>>,
    /// The columns of `requests` that it reads.
    pub columns: Vec<String>,
    /// Of the files that functions in it ask.
    asks: String,
    /// See [`cost::distinct_calls`].
    pub(super) distinct_calls: Vec<String>,
    /// What is made of its rows, if it is a baseline that asks for it.
    pub peers: Option<Peers>,
    /// What decides which of its rows are findings, if it has a budget; its rule's state takes it.
    pub(super) budget: Option<Budget>,
    /// Everything above the lowest aggregates.
    rest: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

/// One lowest aggregate of a rule.
#[derive(Debug)]
pub struct Split {
    /// Which rows are grouped by what.
    pub grouping: Grouping,
    /// What is kept of each group.
    pub aggregates: Vec<Aggregate>,
    /// What its conditions say about one group.
    pub findings: monotone::Findings,
    /// Takes a window's groups before `rest` runs.
    pub groups: Arc<SlotOf<WindowGroups>>,
    /// Schema of the groups: the keys, then the aggregates.
    schema: SchemaRef,
    /// What the group keys are.
    keys: Vec<Key>,
}

/// A group key of a split.
#[derive(Debug, Clone)]
enum Key {
    Start,
    End,
    Column(Expr),
}

/// Plans `rule`. `baselines` are those it may join, and `lookups` the tables of the user's own;
/// rows for which `keep` is not true are not seen by the rule.
pub async fn compile(
    rule: &Rule,
    baselines: &BTreeMap<String, baseline::Table>,
    lookups: &Lookups,
    keep: Option<LogicalExpr>,
) -> std::result::Result<CompiledRule, Diagnostic> {
    let explain = |e: DataFusionError| Diagnostic::from_datafusion(&rule.origin, &rule.text, &e);
    let leaves = Leaves::new(baselines);
    let planner = Arc::new(WindowPlanner::new(Mode::Stream, leaves.inputs(baselines).map_err(explain)?, keep));
    let state = session(Mode::Stream, Arc::clone(&planner), 1, lookups.enrichment());

    let mut slots = BTreeMap::new();
    let context = SessionContext::new_with_state(state.clone());
    // Only to be refused with a better message than "no such table".
    let bare = Slot::new(tripline_ingest::schema());
    context.register_table("requests", Arc::new(bare.table().map_err(explain)?)).map_err(explain)?;
    for (name, table) in baselines {
        let slot = BaselineSlot::new(table.clone());
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
    let inputs = baselines.iter().filter(|(name, _)| reads_windows_of(&plan, name));
    let inputs = inputs.map(|(name, table)| (name.clone(), table.fingerprint.clone())).collect();

    let distinct_calls = cost::distinct_calls(&plan);
    let plan = constant::fold_subqueries(plan, &state).await.map_err(explain)?;
    let plan = state.optimize(&plan).map_err(explain)?;
    let columns = columns_read(&plan);
    let physical = state.query_planner().create_physical_plan(&plan, &state).await.map_err(explain)?;
    let physical = constant::fold(physical, state.task_ctx()).await.map_err(explain)?;
    let context = state.task_ctx();
    let mut splits = Vec::new();
    let rest = split(physical, &mut splits, &leaves, &context).map_err(explain)?;
    if splits.is_empty() {
        return Err(rule
            .problem_at("GROUP BY", "this rule's aggregate cannot run incrementally")
            .with_help("group by window_start, window_end and the rule's keys with ordinary aggregates"));
    }
    let lowest: Vec<_> = splits
        .iter()
        .map(|s| monotone::Lowest { input: &s.groups, keys: s.keys.len(), aggregates: &s.aggregates })
        .collect();
    let findings = monotone::analyse(&rest, &lowest);
    splits.iter_mut().zip(findings).for_each(|(split, findings)| split.findings = findings);
    let rest = narrow(rest, &slots).map_err(explain)?;
    let peers = Peers::new(rule, &rest.schema())?;
    let budget = Budget::new(rule, &rest.schema(), window)?;
    Ok(CompiledRule {
        rule: Arc::new(rule.clone()),
        window,
        splits,
        inputs,
        baselines: slots,
        columns,
        asks: asks(rule, lookups),
        distinct_calls,
        peers,
        budget,
        rest,
        context,
    })
}

/// What functions that the rule calls say depends on this.
fn asks(rule: &Rule, lookups: &Lookups) -> String {
    let sql = rule.sql.to_ascii_lowercase();
    let asks = enrichment::FUNCTIONS.iter().any(|function| sql.contains(function));
    if asks { lookups.enrichment().digest().to_owned() } else { String::new() }
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
                    if let LogicalExpr::Column(column) = expr.clone().unalias() {
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
    let shown = |expr: &LogicalExpr| {
        let name = expr.schema_name().to_string();
        let name = name.rsplit('.').next().unwrap_or(&name).to_owned();
        renamed.get(&name).cloned().unwrap_or(name)
    };
    let is_part =
        |name: &String| [WINDOW_START, WINDOW_END].contains(&name.as_str()) || rule.header.entity.contains(name);
    aggregate.group_expr.iter().map(shown).find(|name| !is_part(name))
}

fn scans(plan: &LogicalPlan, table: &str) -> bool {
    has_scan(plan, |scanned| scanned == table)
}

/// Whether a plan puts windows over a baseline.
fn reads_windows_of(plan: &LogicalPlan, baseline: &str) -> bool {
    has_scan(plan, |scanned| baseline_under_windows(scanned) == Some(baseline))
}

fn has_scan(plan: &LogicalPlan, wanted: impl Fn(&str) -> bool) -> bool {
    let mut found = false;
    // The visitor returns no error.
    let _ = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::TableScan(scan) if wanted(scan.table_name.table()));
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

/// Replaces each lowest `Final ← Partial` by a slot for its groups; what is below goes into `splits`.
fn split(
    plan: Arc<dyn ExecutionPlan>,
    splits: &mut Vec<Split>,
    leaves: &Leaves,
    context: &Arc<TaskContext>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| {
        let Some(partial) = final_over_partial(&node) else { return Ok(Transformed::no(node)) };
        if contains_aggregate(partial.input())? {
            return Ok(Transformed::no(node));
        }
        let split = Split::new(partial, node.schema(), leaves, context)?;
        let leaf = split.groups.exec()?;
        splits.push(split);
        Ok(Transformed::new(leaf, true, TreeNodeRecursion::Jump))
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

impl Key {
    /// Below its aggregate a bound of the window is a bare group key, if anything: the validator sees to it.
    fn of(expr: Expr) -> Self {
        match expr.downcast_ref::<Column>().map(Column::name) {
            Some(WINDOW_START) => Self::Start,
            Some(WINDOW_END) => Self::End,
            _ => Self::Column(expr),
        }
    }
}

impl Split {
    fn new(partial: &AggregateExec, schema: SchemaRef, leaves: &Leaves, context: &Arc<TaskContext>) -> Result<Self> {
        let (baseline, leaf) = leaves.read_by(partial.input())?;
        let (source, columns, table) = match flatten(partial.input())? {
            Some(flat) => (Source::requests(flat.filters), flat.columns, Arc::clone(leaf.schema())),
            None => below(partial, leaf, context)?,
        };
        let source = source.of_baseline(baseline.map(|name| (name.clone(), Arc::clone(leaf.schema()))));
        let keys = partial.group_expr().expr().iter().map(|(expr, _)| Ok(Key::of(over(expr, &columns)?)));
        let keys = keys.collect::<Result<Vec<Key>>>()?;
        if keys.iter().all(|key| matches!(key, Key::Column(_))) {
            // The validator lets no such rule through; a plan that lost its window must not run wrongly.
            return Err(DataFusionError::Internal("the optimiser removed the window from the group keys".into()));
        }
        let filters = partial.filter_expr().iter();
        let aggregates = partial.aggr_expr().iter().zip(filters);
        let mut grouped: Vec<Expr> = Vec::new();
        for key in &keys {
            if let Key::Column(expr) = key
                && !grouped.contains(expr)
            {
                grouped.push(Arc::clone(expr));
            }
        }
        Ok(Self {
            grouping: Grouping { source, keys: grouped },
            aggregates: aggregates
                .map(|(function, filter)| Aggregate::new(function, filter.as_ref(), &columns, &table))
                .collect::<Result<_>>()?,
            findings: monotone::Findings::default(),
            groups: SlotOf::new(Arc::clone(&schema)),
            schema,
            keys,
        })
    }

    /// How this split's groups are made of those of `store`.
    pub fn view(&self, store: &Store) -> Result<View> {
        let missing = || DataFusionError::Internal("a store lacks what its rule needs".into());
        let mut columns = Vec::new();
        for key in &self.keys {
            columns.push(match key {
                Key::Start => ViewColumn::Start,
                Key::End => ViewColumn::End,
                Key::Column(expr) => {
                    ViewColumn::Key(store.grouping.keys.iter().position(|k| k == expr).ok_or_else(missing)?)
                }
            });
        }
        for aggregate in &self.aggregates {
            let at = store.aggregates.iter().position(|a| a.same(aggregate)).ok_or_else(missing)?;
            columns.push(ViewColumn::Aggregate(at));
        }
        Ok(View { schema: Arc::clone(&self.schema), columns })
    }

    /// Its threshold, with the aggregates numbered as in `store`.
    pub fn threshold(&self, store: &Store) -> Option<Threshold> {
        let threshold = self.findings.threshold?;
        let distinct = threshold
            .distinct
            .and_then(|(at, least)| Some((store.aggregates.iter().position(|a| a.same(&self.aggregates[at]))?, least)));
        Some(Threshold { distinct, ..threshold })
    }
}

/// The plan below an aggregate that is more than filters and projections, as it is, with a leaf of its own: stores
/// run beside each other.
fn below(
    partial: &AggregateExec,
    leaf: &Arc<Slot>,
    context: &Arc<TaskContext>,
) -> Result<(Source, Vec<Expr>, SchemaRef)> {
    let table = partial.input().schema();
    let columns: Vec<Expr> =
        table.fields().iter().enumerate().map(|(i, f)| Arc::new(Column::new(f.name(), i)) as Expr).collect();
    let bound =
        partial.group_expr().expr().iter().find(|(_, name)| [WINDOW_START, WINDOW_END].contains(&name.as_str()));
    let ts = bound.and_then(|(expr, _)| expr.downcast_ref::<Column>()).map(Column::index);
    let ts = ts.ok_or_else(|| DataFusionError::Internal("the window is no column below its aggregate".into()))?;
    let (slot, plan) = leaf.parted(Arc::clone(partial.input()))?;
    let source = Source::plan(Below { slot, plan, context: Arc::clone(context), ts });
    Ok((source, columns, table))
}

impl CompiledRule {
    /// The rule's rows for the window whose groups are in the splits' slots.
    pub async fn run_rest(&self) -> Result<RecordBatch> {
        // Metrics would pile up otherwise, and joins keep their build side.
        let fresh = reset_plan_states(Arc::clone(&self.rest))?;
        let rows = collect(fresh, Arc::clone(&self.context)).await?;
        Ok(concat_batches(&self.output_schema(), &rows)?)
    }

    /// The schema of the rule's rows.
    pub fn output_schema(&self) -> SchemaRef {
        self.rest.schema()
    }

    /// The schema of its rows as a baseline.
    pub fn table_schema(&self) -> SchemaRef {
        self.peers.as_ref().map_or_else(|| self.output_schema(), |peers| Arc::clone(peers.schema()))
    }

    /// The plan above the lowest aggregates, for people.
    pub fn rest_plan(&self) -> String {
        datafusion::physical_plan::displayable(self.rest.as_ref()).indent(false).to_string()
    }

    /// The names of the baselines that it reads, as tables.
    pub fn baselines_used(&self) -> impl Iterator<Item = &String> {
        self.baselines.keys().chain(self.inputs.keys())
    }

    /// Whether a finding can be told before its window closes.
    pub fn settles(&self) -> bool {
        self.rule.header.budget.is_none()
            && self.splits.len() == 1
            && self.splits[0].grouping.source.baseline().is_none()
            && self.splits[0].findings.settles
            && self.splits[0].findings.threshold.is_some()
    }

    /// What a checkpoint must agree on: state rows of another plan would be misread. A changed threshold changes nothing here.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(datafusion::DATAFUSION_VERSION);
        hash.update(format!("{:?}", self.window));
        hash.update(&self.asks);
        self.inputs.values().for_each(|made| hash.update(made));
        for split in &self.splits {
            hash.update(split.grouping.describe());
            split.aggregates.iter().for_each(|a| hash.update(a.describe()));
            hash.update(format!("{:?}", split.schema));
        }
        format!("{:x}", hash.finalize())
    }
}
