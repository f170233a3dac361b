//! OCSF 1.3.0, Detection Finding (class 2004), <https://schema.ocsf.io/1.3.0/classes/detection_finding>.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::text::{summary, value};
use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::{Alert, Status};
use crate::finding::Severity;

pub(super) const STYLE: Description =
    Description { name: "ocsf", needs: Needs::Nothing, max_body: MAX_BODY, build: request, digest: None };

const CLASS: u32 = 2004;

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    // Create, Update, Close; New, In Progress, Resolved.
    let (activity, status) = match alert.status {
        Status::Firing => (1, 1),
        Status::Updated => (2, 2),
        Status::Resolved => (3, 4),
    };
    let attacks: Vec<_> = alert.attack.iter().map(|id| json!({"technique": {"uid": id, "name": id}})).collect();
    let evidences: Vec<_> = alert.evidence.iter().map(|line| json!({"data": line})).collect();
    let mut finding = json!({
        "activity_id": activity,
        "category_uid": 2,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + activity,
        "severity_id": severity(alert.severity),
        "status_id": status,
        "message": summary(alert),
        "time": ms(alert.detected_at),
        "start_time": ms(alert.window.start),
        "end_time": ms(alert.window.end),
        "count": alert.findings,
        "metadata": {
            "version": "1.3.0",
            "uid": notification.id,
            "sequence": alert.sequence,
            "correlation_uid": alert.incident,
            "product": {"name": "Tripline", "vendor_name": "Tripline", "version": env!("CARGO_PKG_VERSION")},
        },
        "finding_info": {
            "uid": alert.id,
            "title": alert.title,
            "types": alert.owasp,
            "analytic": {"type_id": 1, "uid": alert.rule, "name": alert.rule},
            "attacks": attacks,
            "first_seen_time": ms(alert.first_seen),
            "last_seen_time": ms(alert.window.end),
            "created_time": ms(alert.fired_at.unwrap_or(alert.detected_at)),
        },
        "observables": observables(alert),
        "evidences": evidences,
        "unmapped": {
            "entity": alert.entity, "values": alert.values, "fingerprint": alert.fingerprint,
            "owner": alert.handling.owner, "provisional": alert.provisional, "truncated": alert.truncated,
        },
    });
    if let Some(link) = &alert.handling.runbook {
        finding["remediation"] = json!({"desc": "What to do about it", "references": [link]});
    }
    Request::json(&finding)
}

/// Addresses and user names, which a SIEM joins by.
fn observables(alert: &Alert) -> Vec<Value> {
    let known = |(name, v): (&String, &Value)| {
        let text = v.as_str()?;
        let kind = match name.as_str() {
            _ if text.parse::<IpAddr>().is_ok() => 2,
            "user" => 4,
            _ => return None,
        };
        Some(json!({"name": format!("unmapped.entity.{name}"), "type_id": kind, "value": value(v, 500)}))
    };
    alert.entity.iter().filter_map(known).collect()
}

fn severity(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

/// OCSF counts milliseconds.
fn ms(us: i64) -> i64 {
    us.div_euclid(1_000)
}
