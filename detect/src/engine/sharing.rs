//! Which rules share a store: those that group the same rows by the same columns, over windows whose panes nest.

use std::sync::Arc;

use datafusion::common::Result;

use super::Engine;
use super::compile::Split;
use super::prepared::Prepared;
use super::rule::Part;
use super::state::aggregate::Aggregate;
use super::state::{Grouping, Store, Watch};
use super::window::WindowSpec;
use crate::diagnostic::Diagnostic;

/// A rule with long panes does not share with one whose panes are shorter than this part: it would keep too many.
const MAX_FINER: i64 = 12;

/// A store to be.
struct Plan {
    grouping: Grouping,
    aggregates: Vec<Aggregate>,
    slide: i64,
    retain: i64,
    /// What it computes may fail, and must cost nobody else anything.
    alone: bool,
}

impl Engine {
    /// Makes the stores that the rules need, empty. Rules that cannot have theirs are taken out and returned.
    pub(super) fn share_stores(&mut self) -> Vec<Diagnostic> {
        let mut plans: Vec<Plan> = Vec::new();
        let mut places: Vec<Vec<usize>> = Vec::new();
        for rule in &self.rules {
            let window = rule.compiled.window;
            places.push(rule.compiled.splits.iter().map(|split| place(&mut plans, split, window)).collect());
        }
        let of_requests = || plans.iter().filter(|p| p.grouping.source.is_requests());
        let keys: Vec<_> = of_requests().flat_map(|p| &p.grouping.keys).collect();
        let sketches = of_requests().flat_map(|p| &p.aggregates).filter(|a| a.is_sketch());
        let counted: Vec<_> = sketches.filter_map(|a| a.wanted().next()).collect();
        // (what a store computes several times it computes once anyway)
        let once_each = of_requests().flat_map(|p| {
            let all: Vec<_> =
                p.grouping.source.filters.iter().chain(p.aggregates.iter().flat_map(Aggregate::wanted)).collect();
            (0..all.len()).filter(|&i| !all[..i].contains(&all[i])).map(|i| all[i]).collect::<Vec<_>>()
        });
        let prepared = Prepared::new(&keys, &counted, &once_each.collect::<Vec<_>>());
        let stores = prepared.and_then(|prepared| {
            self.prepared = Arc::new(prepared);
            let store = |p: Plan| Store::new(&self.prepared, p.grouping, p.aggregates, p.slide, p.retain);
            plans.into_iter().map(store).collect::<Result<Vec<_>>>()
        });
        let mut problems = Vec::new();
        self.stores = match stores {
            Ok(stores) => stores,
            Err(e) => {
                // Nothing that a rule says leads here; whatever it was, no rule can run.
                let rules = std::mem::take(&mut self.rules);
                return rules
                    .iter()
                    .map(|r| Diagnostic::from_datafusion(&r.compiled.rule.origin, &r.compiled.rule.text, &e))
                    .collect();
            }
        };
        for (number, (rule, places)) in self.rules.iter_mut().zip(places).enumerate() {
            let settles = rule.compiled.settles() && !rule.compiled.rule.is_baseline();
            rule.parts.clear();
            for (split, store) in rule.compiled.splits.iter().zip(places) {
                match split.view(&self.stores[store]) {
                    Ok(view) => {
                        let threshold = split.threshold(&self.stores[store]);
                        rule.parts.push(Part::new(store, view, threshold));
                        if let Some(threshold) = threshold.filter(|_| settles) {
                            let watch = Watch::new(number, rule.compiled.window, threshold);
                            self.stores[store].watches.push(watch);
                        }
                    }
                    Err(e) => {
                        problems.push(Diagnostic::from_datafusion(
                            &rule.compiled.rule.origin,
                            &rule.compiled.rule.text,
                            &e,
                        ));
                    }
                }
            }
        }
        for (number, store) in self.stores.iter_mut().enumerate() {
            let mut parts = self.rules.iter().flat_map(|r| &r.parts).filter(|p| p.store == number);
            if parts.all(|p| p.threshold.is_some()) {
                store.aggregate_later();
            }
        }
        problems
    }
}

/// The plan that a split can join, or a new one.
fn place(plans: &mut Vec<Plan>, split: &Split, window: WindowSpec) -> usize {
    let alone = !split.aggregates.iter().all(Aggregate::cannot_fail);
    let found = plans
        .iter()
        .position(|p| !alone && !p.alone && p.grouping.same(&split.grouping) && nest(p.slide, window.slide));
    let at = found.unwrap_or_else(|| {
        plans.push(Plan {
            grouping: split.grouping.clone(),
            aggregates: Vec::new(),
            slide: window.slide,
            retain: window.size,
            alone,
        });
        plans.len() - 1
    });
    let plan = &mut plans[at];
    plan.slide = plan.slide.min(window.slide);
    plan.retain = plan.retain.max(window.size);
    for aggregate in &split.aggregates {
        if !plan.aggregates.iter().any(|a| a.same(aggregate)) {
            plan.aggregates.push(aggregate.clone());
        }
    }
    at
}

fn nest(a: i64, b: i64) -> bool {
    let (short, long) = (a.min(b), a.max(b));
    long % short == 0 && long / short <= MAX_FINER
}
