//! Microsoft Teams: an Adaptive Card 1.5 for the webhook of a workflow,
//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>.
//!
//! Log text stands in `TextRun`s only, which know no markup (a `TextBlock` does); `{{DATE(..)}}` is broken up.

use serde_json::{Value, json};

use super::text::{Digest, cut, evidence, facts, headline, ids, summary, unlinked};
use super::{Description, Needs, Notification, Request};
use crate::alert::Status;
use crate::finding::Severity;

/// Teams takes 28 KB.
pub(super) const STYLE: Description =
    Description { name: "teams", needs: Needs::Nothing, max_body: 26 * 1024, build: request, digest: Some(digest) };

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let headline = run(
        &headline(alert),
        250,
        json!({"size": "Large", "weight": "Bolder", "color": color(alert.status == Status::Resolved, alert.severity)}),
    );
    let mut body = vec![rich(&[headline])];
    for (name, value) in facts(alert, 20, 200) {
        let name = run(&format!("{name}: "), 70, json!({"weight": "Bolder"}));
        body.push(rich(&[name, run(&value, 220, json!({}))]));
    }
    for line in evidence(alert, 5, 500) {
        body.push(rich(&[run(&line, 520, json!({"fontType": "Monospace"}))]));
    }
    body.push(rich(&[run(&ids(alert), 90, json!({"isSubtle": true}))]));
    let mut card = card(&summary(alert), &body);
    if let Some(link) = &alert.handling.runbook {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Runbook", "url": link}]);
    }
    message(&card)
}

fn digest(digest: &Digest) -> serde_json::Result<Request> {
    let color = color(digest.resolved, digest.severity);
    let headline = run(&digest.headline, 250, json!({"size": "Large", "weight": "Bolder", "color": color}));
    let lines = digest.lines.iter().map(|line| rich(&[run(line, 300, json!({}))]));
    let body: Vec<_> = [rich(&[headline])].into_iter().chain(lines).collect();
    message(&card(&digest.headline, &body))
}

fn card(text: &str, body: &[Value]) -> Value {
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "fallbackText": unlinked(text),
        "body": body,
    })
}

fn message(card: &Value) -> serde_json::Result<Request> {
    let content_type = "application/vnd.microsoft.card.adaptive";
    Request::json(&json!({
        "type": "message",
        "attachments": [{"contentType": content_type, "contentUrl": null, "content": card}],
    }))
}

fn color(resolved: bool, severity: Severity) -> &'static str {
    match (resolved, severity) {
        (true, _) => "Good",
        (_, Severity::Critical | Severity::High) => "Attention",
        (_, Severity::Medium) => "Warning",
        (_, Severity::Low | Severity::Info) => "Accent",
    }
}

fn rich(runs: &[Value]) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs})
}

fn run(text: &str, width: usize, looks: Value) -> Value {
    let mut text = unlinked(text);
    cut(&mut text, width);
    let mut run = json!({"type": "TextRun", "text": text});
    if let (Some(run), Value::Object(looks)) = (run.as_object_mut(), looks) {
        run.extend(looks);
    }
    run
}
