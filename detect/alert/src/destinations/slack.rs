//! Slack: an incoming webhook with blocks, <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
//!
//! Log text stands in `plain_text` objects only, in which nothing is formatted, with `&`, `<` and `>` escaped all the same: they
//! open mentions (`<!channel>`) and links. The URL of the webhook is a secret: see `url_file`.

use serde_json::{Value, json};

use super::text::{Digest, evidence, facts, headline, ids, summary, unlinked};
use super::{Description, Needs, Notification, Request};

/// Slack takes 50 blocks with 3,000 characters each.
pub(super) const STYLE: Description =
    Description { name: "slack", needs: Needs::Nothing, max_body: 32 * 1024, build: request, digest: Some(digest) };

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let mut blocks = vec![json!({"type": "header", "text": plain(&headline(alert), 148)})];
    let facts = facts(alert, 20, 200);
    for some in facts.chunks(10) {
        let fields: Vec<_> = some.iter().map(|(name, value)| plain(&format!("{name}: {value}"), 300)).collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    for line in evidence(alert, 5, 500) {
        blocks.push(json!({"type": "section", "text": plain(&line, 500)}));
    }
    if let Some(link) = &alert.handling.runbook {
        let button = json!({"type": "button", "text": plain("Runbook", 20), "url": link});
        blocks.push(json!({"type": "actions", "elements": [button]}));
    }
    blocks.push(json!({"type": "context", "elements": [plain(&ids(alert), 90)]}));
    message(&summary(alert), &blocks)
}

fn digest(digest: &Digest) -> serde_json::Result<Request> {
    let mut blocks = vec![json!({"type": "header", "text": plain(&digest.headline, 148)})];
    blocks.extend(digest.lines.iter().map(|line| json!({"type": "section", "text": plain(line, 300)})));
    message(&digest.headline, &blocks)
}

fn message(text: &str, blocks: &[Value]) -> serde_json::Result<Request> {
    Request::json(&json!({
        "text": escaped(text, 500),
        "blocks": blocks,
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
    }))
}

fn plain(text: &str, width: usize) -> Value {
    json!({"type": "plain_text", "emoji": false, "text": escaped(text, width)})
}

/// Cut first: half an escape would show.
fn escaped(text: &str, width: usize) -> String {
    let mut text = unlinked(text);
    super::text::cut(&mut text, width);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
