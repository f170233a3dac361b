//! Incidents: alerts that belong to one campaign.
//!
//! An alert joins the incident of one that is open when it fires, if both are about the same client, user, session, cohort or
//! route, or about the same entity (as those are of which one rule supersedes the other); of several the one that began first. Else it
//! begins an incident, named after it. An alert stays in its incident, and so the id is a function of the windows, like alerts' ids.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::alert::Alert;
use crate::finding::hash;

/// Columns that tell one campaign from another.
const SHARED: [&str; 5] = ["client", "cohort", "route", "session", "user"];

/// When an incident began (event time, µs), and its id.
pub(crate) type Incident = (i64, String);

/// The incidents that an alert may join.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    /// By what its alerts have in common, each with the time until which one of them is open, µs.
    open: BTreeMap<String, BTreeMap<Incident, i64>>,
}

impl Incidents {
    /// The id of an incident that begins with an alert.
    pub(crate) fn id(alert_id: &str) -> String {
        format!("inc_{}", alert_id.strip_prefix("alr_").unwrap_or(alert_id))
    }

    /// The incident of an alert that fires when the watermark is `now`.
    pub(crate) fn of(&self, alert: &Alert, now: i64) -> Incident {
        let traits = traits(alert);
        let shared = traits.iter().filter_map(|name| self.open.get(name)).flatten();
        let oldest = shared.filter(|(_, until)| **until >= now).map(|(incident, _)| incident).min();
        oldest.cloned().unwrap_or_else(|| (alert.detected_at, Self::id(&alert.id)))
    }

    /// Takes note of an alert that is open until a time, unless it goes on.
    pub(crate) fn hold(&mut self, began: i64, alert: &Alert, until: i64) {
        for name in traits(alert) {
            let incidents = self.open.entry(name).or_default();
            let known = incidents.entry((began, alert.incident.clone())).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// Forgets what is over.
    pub(crate) fn forget(&mut self, watermark: i64) {
        self.open.retain(|_, incidents| {
            incidents.retain(|_, until| *until >= watermark);
            !incidents.is_empty()
        });
    }
}

/// What an alert may have in common with others. Hashes: values may be long.
fn traits(alert: &Alert) -> Vec<String> {
    // Those about itself are no campaigns.
    if alert.is_own() {
        return Vec::new();
    }
    let says_something = |v: &&Value| !v.is_null() && v.as_str() != Some("");
    let value = |name: &str| alert.entity.get(name).or_else(|| alert.values.get(name)).filter(says_something);
    let shared = SHARED.iter().filter_map(|name| Some(hash(&json!([name, value(name)?]))));
    shared.chain([hash(&json!(alert.entity))]).collect()
}
