//! The engine: rules over a stream of request batches, with the answer that one query over the whole log would give.
//!
//! 1. [`compile`](compile::compile) plans a rule and splits it at its lowest aggregates; [`validate`] refuses what cannot be split.
//!    Rules that group the same rows by the same columns share a [`state::Store`].
//! 2. [`Engine::push`] finds out what came late ([`lateness`]) and lets every store take in the rows, pane by pane. Where the rows
//!    of an open window settle a rule's conditions ([`monotone`]), it says so at once ([`early`]).
//! 3. [`Engine::advance`] closes the windows that the watermark has passed, baselines first, and returns the rules' rows.
//!
//! Rows are processed once however many windows they are in. The engine knows no clock and no files. What goes wrong in one rule
//! costs that rule its windows, and is told ([`Engine::take_troubles`]); the others go on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::logical_expr::Expr;

use crate::budget::Budget;
use crate::diagnostic::Diagnostic;
use crate::lookups::Lookups;
use crate::rules::Rule;
use baseline::{Baseline, Table};
use compile::{CompiledRule, compile};
use early::Looked;
use lateness::{Late, Paned};
pub use prepared::{Prepared, PreparedRows};
use rule::RuleState;
use state::{Look, Store};
use tasks::each;
use window::WindowSpec;

#[cfg(test)]
mod bad_input;
pub mod baseline;
pub mod checkpoint;
mod closing;
pub mod compile;
mod constant;
mod cost;
mod early;
#[cfg(test)]
mod equality;
mod explain;
mod figures;
mod hostile;
pub mod lateness;
pub(crate) mod leaf;
pub mod monotone;
mod prepared;
pub mod program;
#[cfg(test)]
mod refusals;
mod reload;
mod rule;
#[cfg(test)]
mod scale;
pub mod session;
mod sharing;
pub mod state;
mod tasks;
mod trouble;
pub mod validate;
pub mod window;

pub use figures::{RuleFigures, Stopwatch, Work};
pub use lateness::FileRows;
pub use trouble::Trouble;

/// The rows that one rule returned for one window.
#[derive(Debug)]
pub struct Found {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Start of the window, µs.
    pub start: i64,
    /// End of the window, µs, exclusive.
    pub end: i64,
    /// At least one row.
    pub rows: RecordBatch,
    /// If the window is still open: `ts` of the row that settled it, µs. The same rows, with their final numbers, come again when
    /// the window closes.
    pub early: Option<i64>,
}

/// Rules and what they remember.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<RuleState>,
    stores: Vec<Store>,
    baselines: BTreeMap<String, Baseline>,
    /// Windows that end at or before it are closed, µs.
    closed_to: i64,
    /// Newest `ts` taken in, µs.
    newest: i64,
    prepared: Arc<Prepared>,
    late_rows: u64,
    /// Stores whose layout the last checkpoint holds.
    saved_stores: BTreeSet<String>,
    troubles: Vec<Trouble>,
    /// Rows of baselines' closed windows, by table, that are to be put into windows over them.
    learnt: Vec<(String, RecordBatch)>,
    /// Groups of open windows to be looked at when the baselines of their window are sure, with their stores' numbers.
    postponed: Vec<(usize, Look)>,
    /// The longest lateness of a file so far, µs.
    lateness: i64,
    /// State above this is given up, bytes.
    memory_limit: usize,
    /// False alerts a day that the rules with a budget share.
    alerts_per_day: f64,
    /// How long things take.
    stopwatch: Stopwatch,
    early_time: Duration,
}

/// Which rows a rule must not see: its exceptions, as the condition for a row to be kept.
pub type Keep = BTreeMap<String, Expr>;

impl Engine {
    /// Plans `rules` over `requests`, the baselines among them and `lookups`. Those that cannot be planned are returned as
    /// diagnostics; those that wait for a lookup are left out; the rest runs.
    pub async fn new(rules: &[Rule], keep: &Keep, lookups: &Lookups) -> (Self, Vec<Diagnostic>) {
        let mut engine = Self {
            rules: Vec::new(),
            stores: Vec::new(),
            baselines: BTreeMap::new(),
            closed_to: i64::MIN,
            newest: i64::MIN,
            prepared: Arc::default(),
            late_rows: 0,
            saved_stores: BTreeSet::new(),
            troubles: Vec::new(),
            learnt: Vec::new(),
            postponed: Vec::new(),
            lateness: 0,
            memory_limit: usize::MAX,
            alerts_per_day: 1.0,
            stopwatch: Stopwatch::default(),
            early_time: Duration::ZERO,
        };
        let mut problems = Vec::new();
        let (baselines, rules): (Vec<&Rule>, Vec<&Rule>) =
            rules.iter().filter(|r| lookups.awaited(r).is_none()).partition(|r| r.is_baseline());
        // Baselines first: rules are planned over their schemas. (A baseline sees no other baseline.)
        for rule in baselines {
            problems.extend(engine.add(rule, &BTreeMap::new(), lookups, keep).await.err());
        }
        let tables = engine.baselines.iter().map(|(name, baseline)| (name.clone(), baseline.table().clone())).collect();
        for rule in rules {
            problems.extend(engine.add(rule, &tables, lookups, keep).await.err());
        }
        problems.extend(engine.share_stores());
        engine.allot();
        (engine, problems)
    }

