//! The scope of an incident: which requests belong to its campaign, since it began.
//!
//! Each alert of the incident names what it is about by columns; of these, those of `requests` say which requests are meant: all
//! requests of this client on this route. The campaign began with the first of them before which there was none for a while: it may be
//! long before the first alert, for a slow campaign stays below every threshold at first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tripline_alert::{Alert, Status};

/// Columns of `requests` that alerts are about, as far as they say who asked for what.
const COLUMNS: [&str; 10] =
    ["client", "client_ip", "host", "method", "object", "path", "route", "session", "user", "user_agent"];

/// Which requests an incident is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// SQL over `requests`.
    pub condition: String,
    /// The earliest window's start, µs.
    pub first_seen: i64,
    /// The end of the last window, µs; `None`: an alert is still open.
    pub until: Option<i64>,
    /// Ids of alerts that name no column of `requests`, or whose values were cut.
    pub unclear: Vec<String>,
}

/// A value that an alert names a column by; `None`: NULL.
type Cell = Option<String>;

impl Scope {
    /// Of the alerts of an incident. `None`: none of them says which requests it is about.
    pub fn of(alerts: &[Alert]) -> Option<Self> {
        let mut unclear = Vec::new();
        // By columns and all values but those of the first column, which are many: the conditions stay few.
        let mut groups: BTreeMap<(Vec<&str>, Vec<Cell>), BTreeSet<Cell>> = BTreeMap::new();
        for alert in alerts {
            let cells = COLUMNS.iter().filter_map(|name| Some((*name, cell(alert.entity.get(*name)?)?)));
            let (names, cells): (Vec<&str>, Vec<Cell>) = cells.unzip();
            match cells.split_first() {
                // (what was cut ends in `…`, as nothing else does)
                Some((first, rest)) if !cells.iter().flatten().any(|text| text.ends_with('…')) => {
                    groups.entry((names, rest.to_vec())).or_default().insert(first.clone());
                }
                _ => unclear.push(alert.id.clone()),
            }
        }
        let conditions: Vec<String> =
            groups.iter().map(|((names, rest), firsts)| all_of(names, rest, firsts)).collect();
        let open = alerts.iter().any(|a| a.status != Status::Resolved);
        (!conditions.is_empty()).then(|| Self {
            condition: conditions.join(" OR "),
            first_seen: alerts.iter().map(|a| a.first_seen).min().unwrap_or_default(),
            until: if open { None } else { alerts.iter().map(|a| a.window.end).max() },
            unclear,
        })
    }

    /// Counts the campaign's requests by hour, the newest first: columns `hour` (µs since 1970) and `n`.
    pub fn hours(&self) -> String {
        format!(
            "SELECT arrow_cast(date_trunc('hour', ts), 'Int64') AS hour, count(*) AS n FROM requests
             WHERE ({}){} GROUP BY 1 ORDER BY 1 DESC",
            self.condition,
            self.before()
        )
    }

    /// What was asked for since `began` (µs), by whom and when.
    pub fn objects(&self, began: i64) -> String {
        format!(
            "SELECT object, client, route, count(*) AS requests,
                 count(*) FILTER (WHERE status BETWEEN 200 AND 299) AS answered, sum(bytes_out) AS bytes,
                 min(ts) AS first, max(ts) AS last
             FROM requests WHERE ({}) AND ts >= {}{}
             GROUP BY object, client, route ORDER BY first, client, route, object",
            self.condition,
            instant(began),
            self.before()
        )
    }

    fn before(&self) -> String {
        self.until.map_or_else(String::new, |until| format!(" AND ts < {}", instant(until)))
    }

    /// When the campaign began: the first of the hours (the newest first) before which there were none for longer than `gap`, all µs.
    /// `None`: there were no requests at all.
    pub fn began(&self, hours: &[i64], gap: i64) -> Option<i64> {
        let mut began = None;
        for &hour in hours {
            // Whatever the pauses, nothing since the first alert is left out.
            let close = began.is_none_or(|began: i64| began.min(self.first_seen).saturating_sub(hour) <= gap);
            if !close && hour < self.first_seen {
                break;
            }
            began = Some(hour);
        }
        began
    }
}

