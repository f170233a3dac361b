//! The page `/metrics`: `OpenMetrics` text, which Prometheus reads. Times are seconds, sizes bytes, as is usual there.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tripline_alert::Outcome;
use tripline_alert::figures::OutboxFigures;

use super::{ExceptionFigures, Report, SourceCounts};
use crate::engine::RuleFigures;

/// What the state directory knows.
#[derive(Debug)]
pub struct Alerts {
    /// Open alerts by rule.
    pub open: Vec<(String, u64)>,
    /// Messages that wait.
    pub outbox: Vec<OutboxFigures>,
    /// Destinations that are left alone.
    pub failing: Vec<String>,
    /// What became of tries, by destination.
    pub tries: BTreeMap<String, Outcome>,
}

/// All that a page shows.
#[derive(Debug)]
pub struct Scrape {
    /// As of the last second.
    pub report: Report,
    /// Whether the state can be written.
    pub writable: bool,
    /// `None`: not known.
    pub alerts: Option<Alerts>,
    /// The wall clock, µs since 1970.
    pub now: i64,
}

/// The text.
pub fn render(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    // (writing to a String does not fail)
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// Labels, and a value.
type Sample<'a> = (Vec<(&'static str, &'a str)>, f64);

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> Result<(), fmt::Error> {
        self.family(name, help, MetricType::Gauge, samples)
    }

    /// (`_total` is added to the name.)
    fn counter<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> Result<(), fmt::Error> {
        self.family(name, help, MetricType::Counter, samples)
    }

    fn family<'s>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> Result<(), fmt::Error> {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                put(&mut family, kind, value)?;
            } else {
                put(&mut family.encode_family(&labels)?, kind, value)?;
            }
        }
        Ok(())
    }
}

fn put(sample: &mut MetricEncoder, kind: MetricType, value: f64) -> Result<(), fmt::Error> {
    match kind {
        MetricType::Counter => sample.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        _ => sample.encode_gauge(&value),
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        self.program(&mut page)?;
        self.sources(&mut page)?;
        self.rules(&mut page)?;
        self.alerts(&mut page)
    }
}

impl Scrape {
    fn program(&self, page: &mut Page) -> Result<(), fmt::Error> {
        let report = &self.report;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        page.gauge("tripline_build_info", "The program's version", [(version, 1.0)])?;
        page.counter("tripline_commits", "Transactions that wrote the state", [plain(number(report.counts.commits))])?;
        let help = "Whether the state directory can be written; while it cannot, nothing is read";
        page.gauge("tripline_state_writable", help, [plain(f64::from(u8::from(self.writable)))])?;
        page.gauge("tripline_state_bytes", "Memory of all rules' state", [plain(number(report.state_bytes as u64))])?;
        let help = "Above this the largest state is given up, by name";
        page.gauge("tripline_state_limit_bytes", help, [plain(number(report.memory_limit))])?;
        let help = "Time spent on looking into open windows";
        page.counter("tripline_early_look_seconds", help, [plain(report.early_time.as_secs_f64())])
    }

    fn sources(&self, page: &mut Page) -> Result<(), fmt::Error> {
        let counts = &self.report.counts;
        let each = |value: fn(&SourceCounts) -> u64| {
            counts.sources.iter().map(move |(path, source)| (vec![("source", path.as_str())], number(value(source))))
        };
        page.counter("tripline_source_requests", "Lines that are requests", each(|s| s.rows))?;
        page.counter("tripline_source_rejected_lines", "Lines that are none", each(|s| s.rejects))?;
        page.counter(
            "tripline_source_other_layer_requests",
            "Requests of which another layer's row counts",
            each(|s| s.other_layer),
        )?;
        page.counter("tripline_source_late_requests", "Requests too late for a window of theirs", each(|s| s.late))?;
        let help = "Truncations of followed files: lines may be lost";
        page.counter("tripline_source_truncations", help, each(|s| s.truncations))?;
        page.gauge("tripline_source_files", "Files that are followed", each(|s| s.files))?;
        page.gauge("tripline_source_unread_files", "Files with lines that are not read yet", each(|s| s.unread))?;
        let lag = counts.sources.iter().filter_map(|(path, source)| {
            let behind = seconds(self.now.saturating_sub(source.newest?));
            Some((vec![("source", path.as_str())], behind))
        });
        page.gauge("tripline_source_lag_seconds", "Age of the newest request", lag)?;
        let rejects = counts.rejects.iter();
        let rejects =
            rejects.map(|((format, reason), &n)| (vec![("format", format.as_str()), ("reason", *reason)], number(n)));
        page.counter("tripline_rejected_lines", "Lines that are no requests, by why", rejects)
    }

