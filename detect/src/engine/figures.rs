//! What each rule did and holds, in numbers. How long it took is measured with a clock that the driver lends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;

/// A driver's clock: the time since some instant. Without one, everything takes no time.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Stopwatch {
    /// Reads `clock`, which never goes back.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// Now.
    pub fn read(&self) -> Duration {
        (self.0)()
    }

    /// How long it has been.
    pub fn since(&self, start: Duration) -> Duration {
        self.read().saturating_sub(start)
    }
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new(|| Duration::ZERO)
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopwatch")
    }
}

/// What a rule did since the engine began, reloads included. What it shares with other rules counts in equal parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Requests that met its WHERE, counted once for each of its lowest aggregates.
    pub rows: u64,
    /// Time that aggregating them took, on one thread.
    pub aggregating: Duration,
    /// Windows with rows that were closed.
    pub windows: u64,
    /// Time that closing them took, on one thread.
    pub closing: Duration,
    /// Rows of its result for closed windows.
    pub found: u64,
}

/// A rule in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFigures {
    /// The rule's id.
    pub id: String,
    /// What it did.
    pub work: Work,
    /// Groups that are kept, each counted in every pane that has it. A request that waits to be aggregated counts as one.
    pub groups: usize,
    /// Memory, bytes; of what it shares its part.
    pub state_bytes: usize,
    /// The end of the last window that is closed, µs; `i64::MIN`: none is.
    pub closed_to: i64,
}

impl Engine {
    /// Measures with a driver's clock.
    #[must_use]
    pub fn with_stopwatch(mut self, stopwatch: Stopwatch) -> Self {
        self.rules.iter_mut().for_each(|rule| rule.stopwatch = stopwatch.clone());
        self.stopwatch = stopwatch;
        self
    }

    /// The rules that run, in numbers. Costs a look at every group.
    pub fn figures(&self) -> Vec<RuleFigures> {
        let sizes: Vec<(usize, usize)> = self.stores.iter().map(|s| (s.groups(), s.size())).collect();
        let figures = self.rules.iter().map(|rule| {
            let stores = || rule.parts.iter().map(|part| part.store);
            let slide = rule.compiled.window.slide;
            RuleFigures {
                id: rule.compiled.rule.id.clone(),
                work: rule.work,
                groups: stores().map(|at| sizes[at].0).sum(),
                state_bytes: rule.size() + stores().map(|at| sizes[at].1 / self.parts_of(at)).sum::<usize>(),
                closed_to: if self.closed_to == i64::MIN { i64::MIN } else { self.closed_to.div_euclid(slide) * slide },
            }
        });
        figures.collect()
    }

    /// Time that looking into open windows took, on one thread.
    pub fn early_time(&self) -> Duration {
        self.early_time
    }

    /// How many parts of rules a store serves, at least 1.
    fn parts_of(&self, store: usize) -> usize {
        self.rules.iter().flat_map(|r| &r.parts).filter(|p| p.store == store).count().max(1)
    }

    /// Notes what a store did for the rules that share it: `rows` more, in `time`.
    pub(super) fn absorbed(&mut self, store: usize, rows: u64, time: Duration) {
        let share = time / u32::try_from(self.parts_of(store)).unwrap_or(u32::MAX);
        for rule in &mut self.rules {
            let parts = rule.parts.iter().filter(|p| p.store == store).count();
            for _ in 0..parts {
                rule.work.rows += rows;
                rule.work.aggregating += share;
            }
        }
    }

    /// Goes on counting where another engine stops.
    pub(super) fn count_on(&mut self, old: &Self) {
        self.late_rows += old.late_rows;
        self.early_time += old.early_time;
        for rule in &mut self.rules {
            if let Some(same) = old.rules.iter().find(|r| r.compiled.rule.id == rule.compiled.rule.id) {
                rule.work = same.work;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Keep;
    use crate::engine::trouble::tests::rows;
    use crate::lookups::Lookups;
    use crate::rules::Rule;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn rule(id: &str, condition: &str) -> Rule {
        let sql = format!(
            "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client, count(*) AS n \
             FROM tumble(requests, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, client {condition}"
        );
        Rule::parse(id, "rule.sql", &sql).unwrap()
    }

    async fn engine(rules: &[Rule]) -> Engine {
        // Each look at the clock takes a second.
        let looks = AtomicU64::new(0);
        let (engine, problems) = Engine::new(rules, &Keep::new(), &Lookups::default()).await;
        assert!(problems.is_empty(), "{}", problems[0]);
        engine.with_stopwatch(Stopwatch::new(move || Duration::from_secs(looks.fetch_add(1, Ordering::Relaxed))))
    }

    #[tokio::test]
    async fn what_is_shared_counts_in_equal_parts() {
        let rules = [rule("a", ""), rule("b", "HAVING max(status) > 1")];
        let mut engine = engine(&rules).await;
        engine.push(&[rows(100, 1)]).await.unwrap();
        let figures = engine.figures();
        assert_eq!(figures.iter().map(|f| f.state_bytes).sum::<usize>().div_ceil(2), engine.state_bytes().div_ceil(2));
        for rule in &figures {
            assert_eq!((rule.work.rows, rule.groups, rule.work.windows), (100, 100, 0), "{rule:?}");
            assert_eq!((rule.work.aggregating, rule.closed_to), (Duration::from_millis(500), i64::MIN), "{rule:?}");
        }
        engine.push(&[rows(10, 2)]).await.unwrap();
        engine.advance(150_000_000).await.unwrap();
        let figures = engine.figures();
        let found: Vec<_> = figures.iter().map(|f| (f.work.rows, f.work.windows, f.work.found, f.groups)).collect();
        assert_eq!(found, [(110, 1, 100, 10), (110, 1, 0, 10)]);
        assert!(figures.iter().all(|f| f.work.closing >= Duration::from_secs(1) && f.closed_to == 120_000_000));
    }

    #[tokio::test]
    async fn a_reload_goes_on_counting() {
        let mut old = engine(&[rule("a", ""), rule("gone", "")]).await;
        old.push(&[rows(7, 1)]).await.unwrap();
        old.take_over(engine(&[rule("a", ""), rule("new", "")]).await).unwrap();
        old.push(&[rows(5, 2)]).await.unwrap();
        let rows: Vec<_> = old.figures().into_iter().map(|f| (f.id, f.work.rows)).collect();
        assert_eq!(rows, [("a".to_owned(), 12), ("new".to_owned(), 5)]);
    }
}