fn cell(value: &Value) -> Option<Cell> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    }
}

fn all_of(names: &[&str], rest: &[Cell], firsts: &BTreeSet<Cell>) -> String {
    let rest = names.iter().skip(1).zip(rest).map(|(name, cell)| one_of(name, &BTreeSet::from([cell.clone()])));
    let first = names.first().map(|name| one_of(name, firsts));
    format!("({})", first.into_iter().chain(rest).collect::<Vec<_>>().join(" AND "))
}

fn one_of(name: &str, cells: &BTreeSet<Cell>) -> String {
    let texts: Vec<String> = cells.iter().flatten().map(|text| literal(text)).collect();
    let null = cells.contains(&None).then(|| format!("\"{name}\" IS NULL"));
    let any = (!texts.is_empty()).then(|| format!("\"{name}\" IN ({})", texts.join(", ")));
    format!("({})", null.into_iter().chain(any).collect::<Vec<_>>().join(" OR "))
}

/// A text in SQL.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time in SQL, from µs.
pub fn instant(us: i64) -> String {
    format!("arrow_cast({us}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOUR: i64 = 3_600_000_000;

    fn alert(entity: &Value, first_seen: &str, status: &str) -> Alert {
        serde_json::from_value(json!({
            "id": format!("alr_{entity}"), "incident": "inc_1", "rule": "a/b", "title": "t", "severity": "high", "status": status,
            "entity": entity, "window": {"start": first_seen, "end": "2026-03-02T10:00:00Z"}, "first_seen": first_seen,
            "detected_at": first_seen, "values": {}, "evidence": [], "owasp": [], "attack": [], "fingerprint": "f",
            "episode_start": first_seen, "sequence": 1, "findings": 1, "truncated": false,
        }))
        .unwrap()
    }

    #[test]
    fn conditions_say_what_the_alerts_do_and_no_text_breaks_out() {
        let at = "2026-03-02T09:00:00Z";
        let alerts = [
            alert(&json!({"client": "192.0.2.7", "route": "/a'b"}), at, "resolved"),
            alert(&json!({"client": "192.0.2.8", "route": "/a'b", "hour": 7}), at, "resolved"),
            alert(&json!({"client": "x') OR TRUE --"}), "2026-03-02T08:00:00Z", "resolved"),
            alert(&json!({"user": null}), at, "resolved"),
            alert(&json!({"cohort": "x"}), at, "resolved"),
            alert(&json!({"path": "/cut…"}), at, "resolved"),
        ];
        let scope = Scope::of(&alerts).unwrap();
        assert_eq!(
            scope.condition,
            "((\"client\" IN ('x'') OR TRUE --'))) OR \
             ((\"client\" IN ('192.0.2.7', '192.0.2.8')) AND (\"route\" IN ('/a''b'))) OR ((\"user\" IS NULL))"
        );
        assert_eq!(scope.unclear.len(), 2);
        assert_eq!((scope.until.unwrap() - scope.first_seen) / HOUR, 2);
        assert_eq!(Scope::of(&[alert(&json!({"client": "1"}), at, "updated")]).unwrap().until, None);
        assert_eq!(Scope::of(&alerts[4..]), None);
    }

    #[test]
    fn a_campaign_goes_back_to_where_nothing_was_for_a_while() {
        let scope = Scope::of(&[alert(&json!({"client": "1"}), "2026-03-02T09:00:00Z", "firing")]).unwrap();
        let hours = |before: &[i64]| before.iter().map(|h| scope.first_seen - h * HOUR).collect::<Vec<_>>();
        let began = |before: &[i64]| scope.began(&hours(before), 24 * HOUR).map(|b| (scope.first_seen - b) / HOUR);
        assert_eq!(began(&[]), None);
        assert_eq!(began(&[-3, -1, 0, 5, 28, 52]), Some(52));
        assert_eq!(began(&[-3, -1, 0, 5, 30, 52]), Some(5));
        assert_eq!(began(&[25]), Some(25), "all there is");
        // Pauses after the first alert do not matter.
        assert_eq!(began(&[-100, -50, 0, 10]), Some(10));
    }
}
