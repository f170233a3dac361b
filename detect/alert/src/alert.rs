//! What a person sees: one episode of one entity under one rule, in one of its states.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::finding::{Evidence, Handling, Severity, Window, short_id};
use crate::time;

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The episode's first finding.
    Firing,
    /// A later finding of the same episode, or the final numbers of an early one.
    Updated,
    /// The episode is over.
    Resolved,
}

impl Status {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
        }
    }
}

/// Why an alert is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Nothing more was found for a while.
    Quiet,
    /// A person said so.
    Manual,
    /// Its rule is no longer there.
    RuleRemoved,
}

/// A webhook's `data`, and a line of `scan --format json`. Times in JSON are RFC 3339, UTC; here they are µs since 1970.
///
/// Its JSON is at most [`crate::alert::MAX_BYTES`]; what had to go for that is said by `truncated`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// `alr_` and a hash of the fingerprint and the episode's start: the same in every status, after every restart.
    pub id: String,
    /// `inc_` and a hash: alerts of one campaign have the same.
    #[serde(default)]
    pub incident: String,
    /// The rule's id.
    pub rule: String,
    /// What the rule says in one line.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// Where in its life.
    pub status: Status,
    /// Why it is over, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<Ended>,
    /// What it is about.
    pub entity: BTreeMap<String, Value>,
    /// The window that `values` are of: the newest closed one with a finding, or a newer one that is still open.
    pub window: Window,
    /// Whether that window is still open: its numbers will grow.
    #[serde(default)]
    pub provisional: bool,
    /// Start of the episode's earliest window.
    #[serde(with = "time::rfc3339")]
    pub first_seen: i64,
    /// When, in event time, the alert fired: `detected_at` of its first state. `None` if a program fired it that did not keep it.
    #[serde(with = "time::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<i64>,
    /// When, in event time, what this state shows was known: the numbers of `window`, or that the episode was over.
    #[serde(with = "time::rfc3339")]
    pub detected_at: i64,
    /// The window's other columns.
    pub values: Map<String, Value>,
    /// Log lines of the newest finding that came with any.
    pub evidence: Vec<Evidence>,
    /// OWASP API Security Top 10 entries.
    pub owasp: Vec<String>,
    /// MITRE ATT&CK techniques.
    pub attack: Vec<String>,
    /// Who looks at it: `owner`, `runbook`, `mode`, where the rule says so.
    #[serde(flatten)]
    pub handling: Handling,
    /// See [`crate::fingerprint`].
    pub fingerprint: String,
    /// Start of the window of the episode's first finding: with the fingerprint, the alert's identity.
    #[serde(with = "time::rfc3339")]
    pub episode_start: i64,
    /// Counts the alert's states from 1 (`firing`) without gaps. A receiver sees gaps: not every update is sent.
    pub sequence: u64,
    /// How many findings the episode has so far.
    pub findings: u64,
    /// Whether evidence or long values were cut to keep the alert small.
    pub truncated: bool,
}

/// The most that an alert's JSON may take, bytes: a request stays under 64 KiB with it.
pub const MAX_BYTES: usize = 63 * 1024;

impl Alert {
    /// The id of an episode's alert.
    pub(crate) fn id(fingerprint: &str, episode_start: i64) -> String {
        short_id("alr_", &json!([fingerprint, episode_start]))
    }

    /// Whether it is Tripline's about itself: a silent source, a rule in trouble.
    pub(crate) fn is_own(&self) -> bool {
        self.rule.starts_with("tripline/")
    }

    /// The `webhook-id` of this state of the alert at one destination: unchanged across retries, crashes and replays.
    pub fn webhook_id(&self, destination: &str) -> String {
        short_id("msg_", &json!([destination, self.fingerprint, self.episode_start, self.sequence]))
    }
}