    fn rules(&self, page: &mut Page) -> Result<(), fmt::Error> {
        let rules = &self.report.rules;
        let each = |value: fn(&RuleFigures) -> f64| {
            rules.iter().map(move |rule| (vec![("rule", rule.id.as_str())], value(rule)))
        };
        page.counter("tripline_rule_requests", "Requests that met the rule's WHERE", each(|r| number(r.work.rows)))?;
        let help = "Time spent on aggregating them, of what is shared a part";
        page.counter("tripline_rule_aggregate_seconds", help, each(|r| r.work.aggregating.as_secs_f64()))?;
        page.gauge("tripline_rule_groups", "Groups that are kept, by pane", each(|r| number(r.groups as u64)))?;
        let help = "Memory of the rule's state, of what is shared a part";
        page.gauge("tripline_rule_state_bytes", help, each(|r| number(r.state_bytes as u64)))?;
        page.counter("tripline_rule_windows_closed", "Windows that were closed", each(|r| number(r.work.windows)))?;
        let help = "Time spent on closing them";
        page.counter("tripline_rule_close_seconds", help, each(|r| r.work.closing.as_secs_f64()))?;
        page.counter("tripline_rule_result_rows", "Rows of closed windows", each(|r| number(r.work.found)))?;
        let closed = rules.iter().filter(|rule| rule.closed_to > i64::MIN);
        let lag = closed.map(|r| (vec![("rule", r.id.as_str())], seconds(self.now.saturating_sub(r.closed_to))));
        page.gauge("tripline_rule_lag_seconds", "Age of the end of the last window that is closed", lag)?;
        let troubles = self.report.counts.troubles.iter();
        let troubles = troubles.map(|(rule, &n)| (vec![("rule", rule.as_str())], number(n)));
        page.counter("tripline_rule_troubles", "Times that the rule lost windows", troubles)?;
        let exceptions = |value: fn(&ExceptionFigures) -> f64| {
            let all = self.report.exceptions.iter();
            all.map(move |exception| (vec![("exception", exception.name.as_str())], value(exception)))
        };
        let help = "Requests that an exception covered, since it is in the config";
        page.counter("tripline_exception_requests", help, exceptions(|e| number(e.hits)))?;
        let help = "When an exception ends, event time, since 1970";
        page.gauge("tripline_exception_end_seconds", help, exceptions(|e| seconds(e.ends)))
    }

    fn alerts(&self, page: &mut Page) -> Result<(), fmt::Error> {
        let told = self.report.counts.alerts.iter();
        let told =
            told.map(|((rule, status), &n)| (vec![("rule", rule.as_str()), ("status", status.name())], number(n)));
        page.counter("tripline_alerts", "States that alerts came into", told)?;
        let Some(alerts) = &self.alerts else { return Ok(()) };
        let open = alerts.open.iter().map(|(rule, n)| (vec![("rule", rule.as_str())], number(*n)));
        page.gauge("tripline_alerts_open", "Alerts that are not resolved", open)?;
        // Each destination has a value, also where nothing waits.
        let mut waiting: BTreeMap<&str, (u64, f64)> = alerts.tries.keys().map(|d| (d.as_str(), (0, 0.0))).collect();
        for outbox in &alerts.outbox {
            let age = seconds(self.now.saturating_sub(outbox.oldest_ms.saturating_mul(1000)));
            waiting.insert(&outbox.destination, (outbox.pending, age));
        }
        let depth = waiting.iter().map(|(name, (n, _))| (vec![("destination", *name)], number(*n)));
        page.gauge("tripline_outbox_messages", "Messages to be sent", depth)?;
        let age = waiting.iter().map(|(name, (_, age))| (vec![("destination", *name)], *age));
        page.gauge("tripline_outbox_oldest_seconds", "Age of the oldest of them", age)?;
        let open = alerts.tries.keys().map(|destination| {
            let open = alerts.failing.contains(destination);
            (vec![("destination", destination.as_str())], f64::from(u8::from(open)))
        });
        let help =
            "Whether a destination is left alone since hardly a request was answered, or since it said that it is gone";
        page.gauge("tripline_destination_breaker_open", help, open)?;
        let tries = alerts.tries.iter().flat_map(|(destination, outcome)| {
            let Outcome { delivered, retrying, dead, refused, .. } = *outcome;
            let results = [("delivered", delivered), ("failed", retrying), ("dead", dead), ("gone", refused)];
            results.map(|(result, n)| (vec![("destination", destination.as_str()), ("result", result)], number(n)))
        });
        page.counter("tripline_delivery_tries", "Tries to deliver, by what came of them", tries)
    }
}

fn plain(value: f64) -> Sample<'static> {
    (Vec::new(), value)
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
fn number(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
