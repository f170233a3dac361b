//! Findings for a person: one table a rule, one row an alert, the worst first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use tripline_alert::Alert;

use super::output::{plain, thousands, time, value};

/// Alerts shown of one rule.
const ROWS: usize = 20;

/// The alerts of a scan, by id, each in its newest state.
#[derive(Debug, Default)]
pub struct Findings {
    alerts: BTreeMap<String, Alert>,
}

impl Findings {
    /// Takes an alert's next state.
    pub fn add(&mut self, alert: Alert) {
        self.alerts.insert(alert.id.clone(), alert);
    }

    /// How many alerts there are.
    pub fn len(&self) -> usize {
        self.alerts.len()
    }

    /// The tables.
    pub fn render(&self, width: Option<u16>) -> String {
        let mut rules: BTreeMap<&str, Vec<&Alert>> = BTreeMap::new();
        for alert in self.alerts.values() {
            rules.entry(&alert.rule).or_default().push(alert);
        }
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by_key(|(id, alerts)| (std::cmp::Reverse(alerts[0].severity), *id));
        let mut text = String::new();
        for (id, mut alerts) in rules {
            alerts.sort_by_key(|a| (a.first_seen, a.id.clone()));
            let first = alerts[0];
            let owasp = if first.owasp.is_empty() { String::new() } else { format!(" ({})", first.owasp.join(", ")) };
            let _ =
                writeln!(text, "{}  {}{owasp}", first.severity.to_string().to_uppercase(), plain(&first.title, 120));
            let _ = writeln!(text, "rule {id}, {} alert{}", alerts.len(), if alerts.len() == 1 { "" } else { "s" });
            let _ = writeln!(text, "{}", table(&alerts[..alerts.len().min(ROWS)], width));
            if alerts.len() > ROWS {
                let _ = writeln!(
                    text,
                    "... and {} more; --format json has them all",
                    thousands((alerts.len() - ROWS) as u64)
                );
            }
            text.push('\n');
        }
        text
    }
}

/// Columns: the entity, from, to, and the newest window's values.
fn table(alerts: &[&Alert], width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(width);
    }
    let first = alerts[0];
    let names = first.entity.keys().map(String::as_str);
    table.set_header(
        names.chain(["first seen (UTC)", "last seen", "windows"]).chain(first.values.keys().map(String::as_str)),
    );
    for alert in alerts {
        let when = [time(alert.first_seen), time(alert.window.end), thousands(alert.findings)];
        table.add_row(alert.entity.values().map(value).chain(when).chain(alert.values.values().map(value)));
    }
    table
}
