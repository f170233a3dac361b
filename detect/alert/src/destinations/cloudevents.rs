//! `CloudEvents` 1.0 in structured mode, JSON event format 1.0.2: the alert is the event's `data`.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>

use serde::Serialize;

use super::{Description, MAX_BODY, Needs, Notification, Request};
use crate::alert::Alert;
use crate::json;
use crate::time;

pub(super) const STYLE: Description =
    Description { name: "cloudevents", needs: Needs::Nothing, max_body: MAX_BODY, build: request, digest: None };

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: String,
    subject: &'a str,
    #[serde(with = "time::rfc3339")]
    time: i64,
    datacontenttype: &'static str,
    data: &'a Alert,
}

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let event = Event {
        specversion: "1.0",
        id: notification.id,
        source: "urn:tripline",
        r#type: format!("tripline.alert.{}", alert.status.name()),
        subject: &alert.id,
        time: alert.detected_at,
        datacontenttype: "application/json",
        data: alert,
    };
    Ok(Request { content_type: "application/cloudevents+json; charset=utf-8", body: json::to_string(&event)? })
}
