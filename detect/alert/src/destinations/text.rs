//! An alert as text for people. What logs hold is made inert here; each style then escapes it for its own markup.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::alert::{Alert, Status};
use crate::finding::Severity;
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

/// What to give to `tripline alerts show`, and to `scope`.
pub(super) fn ids(alert: &Alert) -> String {
    format!("{} of {}", alert.id, alert.incident)
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

/// How many alerts a message for several names, and how many characters each has.
const NAMED: usize = 15;
const NAMED_WIDTH: usize = 200;

/// Several alerts in a few lines, inert.
pub(super) struct Digest {
    /// Such as `[high] 12 alerts, 3 of them resolved: A title`.
    pub(super) headline: String,
    /// An alert each, and how many more there are.
    pub(super) lines: Vec<String>,
    /// The worst of them.
    pub(super) severity: Severity,
    /// Whether all of them are over.
    pub(super) resolved: bool,
}

impl Digest {
    /// Of at least one.
    pub(super) fn new(alerts: &[Alert]) -> Self {
        let over = alerts.iter().filter(|a| a.status == Status::Resolved).count();
        let severity = alerts.iter().map(|a| a.severity).max().unwrap_or(Severity::Info);
        let titles: BTreeSet<&str> = alerts.iter().map(|a| a.title.as_str()).collect();
        let title = match titles.first() {
            Some(title) if titles.len() == 1 => inert(title, 200),
            _ => format!("{} rules", titles.len()),
        };
        let resolved = if over == 0 { String::new() } else { format!(", {over} of them resolved") };
        let line = |alert: &Alert| {
            let mut text = format!("{} {}", alert.status.name(), summary(alert));
            cut(&mut text, NAMED_WIDTH);
            format!("{text} {}", alert.id.get(..14).unwrap_or(&alert.id))
        };
        let mut lines: Vec<String> = alerts.iter().take(NAMED).map(line).collect();
        if alerts.len() > NAMED {
            lines.push(format!("and {} more: see tripline alerts list", alerts.len() - NAMED));
        }
        let headline = format!("[{severity}] {} alerts{resolved}: {title}", alerts.len());
        Self { headline, lines, severity, resolved: over == alerts.len() }
    }
}
