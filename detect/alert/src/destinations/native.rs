//! The native payload: `{"type": "alert.firing", "timestamp": ..., "data": {the alert}}`, as Standard Webhooks suggests. Its
//! schema is `schema/alert.json`, which `tripline schema alert` prints.

use serde::Serialize;

use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::Alert;
use crate::time;

/// The JSON Schema of the native payload.
pub const SCHEMA: &str = include_str!("../../schema/alert.json");

pub(super) const STYLE: Description =
    Description { name: "native", needs: Needs::Nothing, max_body: MAX_BODY, build: request, digest: None };

#[derive(Serialize)]
struct Payload<'a> {
    r#type: String,
    /// Event time: it must not depend on when, or how often, it is sent.
    #[serde(with = "time::rfc3339")]
    timestamp: i64,
    data: &'a Alert,
}

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let r#type = format!("alert.{}", alert.status.name());
    Request::json(&Payload { r#type, timestamp: alert.detected_at, data: alert })
}
