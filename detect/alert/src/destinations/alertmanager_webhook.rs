//! The shape that Alertmanager's own webhooks have, version 4, for receivers that were written for it.
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use serde_json::json;

use super::alertmanager::{annotations, labels};
use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::Status;
use crate::time;

pub(super) const STYLE: Description = Description {
    name: "alertmanager-webhook",
    needs: Needs::Nothing,
    max_body: MAX_BODY,
    build: request,
    digest: None,
};

/// As Alertmanager writes that there is no end yet.
const NO_END: &str = "0001-01-01T00:00:00Z";

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let labels = labels(alert);
    let annotations = annotations(alert);
    let (status, end) = match alert.status {
        Status::Resolved => ("resolved", time::to_text(alert.detected_at)),
        Status::Firing | Status::Updated => ("firing", NO_END.to_owned()),
    };
    Request::json(&json!({
        "version": "4",
        "groupKey": format!("{{}}:{{fingerprint=\"{}\"}}", alert.fingerprint),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": notification.destination,
        "groupLabels": {"alertname": labels.get("alertname")},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": time::to_text(alert.fired_at.unwrap_or(alert.detected_at)),
            "endsAt": end,
            "generatorURL": "",
            // Alertmanager's have 16 digits.
            "fingerprint": alert.fingerprint.get(..16),
        }],
    }))
}
