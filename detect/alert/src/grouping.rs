//! Grouping: for people who read messages, alerts of one group go together.
//!
//! The first alert of a group goes at once. What follows is gathered: the second message goes no sooner than `wait` after the first,
//! each further one no sooner than `interval` after the one before. A group that said nothing for `interval` begins anew. The times are
//! those at which alerts are committed, and stand in the state file, so that a kill changes none.

use crate::alert::Alert;

/// What makes a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// Alerts of one rule.
    Rule,
    /// Alerts of one campaign.
    Incident,
}

/// How a destination's alerts are grouped. Times are ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping {
    /// What makes a group.
    pub by: GroupBy,
    /// From the first message to the second, at least.
    pub wait_ms: i64,
    /// From any later message to the next, at least.
    pub interval_ms: i64,
    /// An alert that goes on is told again no sooner than this.
    pub repeat_ms: i64,
}

/// The newest message of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When it goes, or went: wall clock, ms since 1970.
    pub(crate) at_ms: i64,
    /// Whether it is the group's first.
    pub(crate) first: bool,
}

impl Grouping {
    /// 10 s, 5 min and 4 h, as is usual (Alertmanager has 30 s for the first, and waits with the first alert, too).
    pub fn usual(by: GroupBy) -> Self {
        Self { by, wait_ms: 10_000, interval_ms: 300_000, repeat_ms: 4 * 3_600_000 }
    }

    /// The group of an alert.
    pub(crate) fn key(&self, alert: &Alert) -> String {
        match self.by {
            GroupBy::Rule => format!("rule {}", alert.rule),
            GroupBy::Incident => alert.incident.clone(),
        }
    }

    /// The message that an alert of `now` goes with; `last`: the group's newest so far.
    pub(crate) fn turn(&self, last: Option<Turn>, now: i64) -> Turn {
        let begin = Turn { at_ms: now, first: true };
        let Some(last) = last else { return begin };
        let gap = if last.first { self.wait_ms } else { self.interval_ms };
        match now.saturating_sub(last.at_ms) {
            // The clock was set back.
            since if since < -self.wait_ms.max(self.interval_ms) => begin,
            ..=0 => last,
            since if since < self.interval_ms.max(gap) => {
                Turn { at_ms: now.max(last.at_ms.saturating_add(gap)), first: false }
            }
            _ => begin,
        }
    }

    /// Whether an alert that was last told at a time need not be told again.
    pub(crate) fn is_recent(&self, told_ms: i64, now: i64) -> bool {
        (0..self.repeat_ms).contains(&now.saturating_sub(told_ms))
    }
}
