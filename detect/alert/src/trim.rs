//! Keeps an alert small: evidence goes first, then long values.

use serde_json::Value;

use crate::alert::{Alert, MAX_BYTES};
use crate::json;

/// With evidence an alert aims at this many bytes of JSON: some receivers refuse more than 20 kB.
const AIM_BYTES: usize = 19 * 1024;
/// The most lines of evidence.
const MAX_EVIDENCE: usize = 20;
/// The most bytes of one line of evidence.
const MAX_LINE: usize = 1024;

impl Alert {
    /// Trims until the JSON has at most [`MAX_BYTES`], and says so in `truncated`. The same alert is always cut the same.
    pub(crate) fn trim(&mut self) {
        self.trim_evidence();
        for longest in [4096, 1024, 256, 64] {
            if self.json_bytes() <= MAX_BYTES {
                return;
            }
            self.truncated = true;
            self.values.values_mut().chain(self.entity.values_mut()).for_each(|v| shorten(v, longest));
            shorten_text(&mut self.title, longest);
        }
        // Very many columns, or what a rule's author wrote.
        if self.json_bytes() > MAX_BYTES {
            self.values.clear();
        }
        if self.json_bytes() > MAX_BYTES {
            self.entity.clear();
            self.owasp.clear();
            self.attack.clear();
            self.handling.owner = None;
            self.handling.runbook = None;
            self.handling.suppressed_by.clear();
            shorten_text(&mut self.rule, 1024);
        }
    }

    /// A copy without evidence and with texts of at most `longest` bytes; 0: without values too.
    pub(crate) fn cut(&self, longest: usize) -> Self {
        let mut alert = Self { evidence: Vec::new(), truncated: true, ..self.clone() };
        alert.values.values_mut().chain(alert.entity.values_mut()).for_each(|v| shorten(v, longest.max(64)));
        shorten_text(&mut alert.title, longest.max(200));
        if longest == 0 {
            alert.values.clear();
        }
        alert
    }

    fn trim_evidence(&mut self) {
        self.truncated |= self.evidence.len() > MAX_EVIDENCE;
        self.evidence.truncate(MAX_EVIDENCE);
        for evidence in &mut self.evidence {
            self.truncated |= shorten_text(&mut evidence.raw, MAX_LINE) | shorten_text(&mut evidence.source, MAX_LINE);
        }
        // The rest is measured once: values may be megabytes.
        let lines = std::mem::take(&mut self.evidence);
        let mut bytes = if lines.is_empty() { 0 } else { self.json_bytes() };
        for line in lines {
            bytes = bytes.saturating_add(json::to_string(&line).map_or(usize::MAX, |text| text.len() + 1));
            if bytes > AIM_BYTES {
                self.truncated = true;
                break;
            }
            self.evidence.push(line);
        }
    }

    fn json_bytes(&self) -> usize {
        // An alert has no keys but strings and no numbers but finite ones, so that it always serialises.
        json::to_string(self).map_or(usize::MAX, |text| text.len())
    }
}

/// Cuts text to `longest` bytes and lists to `longest / 16` items, at every depth.
fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) => drop(shorten_text(text, longest)),
        Value::Array(items) => {
            items.truncate(longest / 16);
            for item in items {
                shorten(item, longest);
            }
        }
        Value::Object(map) => map.values_mut().for_each(|v| shorten(v, longest)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts text to `longest` bytes, at a character's edge, and marks the cut. Returns whether it did.
fn shorten_text(text: &mut String, longest: usize) -> bool {
    if text.len() <= longest {
        return false;
    }
    text.truncate(text.floor_char_boundary(longest));
    text.push('…');
    true
}