    async fn add(
        &mut self,
        rule: &Rule,
        tables: &BTreeMap<String, Table>,
        lookups: &Lookups,
        keep: &Keep,
    ) -> std::result::Result<(), Diagnostic> {
        let compiled = compile(rule, tables, lookups, keep.get(&rule.id).cloned()).await?;
        if rule.is_baseline() {
            let explain = |e| Diagnostic::from_datafusion(&rule.origin, &rule.text, &e);
            let table = Table::new(&compiled).map_err(explain)?;
            self.baselines.insert(rule.table_name(), Baseline::new(table));
        }
        self.rules.push(RuleState::new(compiled));
        Ok(())
    }

    /// Drops the baselines that no rule joins: they would cost as much as a rule and nobody would see them.
    #[must_use]
    pub fn without_unused_baselines(mut self) -> Self {
        let used: BTreeSet<String> = self.rules.iter().flat_map(|r| r.compiled.baselines_used().cloned()).collect();
        self.baselines.retain(|table, _| used.contains(table));
        self.rules.retain(|r| !r.compiled.rule.is_baseline() || used.contains(&r.compiled.rule.table_name()));
        // What could be planned with more rules can be with fewer.
        let _ = self.share_stores();
        self
    }

    /// Keeps no more state than about this, bytes: what is above is given up, rule by rule, and told.
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Lets the rules with a budget tell so many findings a day, all together, that mean nothing.
    #[must_use]
    pub fn with_alert_budget(mut self, alerts_per_day: f64) -> Self {
        self.alerts_per_day = alerts_per_day;
        self.allot();
        self
    }

    fn allot(&mut self) {
        let shares: f64 = self.rules.iter().filter_map(|r| r.budget.as_ref()).map(Budget::share).sum();
        let per_day = self.alerts_per_day;
        let budgets = self.rules.iter_mut().filter_map(|r| r.budget.as_mut());
        budgets.for_each(|budget| budget.allot(per_day * budget.share() / shares));
    }

