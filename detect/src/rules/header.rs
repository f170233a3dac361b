//! The front matter of a rule: TOML in the block comment that begins the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use tripline_alert::{Handling, Mode, Severity};

use crate::diagnostic::{Diagnostic, place_of_bytes};
use crate::{budget, duration, peers};

/// What a rule says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// One line that a person reads first in an alert.
    pub title: String,
    /// `rule` (rows are findings) or `baseline` (rows are a table that rules join).
    #[serde(default)]
    pub kind: Kind,
    /// How bad a finding is.
    #[serde(default = "default_severity")]
    pub severity: Severity,
    /// Output columns that name what is alerted on; for a baseline, its key.
    pub entity: Vec<String>,
    /// OWASP API Security Top 10 entries, as `API1:2023`.
    #[serde(default)]
    pub owasp: Vec<String>,
    /// MITRE ATT&CK techniques, as `T1213`.
    #[serde(default)]
    pub attack: Vec<String>,
    /// Named parameters and their defaults.
    #[serde(default)]
    pub params: BTreeMap<String, toml::Value>,
    /// What it finds, why it matters, what looks alike but is harmless, how to tune it.
    #[serde(default)]
    pub description: String,
    /// Who answers for its alerts: a team or a person.
    pub owner: Option<String>,
    /// Where it stands what to do about one: an `https://` link.
    pub runbook: Option<String>,
    /// `alert`, or `observe`: kept and listed, but not sent.
    #[serde(default)]
    pub mode: Mode,
    /// Ids of rules whose open alert about the same entity says all that this rule's would.
    #[serde(default)]
    pub suppressed_by: Vec<String>,
    /// Event time without findings after which an alert is resolved, µs. Default 1 h.
    #[serde(default = "default_quiet", deserialize_with = "duration::deserialize_us")]
    pub quiet: i64,
    /// Baselines: how long a row holds at most, µs. Default 14 d.
    #[serde(default = "default_max_age", deserialize_with = "duration::deserialize_us")]
    pub max_age: i64,
    /// Baselines: puts each window's rows into groups of peers.
    pub peers: Option<peers::Spec>,
    /// Lookup tables that it joins, with the columns that it needs of each. Where the user has not configured one, the rule
    /// waits for it.
    #[serde(default)]
    pub lookups: BTreeMap<String, Vec<String>>,
    /// Rules that return all they tested, with a p-value or an e-value: findings within the alert budget.
    pub budget: Option<budget::Spec>,
}

/// What a rule's rows are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Findings.
    #[default]
    Rule,
    /// A table for other rules.
    Baseline,
}

fn default_severity() -> Severity {
    Severity::Medium
}

fn default_quiet() -> i64 {
    3_600_000_000
}

fn default_max_age() -> i64 {
    14 * 86_400_000_000
}

impl Header {
    /// Who looks at its alerts.
    pub fn handling(&self) -> Handling {
        Handling {
            owner: self.owner.clone(),
            runbook: self.runbook.clone(),
            mode: self.mode,
            suppressed_by: self.suppressed_by.clone(),
        }
    }
}

/// It becomes something to click on: no blanks, no markup.
fn is_link(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_graphic() && !"<>\"'`|()[]{}\\^".contains(c);
    host.is_some_and(|rest| !rest.is_empty()) && text.len() <= 500 && text.chars().all(plain)
}

/// Splits a rule's text into its header and the SQL. The SQL keeps its place: what stood before it is blanked out, so
/// that lines and columns in errors are the file's.
pub fn split(origin: &str, text: &str) -> Result<(Header, String), Diagnostic> {
    const HELP: &str = "begin the file with /* title = \"...\", entity = [\"client\"] ... */; see the shipped rules";
    let open = text.len() - text.trim_start().len();
    let missing =
        |message| Diagnostic::new(origin, text, Some(place_of_bytes(text, open, open)), message).with_help(HELP);
    if !text[open..].starts_with("/*") {
        return Err(missing("a rule begins with a block comment that describes it"));
    }
    let begin = open + 2;
    let Some(length) = text[begin..].find("\n*/").map(|n| n + 1).or_else(|| text[begin..].find("*/")) else {
        return Err(missing("the block comment is not closed"));
    };
    let end = begin + length;
    let header = toml::from_str::<Header>(&text[begin..end]).map_err(|e| {
        let place = e.span().map(|s| place_of_bytes(text, begin + s.start, begin + s.end));
        Diagnostic::new(origin, text, place, e.message().trim_end())
            .with_help("the comment is TOML; its keys: title, kind, severity, entity, owasp, attack, params, description, owner, runbook, mode, suppressed_by, quiet, max_age, lookups, peers, budget")
    })?;
    if header.entity.is_empty() {
        return Err(Diagnostic::at_word(origin, text, "entity", "entity is empty")
            .with_help("name the output columns that say who or what is alerted on, such as [\"client\"]"));
    }
    if header.budget.is_some() && header.kind == Kind::Baseline {
        return Err(Diagnostic::at_word(origin, text, "budget", "a baseline finds nothing, so it needs no budget"));
    }
    if header.peers.is_some() && header.kind != Kind::Baseline {
        return Err(Diagnostic::at_word(origin, text, "peers", "only a baseline has peers")
            .with_help("add kind = \"baseline\"; rules then join its table"));
    }
    if let Some((word, problem)) = header.peers.as_ref().and_then(peers::Spec::problem) {
        return Err(Diagnostic::at_word(origin, text, word, problem));
    }
    if let Some(link) = header.runbook.as_ref().filter(|link| !is_link(link)) {
        return Err(Diagnostic::at_word(origin, text, link, "the runbook is no link")
            .with_help("write it as https://host/path, at most 500 characters"));
    }
    let blank: String = text[..end + 2].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    Ok((header, blank + &text[end + 2..]))
}
