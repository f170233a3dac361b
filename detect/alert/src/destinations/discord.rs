//! Discord: a webhook with one embed, <https://docs.discord.com/developers/resources/webhook#execute-webhook>.
//!
//! Nobody is mentioned whatever the text says (`allowed_mentions`), and what is markup has a backslash before it.

use serde_json::{Value, json};

use super::text::{Digest, cut, evidence, facts, headline, ids, summary, unlinked};
use super::{Description, Needs, Notification, Request};
use crate::alert::Status;
use crate::finding::Severity;
use crate::time;

pub(super) const STYLE: Description =
    Description { name: "discord", needs: Needs::Nothing, max_body: 32 * 1024, build: request, digest: Some(digest) };

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    // An embed's texts have 6,000 characters together: 256, 12 times 232, 3 times 450 and little else.
    let fields: Vec<_> = facts(alert, 12, 100)
        .into_iter()
        .map(|(name, value)| json!({"name": escaped(&name, 32), "value": escaped(&value, 200), "inline": true}))
        .collect();
    let lines: Vec<_> = evidence(alert, 3, 300).iter().map(|line| escaped(line, 450)).collect();
    let mut embed = json!({
        "title": escaped(&headline(alert), 256),
        "description": lines.join("\n"),
        "color": color(alert.status == Status::Resolved, alert.severity),
        "timestamp": time::to_text(alert.detected_at),
        "fields": fields,
        "footer": {"text": ids(alert)},
    });
    if let Some(link) = &alert.handling.runbook {
        embed["url"] = json!(link);
    }
    message(&summary(alert), &embed)
}

fn digest(digest: &Digest) -> serde_json::Result<Request> {
    // 16 lines of 240 characters.
    let lines: Vec<_> = digest.lines.iter().map(|line| escaped(line, 240)).collect();
    let embed = json!({
        "title": escaped(&digest.headline, 256),
        "description": lines.join("\n"),
        "color": color(digest.resolved, digest.severity),
    });
    message(&digest.headline, &embed)
}

fn message(text: &str, embed: &Value) -> serde_json::Result<Request> {
    Request::json(&json!({
        "content": escaped(text, 500),
        "embeds": [embed],
        "allowed_mentions": {"parse": []},
    }))
}

fn color(resolved: bool, severity: Severity) -> u32 {
    match (resolved, severity) {
        (true, _) => 0x002E_7D32,
        (_, Severity::Critical | Severity::High) => 0x00C6_2828,
        (_, Severity::Medium) => 0x00EF_6C00,
        (_, Severity::Low | Severity::Info) => 0x0015_65C0,
    }
}

/// At most `width` characters, escapes included; cut before one.
fn escaped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in unlinked(text).chars() {
        let markup = c.is_ascii_punctuation() && "\\*_~`|>#[]()<:".contains(c);
        used += 1 + usize::from(markup);
        if used >= width {
            out.push('…');
            break;
        }
        if markup {
            out.push('\\');
        }
        out.push(c);
    }
    // A field must have a text.
    if out.is_empty() {
        out.push('-');
    }
    cut(&mut out, width);
    out
}
