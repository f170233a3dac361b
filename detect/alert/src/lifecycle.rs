//! From findings to alerts, as a pure function of event time.
//!
//! Findings with one fingerprint form *episodes*. Sort them by the end of their windows: a finding belongs to the episode
//! before it if its window **starts no later than `quiet` after the last window's end**, else it begins the next. So
//! `quiet` is a stretch of event time that no window with a finding covers; `quiet = 0` still joins windows that touch.
//! Membership depends on the windows' bounds alone, not on when or in which order findings were told.
//!
//! An episode is over when no window that is still to close could join it. A window closes when the watermark has reached its
//! end, so those to come end after the watermark, and start after the watermark less their length: the episode is
//! resolved once **last end + quiet + the longest window's length < watermark**. Were it resolved any earlier, how the log was
//! cut into batches would decide whether the next window belongs to it. (This takes the windows of a rule to be of one
//! length. Only an edit of the rule breaks that, and then at most one episode is split in two.)
//!
//! Sequence numbers count the findings of an episode in that order, `resolved` is the last: with the windows given, every
//! alert's id, sequence and content is given. [`Lifecycle::step`] takes care of the order within a batch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Status};
use crate::finding::Finding;
use crate::json;

/// An open alert is notified again no sooner than this after the window last notified: one hour of event time, µs.
const UPDATE_EVERY: i64 = 3_600_000_000;
/// How long after its end a resolved episode is remembered, so that its findings, told again, do not fire again: one day
/// of event time, µs.
const REMEMBER: i64 = 86_400_000_000;
/// How many window ends of an open episode are remembered, to know findings that are told again. Older ones than these
/// count as known.
const RECENT: usize = 64;

/// A new state of an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The state.
    pub alert: Alert,
    /// Whether to send it: always, except for updates that follow each other within an hour of event time.
    pub notify: bool,
}

/// The open alerts, by fingerprint, and for a while the resolved ones.
#[derive(Debug, Default)]
pub struct Lifecycle {
    open: BTreeMap<String, Episode>,
    /// Fingerprint to the last window's end.
    resolved: BTreeMap<String, i64>,
    /// Resolved by `observe`, to be told by the next `advance`.
    untold: Vec<Alert>,
    /// Nothing becomes due while the watermark is at or before this.
    next_due: Option<i64>,
}

/// An open alert and what decides over its future. Serialisable: this is what the store keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The newest state.
    pub alert: Alert,
    quiet: i64,
    longest: i64,
    notified_end: i64,
    recent_ends: BTreeSet<i64>,
}

impl Lifecycle {
    /// Continues from what a store kept: the open episodes, and fingerprints with the last window's end of resolved ones.
    pub fn restore(open: impl IntoIterator<Item = Episode>, resolved: impl IntoIterator<Item = (String, i64)>) -> Self {
        let open = open.into_iter().map(|e| (e.alert.fingerprint.clone(), e)).collect();
        let mut lifecycle = Self { open, resolved: resolved.into_iter().collect(), ..Self::default() };
        lifecycle.next_due = lifecycle.open.values().map(Episode::over_at).min();
        lifecycle
    }

