//! How a rule runs, for people.

use std::fmt::Write;

use super::Engine;
use super::compile::Split;
use super::rule::{Part, RuleState};

impl Engine {
    /// What a rule keeps, with whom it shares, what that costs, and the plan above it. `None`: there is no such rule.
    pub fn explain(&self, id: &str) -> Option<String> {
        let rule = self.rules.iter().find(|r| r.compiled.rule.id == id)?;
        let mut text = String::new();
        // (writing to a String does not fail)
        let _ = self.describe(rule, &mut text);
        Some(text)
    }

    fn describe(&self, rule: &RuleState, text: &mut String) -> std::fmt::Result {
        let window = rule.compiled.window;
        writeln!(text, "{}: {}", rule.compiled.rule.id, rule.compiled.rule.header.title)?;
        writeln!(text, "windows of {}, one every {}", time(window.size), time(window.slide))?;
        let baselines: Vec<_> = rule.compiled.baselines_used().map(|name| format!("the baseline {name}")).collect();
        let columns = Some(format!("the columns {}", rule.compiled.columns.join(", ")));
        let columns = columns.filter(|_| !rule.compiled.columns.is_empty());
        writeln!(text, "reads {}", columns.into_iter().chain(baselines).collect::<Vec<_>>().join(", "))?;
        for (number, (part, split)) in rule.parts.iter().zip(&rule.compiled.splits).enumerate() {
            self.describe_part(rule, number + 1, (part, split), text)?;
        }
        if let Some(peers) = &rule.compiled.peers {
            writeln!(text, "{}", peers.describe())?;
        }
        if let Some(budget) = &rule.budget {
            writeln!(text, "{}", budget.describe())?;
        }
        let early = if rule.compiled.settles() {
            "at once: more rows cannot take back what its conditions say, so it fires with the request that settles them"
        } else {
            "when the window closes: more rows may change what its conditions say, or they compare several aggregates"
        };
        writeln!(text, "tells a finding {early}")?;
        for warning in rule.compiled.warnings() {
            writeln!(text, "could be cheaper: {}; {}", warning.message, warning.help.unwrap_or_default())?;
        }
        writeln!(
            text,
            "\nwhen a window closes, this runs over the groups that are left:\n{}",
            rule.compiled.rest_plan()
        )
    }

    fn describe_part(
        &self,
        rule: &RuleState,
        number: usize,
        (part, split): (&Part, &Split),
        text: &mut String,
    ) -> std::fmt::Result {
        let store = &self.stores[part.store];
        writeln!(text, "\n{number}. {}", store.grouping.describe())?;
        let aggregates: Vec<_> = store.aggregates.iter().map(super::state::aggregate::Aggregate::describe).collect();
        writeln!(text, "   keeps of each group and pane of {}: {}", time(store.slide), listed(&aggregates))?;
        let known = split.costs().into_iter().filter_map(|(call, cost)| Some((call, cost?)));
        let costs = known.filter(|(_, cost)| cost.group > 0).map(|(call, cost)| format!("{call} {}", cost.describe()));
        let costs: Vec<_> = costs.collect();
        if !costs.is_empty() {
            writeln!(text, "   of memory, beside key and count: {}", costs.join(", "))?;
        }
        let panes = store.retain / store.slide;
        writeln!(
            text,
            "   for {panes} pane{}; a row is aggregated once, whatever the overlap",
            if panes == 1 { "" } else { "s" }
        )?;
        let others: Vec<_> = self
            .rules
            .iter()
            .filter(|r| r.compiled.rule.id != rule.compiled.rule.id && r.uses(part.store))
            .map(|r| r.compiled.rule.id.clone())
            .collect();
        if !others.is_empty() {
            writeln!(text, "   shared with {}: that work is done once for all of them", others.join(", "))?;
        }
        match part.threshold {
            Some(threshold) => writeln!(
                text,
                "   a window looks only at groups with at least {} rows{}",
                threshold.rows,
                if store.aggregates_later() { ", and only those are aggregated" } else { "" }
            ),
            None => writeln!(
                text,
                "   a window looks at every group: a HAVING with count(*) or approx_distinct(..) >= a number would make that cheap"
            ),
        }
    }
}

fn listed(aggregates: &[String]) -> String {
    if aggregates.is_empty() { "that it was seen".into() } else { aggregates.join(", ") }
}

/// A duration, in its largest whole unit.
pub fn time(us: i64) -> String {
    let units = [(86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second")];
    let (unit, name) = units.into_iter().find(|(unit, _)| us % unit == 0).unwrap_or((1, "µs"));
    format!("{} {name}{}", us / unit, if us / unit == 1 { "" } else { "s" })
}
