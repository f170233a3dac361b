//! What a rule cost on real logs, for `explain`.

use std::fmt::Write as _;
use std::time::Duration;

use super::output::{bytes, thousands};
use crate::engine::RuleFigures;

/// The rules' newest figures, with the most that each kept at a time.
#[derive(Debug, Default)]
pub struct Measured(Vec<RuleFigures>);

impl Measured {
    /// Takes in how things are now.
    pub fn look(&mut self, now: Vec<RuleFigures>) {
        let before = std::mem::replace(&mut self.0, now);
        for (rule, before) in self.0.iter_mut().zip(before) {
            if before.state_bytes > rule.state_bytes {
                (rule.state_bytes, rule.groups) = (before.state_bytes, before.groups);
            }
        }
    }

    /// The text. `requests` were read in `time`; looking into open windows took `early` of it.
    pub fn render(&self, requests: u64, early: Duration, time: Duration) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "measured on {} requests in {:.1} s, with no rule beside it but the baselines it joins; times are of one thread:",
            thousands(requests),
            time.as_secs_f64()
        );
        for RuleFigures { id, work, groups, state_bytes, .. } in &self.0 {
            let _ = writeln!(text, "{id}");
            let share = 100 * work.rows / requests.max(1);
            let _ = writeln!(text, "   met its WHERE  {} requests, {share} %", thousands(work.rows));
            let _ = writeln!(
                text,
                "   aggregating    {} a request that met it, {} a request",
                each(work.aggregating, work.rows),
                each(work.aggregating, requests)
            );
            let _ = writeln!(
                text,
                "   closing        {} windows, {} each, {} a request",
                thousands(work.windows),
                each(work.closing, work.windows),
                each(work.closing, requests)
            );
            let _ = writeln!(
                text,
                "   kept at most   {} groups by pane in {}, {} a group",
                thousands(*groups as u64),
                bytes(*state_bytes as u64),
                bytes((*state_bytes / (*groups).max(1)) as u64)
            );
            let _ = writeln!(text, "   returned       {} rows", thousands(work.found));
        }
        let _ = writeln!(text, "looking into open windows: {} a request", each(early, requests));
        text
    }
}

/// A part of a time, in a unit that suits it.
fn each(time: Duration, parts: u64) -> String {
    let ns = time.as_nanos() / u128::from(parts.max(1));
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} µs", ns / 1_000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Work;

    #[test]
    fn the_most_that_was_kept_and_the_newest_counts() {
        let figures = |rows, groups, state_bytes| RuleFigures {
            id: "a/b".into(),
            work: Work {
                rows,
                aggregating: Duration::from_micros(60),
                windows: 2,
                closing: Duration::from_millis(5),
                found: 3,
            },
            groups,
            state_bytes,
            closed_to: 0,
        };
        let mut measured = Measured::default();
        for figures in [figures(10, 5, 100), figures(500, 100, 8_192), figures(1_500, 7, 700)] {
            measured.look(vec![figures]);
        }
        let text = measured.render(2_000, Duration::from_micros(4), Duration::from_millis(1_500));
        let expected = "\
measured on 2,000 requests in 1.5 s, with no rule beside it but the baselines it joins; times are of one thread:
a/b
   met its WHERE  1,500 requests, 75 %
   aggregating    40 ns a request that met it, 30 ns a request
   closing        2 windows, 2500 µs each, 2500 ns a request
   kept at most   100 groups by pane in 8.2 kB, 81 B a group
   returned       3 rows
looking into open windows: 2 ns a request
";
        assert_eq!(text, expected);
    }
}