    /// The open alerts, by fingerprint.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.open.values().map(|e| &e.alert)
    }

    /// An open episode.
    pub fn episode(&self, fingerprint: &str) -> Option<&Episode> {
        self.open.get(fingerprint)
    }

    /// Takes the findings of one batch, in any order, then the watermark that let their windows close.
    pub fn step(&mut self, mut findings: Vec<Finding>, watermark: Option<i64>) -> Vec<Change> {
        findings.sort_by_cached_key(|f| {
            let values = json::canonical(&f.values.clone().into());
            (f.window.end, f.window.start, f.rule.clone(), f.fingerprint(), values)
        });
        let mut changes = Vec::new();
        for finding in findings {
            let change = self.record(finding);
            changes.extend(self.untold.drain(..).map(Change::to_notify));
            changes.extend(change);
        }
        changes.extend(watermark.into_iter().flat_map(|w| self.advance(w)).map(Change::to_notify));
        changes
    }

    /// Takes one finding. `firing` for a new episode, `updated` otherwise, `None` if this window was recorded before.
    ///
    /// Findings of one fingerprint come in the order of their windows' ends ([`Lifecycle::step`] sorts). A window that
    /// closes late is counted where it belongs, but the alert keeps showing the newest window.
    pub fn observe(&mut self, finding: Finding) -> Option<Alert> {
        self.record(finding).map(|change| change.alert)
    }

    /// Moves event time on: the alerts that are resolved by it, in the order in which they were. What every window that
    /// ends at or before the watermark found must have been told before.
    pub fn advance(&mut self, watermark: i64) -> Vec<Alert> {
        let mut told = std::mem::take(&mut self.untold);
        if self.next_due.is_none_or(|due| watermark <= due) {
            return told;
        }
        let mut over: Vec<_> =
            self.open.extract_if(.., |_, e| e.over_at() < watermark).map(|(_, episode)| episode.resolve()).collect();
        over.sort_by(|a, b| (a.detected_at, &a.fingerprint).cmp(&(b.detected_at, &b.fingerprint)));
        self.resolved.extend(over.iter().map(|alert| (alert.fingerprint.clone(), alert.window.end)));
        self.resolved.retain(|_, end| *end >= Self::forgotten_before(watermark));
        self.next_due = self.open.values().map(Episode::over_at).min();
        told.extend(over);
        told
    }

    /// Resolved episodes whose last window ended before this need not be kept.
    pub(crate) fn forgotten_before(watermark: i64) -> i64 {
        watermark.saturating_sub(REMEMBER)
    }

    fn record(&mut self, finding: Finding) -> Option<Change> {
        let fingerprint = finding.fingerprint();
        if let Some(episode) = self.open.get_mut(&fingerprint) {
            if episode.holds(&finding) {
                let change = episode.update(finding);
                self.next_due = self.next_due.min(Some(episode.over_at()));
                return change;
            }
            let before = self.open.remove(&fingerprint)?.resolve();
            self.resolved.insert(fingerprint.clone(), before.window.end);
            self.untold.push(before);
        }
        if self.resolved.get(&fingerprint).is_some_and(|&end| finding.window.end <= end) {
            return None;
        }
        let episode = Episode::begin(fingerprint.clone(), finding);
        let change = Change::to_notify(episode.alert.clone());
        let due = episode.over_at();
        self.next_due = Some(self.next_due.map_or(due, |d| d.min(due)));
        self.open.insert(fingerprint, episode);
        Some(change)
    }
}

impl Change {
    fn to_notify(alert: Alert) -> Self {
        Self { alert, notify: true }
    }
}

impl Episode {
    fn begin(fingerprint: String, finding: Finding) -> Self {
        let window = finding.window;
        let mut alert = Alert {
            id: Alert::id(&fingerprint, window.start),
            rule: finding.rule,
            title: finding.title,
            severity: finding.severity,
            status: Status::Firing,
            entity: finding.entity,
            window,
            first_seen: window.start,
            detected_at: finding.detected_at,
            values: finding.values,
            evidence: finding.evidence,
            owasp: finding.owasp,
            attack: finding.attack,
            fingerprint,
            episode_start: window.start,
            sequence: 1,
            findings: 1,
            truncated: false,
        };
        alert.trim();
        Self {
            alert,
            quiet: finding.quiet.max(0),
            longest: window.length(),
            notified_end: window.end,
            recent_ends: BTreeSet::from([window.end]),
        }
    }

    /// Whether a finding is of this episode.
    fn holds(&self, finding: &Finding) -> bool {
        finding.window.start <= self.alert.window.end.saturating_add(self.quiet)
    }

    /// When the watermark is past this, no window to come can join.
    fn over_at(&self) -> i64 {
        self.alert.window.end.saturating_add(self.quiet).saturating_add(self.longest)
    }

    fn update(&mut self, finding: Finding) -> Option<Change> {
        let window = finding.window;
        let forgotten = self.recent_ends.len() >= RECENT && self.recent_ends.first().is_some_and(|&e| window.end < e);
        if forgotten || !self.recent_ends.insert(window.end) {
            return None;
        }
        if self.recent_ends.len() > RECENT {
            self.recent_ends.pop_first();
        }
        self.longest = self.longest.max(window.length());
        let alert = &mut self.alert;
        alert.status = Status::Updated;
        alert.sequence += 1;
        alert.findings += 1;
        alert.first_seen = alert.first_seen.min(window.start);
        if window.end > alert.window.end {
            self.quiet = finding.quiet.max(0);
            alert.window = window;
            alert.detected_at = finding.detected_at;
            alert.title = finding.title;
            alert.severity = finding.severity;
            alert.values = finding.values;
            alert.owasp = finding.owasp;
            alert.attack = finding.attack;
            if !finding.evidence.is_empty() {
                alert.evidence = finding.evidence;
            }
            alert.trim();
        }
        let notify = alert.window.end.saturating_sub(self.notified_end) >= UPDATE_EVERY;
        if notify {
            self.notified_end = alert.window.end;
        }
        Some(Change { alert: alert.clone(), notify })
    }

    fn resolve(self) -> Alert {
        let detected_at = self.over_at();
        let sequence = self.alert.sequence + 1;
        Alert { status: Status::Resolved, detected_at, sequence, ..self.alert }
    }
}
