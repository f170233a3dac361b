//! Evidence against each entity, added up over windows on three clocks, each with a third of the budget.
//!
//! With e-values e₁, e₂, ... of one entity, each at most 1 on average given those before:
//! - *day*, *week*: M ← M e, from 1, begun anew each UTC day (each week). An alarm at M ≥ c puts M back to 1. M − 1 + (c − 1) · alarms is a
//!   supermartingale, so that an entity has at most 1 / (c − 1) alarms a day (a week) on average (Ville 1939).
//! - *ever*: R ← (R + 1) e, from 0, never begun anew (Shiryaev–Roberts; as an e-detector: Shin, Ramdas and Rinaldo 2023). An alarm at R ≥ c puts R back
//!   to 0. R + c · alarms − windows is a supermartingale: at most windows / c alarms on average. What an entity did well before is no credit.
//!
//! With m entities a day, n windows a day and a third b of the budget, c is 1 + m / b by day, 1 + m / 7b by week, and m n / b for ever. The day finds
//! what is loud, the week and the third what is so slow that a day's evidence is always forgotten too early.

use std::collections::BTreeMap;

use super::DAY;
use super::history::History;

/// So many entities at least are reckoned with: on a first day nobody knows how many there will be.
const LEAST_ENTITIES: u64 = 100;
/// So many are remembered; what has least evidence goes first.
pub const MOST_ENTITIES: usize = 200_000;
/// Who was not tested for so many days is forgotten.
const FORGET_DAYS: i64 = 60;

/// What is known against one entity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    pub day: f64,
    pub week: f64,
    pub ever: f64,
    /// The day of the newest test.
    pub tested: i64,
}

/// What becomes a finding, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm {
    /// The clock: `day`, `week` or `ever`.
    pub since: &'static str,
    pub evidence: f64,
    pub needed: f64,
}

/// Of one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// False alarms a day.
    pub per_day: f64,
    /// Windows a day.
    windows: f64,
    /// The current day, counted from 1970.
    pub today: i64,
    /// How many entities were tested today, and on each of the seven days before, the newest first.
    pub tested: [u64; 8],
    pub entities: BTreeMap<u128, Against>,
    pub history: History,
}

impl Evidence {
    /// Of a rule with windows of so many µs.
    #[expect(clippy::cast_precision_loss, reason = "windows are shorter than 285 years")]
    pub fn new(per_day: f64, window: i64) -> Self {
        let windows = (DAY as f64 / window.max(1) as f64).max(1.0);
        Self {
            per_day,
            windows,
            today: i64::MIN,
            tested: [0; 8],
            entities: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// A window that ended at `end` (µs) is taken in next.
    pub fn begin(&mut self, end: i64) {
        self.make_room();
        let day = end.saturating_sub(1).div_euclid(DAY);
        if day <= self.today {
            return;
        }
        let passed = usize::try_from(day.saturating_sub(self.today)).unwrap_or(usize::MAX).min(8);
        self.tested.rotate_right(passed % 8);
        self.tested[..passed].fill(0);
        self.history.next_day();
        let new_week = week(day) != week(self.today);
        self.today = day;
        self.entities.retain(|_, against| day.saturating_sub(against.tested) <= FORGET_DAYS);
        for against in self.entities.values_mut() {
            against.day = 1.0;
            against.week = if new_week { 1.0 } else { against.week };
        }
    }

    /// An entity is tested in this window: all are met before the first is judged.
    pub fn meet(&mut self, entity: u128) {
        let today = self.today;
        let against =
            self.entities.entry(entity).or_insert(Against { day: 1.0, week: 1.0, ever: 0.0, tested: i64::MIN });
        if against.tested != today {
            against.tested = today;
            self.tested[0] += 1;
        }
    }

    /// Takes in an e-value of an entity that was met.
    pub fn add(&mut self, entity: u128, claimed: f64) -> Option<Alarm> {
        let e = self.history.temper(claimed.min(f64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "not that many entities")]
        let entities = self.tested.iter().copied().fold(LEAST_ENTITIES, u64::max) as f64;
        let third = self.per_day / 3.0;
        let needed = [1.0 + entities / third, 1.0 + entities / (7.0 * third), entities * self.windows / third];
        let against = self.entities.get_mut(&entity)?;
        let bounded = |x: f64| x.min(f64::MAX);
        against.day = bounded(against.day * e);
        against.week = bounded(against.week * e);
        against.ever = bounded((against.ever + 1.0) * e);
        let clocks =
            [("day", &mut against.day, 1.0), ("week", &mut against.week, 1.0), ("ever", &mut against.ever, 0.0)];
        let mut alarm = None;
        for ((since, evidence, anew), needed) in clocks.into_iter().zip(needed) {
            if *evidence >= needed {
                alarm = alarm.or(Some(Alarm { since, evidence: *evidence, needed }));
                *evidence = anew;
            }
        }
        alarm
    }

    fn make_room(&mut self) {
        let Some(over) = self.entities.len().checked_sub(MOST_ENTITIES).filter(|over| *over > 0) else { return };
        let mut by_evidence: Vec<(f64, u128)> =
            self.entities.iter().map(|(entity, against)| (against.ever, *entity)).collect();
        by_evidence.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, entity) in &by_evidence[..over] {
            self.entities.remove(entity);
        }
        tracing::warn!(
            forgotten = over,
            "a rule with a budget tests too many entities: those with the least evidence begin anew"
        );
    }
}

/// Weeks begin on Thursdays, as 1970 did.
fn week(day: i64) -> i64 {
    day.div_euclid(7)
}
