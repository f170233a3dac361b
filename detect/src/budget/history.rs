//! Whether e-values are as rare as they claim: their ranks among those of earlier days.
//!
//! Of each whole day the claimed e-values are counted in classes of 10 %; older days count less and less. A value's conformal p-value is the
//! share of the history, itself added, that is at least as large, and from that comes an e-value again. The smaller of the claimed one and this one
//! counts: at most 1 on average if either the rule's model holds, or today is like the days before.

use std::collections::BTreeMap;

use super::e_of_p;

/// What a day counts the day after the next: half after seven days.
const DECAY: f64 = 0.905_7;
/// With fewer values than this there is no history.
const FEW: f64 = 1_000.0;
/// Classes of ln e.
const CLASS: f64 = 0.1;

/// Of one rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// By class: how many there were until yesterday.
    pub before: BTreeMap<i32, f64>,
    /// And today.
    pub today: BTreeMap<i32, f64>,
}

impl History {
    /// Notes a claimed e-value, and returns what counts.
    pub fn temper(&mut self, claimed: f64) -> f64 {
        let class = class(claimed);
        *self.today.entry(class).or_insert(0.0) += 1.0;
        let all: f64 = self.before.values().sum();
        if all < FEW {
            return claimed;
        }
        let above: f64 = self.before.range(class..).map(|(_, n)| n).sum();
        claimed.min(e_of_p((1.0 + above) / (1.0 + all)))
    }

    /// Today is over.
    pub fn next_day(&mut self) {
        self.before.values_mut().for_each(|n| *n *= DECAY);
        for (class, n) in std::mem::take(&mut self.today) {
            *self.before.entry(class).or_insert(0.0) += n;
        }
        self.before.retain(|_, n| *n >= 0.01);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn class(e: f64) -> i32 {
    (e.ln() / CLASS).floor().clamp(-2_000.0, 8_000.0) as i32
}
