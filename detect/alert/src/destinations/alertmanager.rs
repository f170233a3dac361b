//! Prometheus Alertmanager: posts to its API v2 (`http://HOST:9093/api/v2/alerts`), so that its routing, silences and paging
//! can be used. <https://github.com/prometheus/alertmanager/blob/v0.27.0/api/v2/openapi.yaml>
//!
//! Labels go into other systems' messages from there, unescaped: what could be markup is written as `\u{..}`.

use std::collections::BTreeMap;

use serde_json::json;

use super::text::{headline, inert, summary, value};
use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::{Alert, Status};
use crate::time;

pub(super) const STYLE: Description =
    Description { name: "alertmanager", needs: Needs::Nothing, max_body: MAX_BODY, build: request, digest: None };

/// How long Alertmanager keeps an alert firing if it hears no more of it, ms: by then it has been updated or resolved,
/// whatever retries it took.
const HOLDS_MS: i64 = 7 * 86_400_000;

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let (start, end) = times(notification);
    Request::json(&json!([{
        "labels": labels(alert),
        "annotations": annotations(alert),
        "startsAt": time::to_text(start),
        "endsAt": time::to_text(end),
    }]))
}

/// Since when it fires, and until when unless something newer is told, µs. Resolved: until no later than now.
fn times(notification: &Notification<'_>) -> (i64, i64) {
    let alert = notification.alert;
    let sent = notification.sent_ms.saturating_mul(1_000);
    let start = alert.fired_at.unwrap_or(alert.detected_at).min(sent.saturating_sub(1_000_000));
    let end = match alert.status {
        Status::Resolved => alert.detected_at.min(sent).max(start.saturating_add(1_000_000)),
        Status::Firing | Status::Updated => sent.saturating_add(HOLDS_MS * 1_000),
    };
    (start, end)
}

/// What it is: the same in all of its states.
pub(super) fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> =
        alert.entity.iter().take(30).map(|(name, v)| (label_name(name), unmarked(&value(v, 500)))).collect();
    let own = [
        ("alertname", &alert.rule),
        ("severity", &alert.severity.name().to_owned()),
        ("service", &"tripline".to_owned()),
        ("fingerprint", &alert.fingerprint),
        ("incident", &alert.incident),
    ];
    labels.extend(own.map(|(name, text)| (name.to_owned(), unmarked(text))));
    labels.extend(alert.handling.owner.iter().map(|owner| ("owner".to_owned(), unmarked(&inert(owner, 200)))));
    labels
}

/// What it says now.
pub(super) fn annotations(alert: &Alert) -> BTreeMap<String, String> {
    let values: Vec<_> =
        alert.values.iter().map(|(name, v)| format!("{}={}", inert(name, 64), value(v, 200))).collect();
    let mut annotations = BTreeMap::from([
        ("title".to_owned(), unmarked(&headline(alert))),
        ("summary".to_owned(), unmarked(&summary(alert))),
        ("description".to_owned(), unmarked(&inert(&values.join(", "), 4_000))),
        ("alert_id".to_owned(), alert.id.clone()),
    ]);
    if let Some(first) = alert.evidence.first() {
        annotations.insert("evidence".into(), unmarked(&inert(&first.raw, 1_024)));
    }
    annotations.extend(alert.handling.runbook.iter().map(|link| ("runbook_url".to_owned(), link.clone())));
    annotations
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, and none of our own.
fn label_name(name: &str) -> String {
    let fits = |(i, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || i > 0 && c.is_ascii_digit();
    let name: String = name.chars().take(64).enumerate().map(|(i, c)| if fits((i, c)) { c } else { '_' }).collect();
    match name.as_str() {
        "" | "alertname" | "severity" | "service" | "fingerprint" | "incident" | "owner" => format!("entity_{name}"),
        _ => name,
    }
}

fn unmarked(text: &str) -> String {
    text.replace('<', "\\u{3c}").replace('>', "\\u{3e}").replace('&', "\\u{26}")
}
