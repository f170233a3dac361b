//! An alert as text for people. What logs hold is made inert here; each style then escapes it for its own markup.

use std::fmt::Write as _;

use serde_json::Value;

use crate::alert::{Alert, Status};
use crate::time;

/// What people read first, such as `[high] A title`, or `Resolved: A title`.
pub(super) fn headline(alert: &Alert) -> String {
    match alert.status {
        Status::Resolved => format!("Resolved: {}", inert(&alert.title, 200)),
        Status::Firing | Status::Updated => format!("[{}] {}", alert.severity, inert(&alert.title, 200)),
    }
}

/// The headline and what it is about, in one line.
pub(super) fn summary(alert: &Alert) -> String {
    let entity: Vec<_> =
        alert.entity.iter().take(8).map(|(name, v)| format!("{}={}", inert(name, 64), value(v, 80))).collect();
    format!("{} ({})", headline(alert), entity.join(", "))
}

/// What it is about and its numbers, by name: at most `limit`, each at most `width` characters.
pub(super) fn facts(alert: &Alert, limit: usize, width: usize) -> Vec<(String, String)> {
    let window = format!("{} to {}", time::to_text(alert.window.start), time::to_text(alert.window.end));
    let mut facts: Vec<(String, String)> = vec![("rule".into(), inert(&alert.rule, width)), ("window".into(), window)];
    if let Some(owner) = &alert.handling.owner {
        facts.push(("owner".into(), inert(owner, width)));
    }
    let entity = alert.entity.iter().map(|(name, v)| (inert(name, 64), value(v, width)));
    facts.extend(entity.chain(alert.values.iter().map(|(name, v)| (inert(name, 64), value(v, width)))));
    facts.truncate(limit);
    facts
}

/// The first lines of evidence: at most `limit`, each at most `width` characters.
pub(super) fn evidence(alert: &Alert, limit: usize, width: usize) -> Vec<String> {
    alert.evidence.iter().take(limit).map(|e| inert(&e.raw, width)).collect()
}

/// A JSON value as a person writes it, inert.
pub(super) fn value(value: &Value, width: usize) -> String {
    match value {
        Value::String(text) => inert(text, width),
        other => inert(&other.to_string(), width),
    }
}

/// `text` with what steers a terminal, turns text around or hides it written as `\u{..}`, and cut to `width` characters. A line
/// stays a line.
pub(super) fn inert(text: &str, width: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() || crate::json::must_be_escaped(c) && !"<>&".contains(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    cut(&mut out, width);
    out
}

/// Cuts to `width` characters.
pub(super) fn cut(text: &mut String, width: usize) {
    if let Some((end, _)) = text.char_indices().nth(width) {
        text.truncate(end);
        text.push('…');
    }
}

/// `text` with a zero-width space where `://`, `www.` or a mention would make something to click on, or `{{` a function.
pub(super) fn unlinked(text: &str) -> String {
    let broken = text.replace("://", ":\u{200b}//").replace("{{", "{\u{200b}{").replace('@', "@\u{200b}");
    broken.replace("www.", "www\u{200b}.").replace("WWW.", "WWW\u{200b}.")
}
