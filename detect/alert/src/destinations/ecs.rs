//! Elastic Common Schema 8.17, `event.kind: alert`, <https://www.elastic.co/guide/en/ecs/8.17/index.html>: one document, for
//! `POST /INDEX/_doc`. The `Authorization` header (`ApiKey ...`) is the destination's key.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::text::{inert, summary, value};
use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::Alert;
use crate::time;

pub(super) const STYLE: Description =
    Description { name: "ecs", needs: Needs::Nothing, max_body: MAX_BODY, build: request, digest: None };

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    // Texts only: a name must have one type in all documents of an index.
    let named = |(name, v): (&String, &Value)| (label(name), Value::from(value(v, 1_000)));
    let mut labels: Map<String, Value> = alert.entity.iter().map(named).chain(alert.values.iter().map(named)).collect();
    labels.extend(alert.handling.owner.iter().map(|owner| ("owner".to_owned(), json!(inert(owner, 200)))));
    let mut document = json!({
        "@timestamp": time::to_text(alert.detected_at),
        "ecs": {"version": "8.17.0"},
        "message": summary(alert),
        "event": {
            "kind": "alert",
            "category": ["web"],
            "type": ["info"],
            "module": "tripline",
            "dataset": "tripline.alert",
            "provider": "tripline",
            "id": notification.id,
            "action": format!("alert-{}", alert.status.name()),
            "severity": alert.severity as u8,
            "sequence": alert.sequence,
            "start": time::to_text(alert.first_seen),
            "end": time::to_text(alert.window.end),
        },
        "rule": {"id": alert.rule, "name": inert(&alert.title, 500), "reference": alert.handling.runbook},
        "labels": labels,
        "tags": alert.owasp,
        "threat": {"framework": "MITRE ATT&CK", "technique": {"id": alert.attack}},
        "tripline": {
            "alert": alert.id, "incident": alert.incident, "status": alert.status, "severity": alert.severity, "fingerprint": alert.fingerprint,
            "provisional": alert.provisional, "truncated": alert.truncated, "evidence": alert.evidence,
        },
    });
    // A field of type `ip` takes nothing else: one bad value and the document is refused.
    let ips: Vec<_> = alert.entity.values().filter_map(ip).collect();
    if let Some(client) = ["client_ip", "client"].iter().find_map(|name| ip(alert.entity.get(*name)?)) {
        document["source"] = json!({"ip": client});
    }
    if !ips.is_empty() {
        document["related"]["ip"] = json!(ips);
    }
    if let Some(user) = user(alert) {
        document["user"] = json!({"name": user});
        document["related"]["user"] = json!([user]);
    }
    Request::json(&document)
}

fn ip(value: &Value) -> Option<String> {
    value.as_str()?.parse::<IpAddr>().ok().map(|ip| ip.to_string())
}

fn user(alert: &Alert) -> Option<String> {
    alert.entity.get("user").filter(|v| !v.is_null()).map(|v| value(v, 200))
}

/// Dots would nest.
fn label(name: &str) -> String {
    inert(name, 64).replace('.', "_")
}
