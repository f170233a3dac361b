//! What a rule found: one output row for one window, and the identity of what it is about.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::json;
use crate::time;

/// How bad a finding is. Ordered: `Info` is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Info,
    /// Look at it some day.
    Low,
    /// Look at it this week.
    Medium,
    /// Look at it today.
    High,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in rules, JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a severity; there are: info, low, medium, high, critical")]
pub struct UnknownSeverity(String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|s| s.name() == word);
        known.ok_or_else(|| UnknownSeverity(word.to_owned()))
    }
}

/// A window of event time: `start` is in it, `end` is not. Microseconds since 1970, UTC; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First instant.
    #[serde(with = "time::rfc3339")]
    pub start: i64,
    /// First instant after it.
    #[serde(with = "time::rfc3339")]
    pub end: i64,
}

impl Window {
    /// How long it is, µs. Never negative.
    pub fn length(self) -> i64 {
        self.end.saturating_sub(self.start).max(0)
    }
}

/// A log line that belongs to a finding, copied: logs rotate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The file.
    pub source: String,
    /// Where in it the line begins, in bytes (of the decompressed file).
    pub offset: u64,
    /// The line.
    pub raw: String,
}

/// What a finding's numbers are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Of a window that is still open, as of the row that settled that it will be found. The window's close confirms it with a
    /// [`Phase::Closed`] finding of the same rule, entity and window.
    Early,
    /// Of a whole window.
    #[default]
    Closed,
}

/// What is done with a rule's alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are sent.
    #[default]
    Alert,
    /// They are kept and listed, and not sent: for a rule that has yet to earn it.
    Observe,
}

impl Mode {
    /// Whether it is [`Mode::Alert`].
    // The reference is serde's signature.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn is_alert(&self) -> bool {
        *self == Self::Alert
    }
}

/// What a rule says about who looks at its alerts, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// Who answers for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where it stands what to do: an `https://` link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Whether they are sent.
    #[serde(default, skip_serializing_if = "Mode::is_alert")]
    pub mode: Mode,
    /// Rules whose open alert about the same entity says all that this one would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed_by: Vec<String>,
}

/// One output row of a rule for one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id, such as `api1/object-enumeration`.
    pub rule: String,
    /// What the rule says in one line.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// What it is about: the rule's entity columns and their values.
    pub entity: BTreeMap<String, Value>,
    /// When the requests were.
    pub window: Window,
    /// Whether the window is closed.
    pub phase: Phase,
    /// The other columns of the row.
    pub values: Map<String, Value>,
    /// When the engine knew: event time, µs.
    pub detected_at: i64,
    /// The watermark then, µs: a closed window's end, or for an early finding the newest end that may have been closed. Findings are
    /// taken in this order however the log was cut into batches.
    pub watermark: i64,
    /// OWASP API Security Top 10 entries.
    pub owasp: Vec<String>,
    /// MITRE ATT&CK techniques.
    pub attack: Vec<String>,
    /// How much event time without findings ends the episode, µs; see [`crate::lifecycle`].
    pub quiet: i64,
    /// Some of the lines that made it.
    pub evidence: Vec<Evidence>,
    /// Who looks at it.
    pub handling: Handling,
}

impl Finding {
    /// See [`fingerprint`].
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.rule, &self.entity)
    }
}

/// The identity of what is alerted on: SHA-256, in hex, over the canonical JSON of `[rule, entity]`.
///
/// Never over counts or text that change from window to window. NULL, `""` and `"null"` are three entities.
pub fn fingerprint(rule: &str, entity: &BTreeMap<String, Value>) -> String {
    let entity: Map<String, Value> = entity.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    hash(&Value::Array(vec![rule.into(), Value::Object(entity)]))
}

/// SHA-256, in hex, over a value's canonical JSON.
pub(crate) fn hash(value: &Value) -> String {
    let digest = Sha256::digest(json::canonical(value).as_bytes());
    digest.iter().fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A short id: `prefix` and the first 128 bits of [`hash`].
pub(crate) fn short_id(prefix: &str, value: &Value) -> String {
    format!("{prefix}{}", &hash(value)[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(pairs: &[(&str, Value)]) -> String {
        fingerprint("pack/rule", &pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
    }

    #[test]
    fn the_fingerprint_is_a_hash_of_canonical_json() {
        let text = r#"["pack/rule",{"client":"192.0.2.7","route":"/users/{id}"}]"#;
        let expected = Sha256::digest(text).iter().fold(String::new(), |s, b| s + &format!("{b:02x}"));
        assert_eq!(of(&[("route", json!("/users/{id}")), ("client", json!("192.0.2.7"))]), expected);
    }

    #[test]
    fn what_differs_has_different_fingerprints() {
        let different = [
            of(&[("user", Value::Null)]),
            of(&[("user", json!(""))]),
            of(&[("user", json!("null"))]),
            of(&[("user", json!(1))]),
            of(&[("user", json!("1"))]),
            of(&[]),
            of(&[("a", json!("x\",\"b\":\"y"))]),
            of(&[("a", json!("x")), ("b", json!("y"))]),
            fingerprint("pack/other", &BTreeMap::new()),
        ];
        let distinct: std::collections::BTreeSet<_> = different.iter().collect();
        assert_eq!(distinct.len(), different.len());
    }

    #[test]
    fn severities_are_ordered_and_read_back() {
        assert!(Severity::ALL.is_sorted());
        for severity in Severity::ALL {
            assert_eq!(severity.to_string().parse(), Ok(severity));
            assert_eq!(json!(severity), json!(severity.name()));
        }
        assert!("High".parse::<Severity>().unwrap_err().to_string().contains("high, critical"));
    }
}
