//! Other rules, with the state of those that stay.

use datafusion::common::Result;

use super::Engine;
use crate::budget::Budget;

impl Engine {
    /// Goes on with the rules of `new`. Rules that are the same keep their state, also where a threshold has changed; the others
    /// begin with the next whole window. Returns what there is to tell. The next checkpoint is a whole one: delete the rows
    /// of those before.
    pub fn take_over(&mut self, new: Self) -> Result<Vec<String>> {
        let mut new = new.with_stopwatch(self.stopwatch.clone()).with_alert_budget(self.alerts_per_day);
        self.forget_saved();
        let rows = self.checkpoint()?.puts;
        let (notices, _) = new.restore(rows);
        for (table, old) in std::mem::take(&mut self.baselines) {
            if let Some(baseline) = new.baselines.get_mut(&table) {
                baseline.take_over(old);
            }
        }
        new.forget_saved();
        new.memory_limit = self.memory_limit;
        new.count_on(self);
        new.troubles = std::mem::take(&mut self.troubles);
        *self = new;
        Ok(notices)
    }

    /// Writes everything with the next checkpoint.
    fn forget_saved(&mut self) {
        self.saved_stores.clear();
        self.rules.iter_mut().for_each(|rule| {
            rule.saved = false;
            rule.budget.iter_mut().for_each(Budget::forget_saved);
        });
        self.stores.iter_mut().for_each(super::state::Store::forget_saved);
    }
}