    /// The rules that run.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|r| r.compiled.rule.as_ref())
    }

    /// The rules that run, planned.
    pub fn compiled(&self) -> impl Iterator<Item = &CompiledRule> {
        self.rules.iter().map(|r| &r.compiled)
    }

    /// Rows so far that came too late for at least one window of some rule.
    pub fn late_rows(&self) -> u64 {
        self.late_rows
    }

    /// Windows that end at or before it are closed, µs.
    pub fn closed_to(&self) -> i64 {
        self.closed_to
    }

    /// Memory that is held, bytes.
    pub fn state_bytes(&self) -> usize {
        self.prepared.size()
            + self.stores.iter().map(Store::size).sum::<usize>()
            + self.rules.iter().map(RuleState::size).sum::<usize>()
    }

    /// The kinds of windows that the rules have.
    pub fn windows(&self) -> Vec<WindowSpec> {
        let windows: BTreeSet<WindowSpec> = self.rules.iter().map(|r| r.compiled.window).collect();
        windows.into_iter().collect()
    }

    /// The rows of `file` that are late for at least one window of some rule, if they are pushed next.
    pub fn late(&self, file: &FileRows) -> Vec<Late> {
        lateness::late_rows(file, &self.windows(), self.closed_to)
    }

    /// Takes in rows. Batches of one file come in the file's order. Returns what they settled in windows that are still open.
    pub async fn push(&mut self, files: &[FileRows]) -> Result<Vec<Found>> {
        let mut prepared = Vec::new();
        for file in files {
            prepared.push(self.prepared.rows(&file.rows).await?);
        }
        self.push_prepared(files, prepared).await
    }

    /// Makes rows ready for [`Engine::push_prepared`], while the engine works on those before.
    pub fn preparer(&self) -> Arc<Prepared> {
        Arc::clone(&self.prepared)
    }

    /// As [`Engine::push`], with the files' rows made ready before.
    pub async fn push_prepared(&mut self, files: &[FileRows], prepared: Vec<PreparedRows>) -> Result<Vec<Found>> {
        let mut rows = Vec::new();
        for prepared in prepared {
            rows.push(self.prepared.refreshed(prepared).await?);
        }
        let paned = self.paned(files, &rows)?;
        self.late_rows += files.iter().map(|file| self.late(file).len() as u64).sum::<u64>();
        self.newest = files.iter().filter_map(FileRows::newest).max().unwrap_or(i64::MIN).max(self.newest);
        self.lateness = files.iter().map(|f| f.lateness).max().unwrap_or(0).max(self.lateness);
        let found = self.absorb(&paned).await?;
        self.hold_memory_limit();
        Ok(found)
    }

    /// Sorts out what came late, for each length of panes.
    fn paned(&self, files: &[FileRows], rows: &[RecordBatch]) -> Result<BTreeMap<i64, Arc<Vec<Paned>>>> {
        let of_requests = || self.stores.iter().filter(|s| s.grouping.source.baseline().is_none());
        let slides: BTreeSet<i64> = of_requests().map(|s| s.slide).collect();
        let paned = slides.into_iter().map(|slide| {
            let mut groups = Vec::new();
            let retain = of_requests().filter(|s| s.slide == slide).map(|s| s.retain).max().unwrap_or(slide);
            let window = WindowSpec { slide, size: retain };
            for (file, rows) in files.iter().zip(rows) {
                groups.extend(lateness::assign(file, rows, window, self.closed_to)?);
            }
            Ok((slide, Arc::new(groups)))
        });
        paned.collect()
    }

    /// Lets every store take in rows and looks into its open windows.
    async fn absorb(&mut self, paned: &BTreeMap<i64, Arc<Vec<Paned>>>) -> Result<Vec<Found>> {
        // The largest first: what takes longest must not be begun last.
        let mut stores: Vec<_> = std::mem::take(&mut self.stores).into_iter().enumerate().collect();
        stores.sort_by_cached_key(|(_, store)| Reverse(store.size()));
        let lookout = self.begin_lookout(self.closed_to);
        let mut absorbed = each(stores, |(number, mut store)| {
            let is_of_requests = store.grouping.source.baseline().is_none();
            let groups = paned.get(&store.slide).filter(|_| is_of_requests).cloned().unwrap_or_default();
            let (stopwatch, lookout, before) = (self.stopwatch.clone(), Arc::clone(&lookout), store.rows_seen());
            async move {
                let start = stopwatch.read();
                let looks = tasks::guarded(async {
                    let mut looks = Vec::new();
                    for group in groups.iter() {
                        looks.extend(store.absorb(&group.rows, group.late_until).await?);
                    }
                    Ok(looks)
                })
                .await;
                let did = (store.rows_seen() - before, stopwatch.since(start));
                let looked = match looks {
                    Ok(looks) if looks.is_empty() => Ok(Looked::default()),
                    Ok(looks) => Ok(lookout.look(&mut store, looks).await),
                    Err(e) => Err(e),
                };
                (number, did, store, looked)
            }
        })
        .await?;
        self.end_lookout(lookout);
        absorbed.sort_by_key(|(number, ..)| *number);
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for (number, (rows, time), store, looked) in absorbed {
            self.stores.push(store);
            self.absorbed(number, rows, time);
            match looked {
                Ok(looked) => found.extend(self.looked(number, looked)),
                Err(e) => failed.push((number, e)),
            }
        }
        for (number, error) in failed {
            self.store_failed(number, &error);
        }
        Ok(found)
    }
}

/// A lookup for tests: some of the clients that [`equality`] makes up, one of them twice.
#[cfg(test)]
fn lookups_of_the_tests() -> Lookups {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = "client,tier,since\nclient-0-of-the-test,1,1969-12-31T23:55:00Z\nclient-1-of-the-test,2,1970-01-01T00:00:00Z\n\
                client-1-of-the-test,3,1970-01-01T00:10:00Z\nnobody,200,1970-01-01T00:00:00Z\n";
    std::fs::write(folder.path().join("partners.csv"), rows).expect("a file");
    let mut lookups = Lookups::default();
    lookups.read_folder(folder.path()).expect("a lookup");
    lookups
}
