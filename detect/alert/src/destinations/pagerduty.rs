//! `PagerDuty` Events API v2, <https://developer.pagerduty.com/docs/events-api-v2-overview>: post to
//! `https://events.pagerduty.com/v2/enqueue`. The routing key is the destination's key.
//!
//! `dedup_key` is the alert's fingerprint: a later state adds to the incident that the first one opened.

use serde_json::{Map, Value, json};

use super::text::{cut, evidence, inert, summary, value};
use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::Status;
use crate::finding::Severity;
use crate::time;

pub(super) const STYLE: Description =
    Description { name: "pagerduty", needs: Needs::Key, max_body: MAX_BODY, build: request, digest: None };

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let key = notification.key.unwrap_or_default();
    if alert.status == Status::Resolved {
        let resolve = json!({"routing_key": key, "event_action": "resolve", "dedup_key": alert.fingerprint});
        return Request::json(&resolve);
    }
    let named = |(name, v): (&String, &Value)| (inert(name, 64), Value::from(value(v, 500)));
    let mut details: Map<String, Value> = alert.values.iter().map(named).collect();
    details.insert("entity".into(), alert.entity.iter().map(named).collect::<Map<_, _>>().into());
    details.insert("evidence".into(), evidence(alert, 20, 1000).into());
    details.insert("alert".into(), json!(alert.id));
    details.insert("incident".into(), json!(alert.incident));
    if let Some(owner) = &alert.handling.owner {
        details.insert("owner".into(), json!(inert(owner, 200)));
    }
    let mut text = summary(alert);
    cut(&mut text, 1_000);
    let links: Vec<_> = alert.handling.runbook.iter().map(|link| json!({"href": link, "text": "Runbook"})).collect();
    Request::json(&json!({
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": alert.fingerprint,
        "client": "Tripline",
        "links": links,
        "payload": {
            "summary": text,
            "source": "tripline",
            "severity": severity(alert.severity),
            "timestamp": time::to_text(alert.detected_at),
            "class": inert(&alert.rule, 200),
            // By which PagerDuty can make one incident of a campaign.
            "group": alert.incident,
            "custom_details": details,
        },
    }))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}
