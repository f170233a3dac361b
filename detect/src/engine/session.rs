//! DataFusion sessions as Tripline needs them: one kind for streaming plans, one for batch.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::optimizer::{Analyzer, Optimizer};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::prelude::SessionConfig;

use super::hostile::HostileValues;
use super::window::{Mode, WindowPlanner};
use crate::enrichment::Enrichment;
use crate::functions;

/// A session that plans with `planner`: the same SQL, functions and treatment of hostile values in both modes.
pub fn session(mode: Mode, planner: Arc<WindowPlanner>, threads: usize, enrichment: &Arc<Enrichment>) -> SessionState {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    if mode == Mode::Stream {
        // Plans run again and again over other batches: nothing may be learnt from one of them.
        options.optimizer.enable_dynamic_filter_pushdown = false;
        // Partial must aggregate: what it leaves unaggregated is kept until the window closes.
        options.execution.skip_partial_aggregation_probe_ratio_threshold = 1.0;
    }
    // A streaming plan runs on one thread; rules run beside each other instead.
    options.execution.target_partitions = if mode == Mode::Stream { 1 } else { threads.max(1) };

    let mut analyzer = Analyzer::new();
    analyzer.rules.push(Arc::new(HostileValues));
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rules(analyzer.rules)
        .with_relation_planners(vec![planner]);
    let mut state = match mode {
        Mode::Batch => builder.build(),
        Mode::Stream => builder
            .with_optimizer_rules(stream_optimizer_rules())
            .with_physical_optimizer_rules(stream_physical_rules())
            .build(),
    };
    functions::register(&mut state, enrichment);
    state
}

/// All but the rule that moves predicates below aggregates: there, `window_start` means the pane.
fn stream_optimizer_rules() -> Vec<Arc<dyn datafusion::optimizer::OptimizerRule + Send + Sync>> {
    Optimizer::new().rules.into_iter().filter(|rule| rule.name() != "push_down_filter").collect()
}

/// Only what a plan needs in order to run. The others would collapse Partial and Final into one, fold `count(*)` over
/// an empty leaf, or drop groups early.
fn stream_physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    vec![Arc::new(EnsureRequirements::new()), Arc::new(ProjectionPushdown::new())]
}
