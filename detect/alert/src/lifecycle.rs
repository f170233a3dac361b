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
//! That no lines come is not quiet: while every source is silent event time passes with the clock, so that windows close, but no
//! alert is over by that ([`Lifecycle::heard_until`]), except Tripline's about itself.
//!
//! Sequence numbers count the findings of an episode in that order, `resolved` is the last: with the windows given, every
//! alert's id, sequence and content is given. [`Lifecycle::step`] takes care of the order within a batch.
//!
//! A window may be told early, while it is open ([`Phase::Early`]). What that adds:
//!
//! * An early finding counts only if it is news, i.e. if its window starts no sooner than the last window told has ended: of
//!   windows that overlap, the first is told early, the others when they close.
//! * The close of a window that was told early is no further finding but a state of its own: it brings the final numbers. Final
//!   numbers replace provisional ones whatever their windows.
//! * Where early findings would begin the next episodes while the one before is not yet over, they wait for that: windows that
//!   are still to close may join them, and a fingerprint has one open alert at a time.
//!
//! Given that the windows of an entity are told in the order of their ends, early or not, episodes and ids are the same as
//! if nothing was told early; sequence numbers are not, since they count the states that there were.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Ended, Status};
use crate::finding::{Finding, Phase};
use crate::incident::Incidents;
use crate::json;

/// An open alert is notified again no sooner than this after the finding last notified: one hour of event time, µs.
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
    /// Fingerprints whose early finding has begun to wait: their episodes are to be stored.
    began_to_wait: Vec<String>,
    /// Nothing becomes due while the watermark is at or before this.
    next_due: Option<i64>,
    incidents: Incidents,
    /// See [`Lifecycle::heard_until`].
    heard: Option<i64>,
}

/// An open alert and what decides over its future. Serialisable: this is what the store keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The newest state.
    pub alert: Alert,
    quiet: i64,
    longest: i64,
    /// When its incident began.
    #[serde(default)]
    incident_began: i64,
    /// End of the last window told; the alert may show one before it.
    #[serde(default = "before_all")]
    last_end: i64,
    /// `detected_at` of the finding last notified.
    #[serde(alias = "notified_end")]
    notified_at: i64,
    recent_ends: BTreeSet<i64>,
    /// Ends of windows told early whose close is still to be told.
    #[serde(default)]
    unconfirmed: BTreeSet<i64>,
    /// Early findings of episodes to come: this one must be over first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<Finding>,
}

/// Episodes stored before there were early findings show their last window.
fn before_all() -> i64 {
    i64::MIN
}

impl Lifecycle {
    /// Continues from what a store kept: the open episodes, and fingerprints with the last window's end of resolved ones.
    pub fn restore(open: impl IntoIterator<Item = Episode>, resolved: impl IntoIterator<Item = (String, i64)>) -> Self {
        let open = open.into_iter().map(|e| (e.alert.fingerprint.clone(), e)).collect();
        let mut lifecycle = Self { open, resolved: resolved.into_iter().collect(), ..Self::default() };
        for episode in lifecycle.open.values_mut() {
            if episode.alert.incident.is_empty() {
                episode.alert.incident = Incidents::id(&episode.alert.id);
            }
            lifecycle.incidents.hold(episode.incident_began, &episode.alert, episode.over_at());
        }
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

    /// All sources are silent since this event time, µs: what would be over after it stays open. `None`: lines come.
    pub fn heard_until(&mut self, heard: Option<i64>) {
        self.heard = heard;
    }

    /// Takes the findings of one batch, in any order, then the watermark that let their windows close.
    pub fn step(&mut self, findings: Vec<Finding>, watermark: Option<i64>) -> Vec<Change> {
        let mut changes = Vec::new();
        for group in in_order(findings) {
            changes.extend(self.take(group, watermark));
        }
        changes.extend(watermark.into_iter().flat_map(|w| self.pass(w)));
        changes
    }

    /// Takes findings that were known at one time, one of [`in_order`]'s groups. What was over by then is resolved first, as it
    /// would have been had the batch ended there. `watermark`: the batch's, which it does not go beyond.
    pub(crate) fn take(&mut self, group: Vec<Finding>, watermark: Option<i64>) -> Vec<Change> {
        let known = group.first().map(|f| f.watermark);
        let mut changes = known.zip(watermark).map_or_else(Vec::new, |(known, w)| self.pass(known.min(w)));
        for finding in group {
            let change = self.record(finding);
            changes.extend(self.untold.drain(..).map(Change::to_notify));
            changes.extend(change);
        }
        changes
    }

    /// Takes one finding. `firing` for a new episode, `updated` otherwise, `None` if it is no news: this window was recorded
    /// before, or it is still open and better told when it closes.
    ///
    /// Findings of one fingerprint come in the order of their windows' ends ([`Lifecycle::step`] sorts). A window that
    /// closes late is counted where it belongs, but the alert keeps showing the newest window.
    pub fn observe(&mut self, finding: Finding) -> Option<Alert> {
        self.record(finding).map(|change| change.alert)
    }

    /// Moves event time on: the alerts that are resolved by it, in the order in which they were, and those that waited for it to
    /// fire. What every window that ends at or before the watermark found must have been told before.
    pub fn advance(&mut self, watermark: i64) -> Vec<Alert> {
        self.pass(watermark).into_iter().map(|change| change.alert).collect()
    }

    /// The same, with whether they are to be sent. Each at its time: what fires then counts for what is over later.
    pub(crate) fn pass(&mut self, watermark: i64) -> Vec<Change> {
        let mut told: Vec<Change> = self.untold.drain(..).map(Change::to_notify).collect();
        if self.next_due.is_none_or(|due| watermark <= due) {
            return told;
        }
        let heard = self.heard.unwrap_or(i64::MAX);
        let is_over = |e: &Episode| e.over_at() < if e.alert.is_own() { watermark } else { watermark.min(heard) };
        let over = self.open.iter().filter(|(_, e)| is_over(e));
        let mut over: BTreeSet<(i64, String)> = over.map(|(f, e)| (e.over_at(), f.clone())).collect();
        while let Some((_, fingerprint)) = over.pop_first() {
            let Some(mut episode) = self.open.remove(&fingerprint) else { continue };
            let waited = std::mem::take(&mut episode.waiting);
            told.push(Change::to_notify(self.resolve(episode)));
            told.extend(waited.into_iter().filter_map(|finding| self.record(finding)));
            let next = self.open.get(&fingerprint).filter(|e| is_over(e)).map(Episode::over_at);
            over.extend(next.map(|at| (at, fingerprint)));
        }
        self.resolved.retain(|_, end| *end >= Self::forgotten_before(watermark));
        self.incidents.forget(watermark);
        self.next_due = self.open.values().map(Episode::over_at).min();
        told
    }

    /// Ends the open episode of an alert although it may go on, at `at` (event time, µs). Windows that overlap its last one
    /// are part of what was resolved and fire nothing; later ones begin the next episode.
    pub fn end(&mut self, alert_id: &str, why: Ended, at: i64) -> Option<Change> {
        let fingerprint = self.open.iter().find(|(_, e)| e.alert.id == alert_id).map(|(f, _)| f.clone())?;
        let episode = self.open.remove(&fingerprint)?;
        self.resolved.insert(fingerprint, episode.end().saturating_add(episode.longest));
        self.next_due = self.open.values().map(Episode::over_at).min();
        let detected_at = at.max(episode.alert.detected_at);
        let alert = episode.resolve(why);
        Some(Change::to_notify(Alert { detected_at, ..alert }))
    }

    /// Episodes that have changed without a new state since the last call.
    pub(crate) fn take_began_to_wait(&mut self) -> Vec<String> {
        std::mem::take(&mut self.began_to_wait)
    }

    /// The end of the last window of a resolved episode.
    pub(crate) fn resolved_end(&self, fingerprint: &str) -> Option<i64> {
        self.resolved.get(fingerprint).copied()
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
                self.incidents.hold(episode.incident_began, &episode.alert, episode.over_at());
                return change;
            }
            if finding.phase == Phase::Early {
                if episode.wait(finding) {
                    self.began_to_wait.push(fingerprint);
                }
                return None;
            }
            let before = self.open.remove(&fingerprint)?;
            let resolved = self.resolve(before);
            self.untold.push(resolved);
        }
        if self.resolved.get(&fingerprint).is_some_and(|&end| finding.window.end <= end) {
            return None;
        }
        let known = finding.watermark;
        let mut episode = Episode::begin(fingerprint.clone(), finding);
        (episode.incident_began, episode.alert.incident) = self.incidents.of(&episode.alert, known);
        let change = Change::to_notify(episode.alert.clone());
        let due = episode.over_at();
        self.incidents.hold(episode.incident_began, &episode.alert, due);
        self.next_due = Some(self.next_due.map_or(due, |d| d.min(due)));
        self.open.insert(fingerprint, episode);
        Some(change)
    }

    fn resolve(&mut self, episode: Episode) -> Alert {
        self.resolved.insert(episode.alert.fingerprint.clone(), episode.end());
        episode.resolve(Ended::Quiet)
    }
}

/// The findings of a batch in the order in which they are taken; those of one watermark together.
pub(crate) fn in_order(mut findings: Vec<Finding>) -> Vec<Vec<Finding>> {
    findings.sort_by_cached_key(|f| {
        let values = json::canonical(&f.values.clone().into());
        (f.watermark, f.window.end, f.window.start, f.rule.clone(), f.fingerprint(), f.phase, values)
    });
    let mut groups: Vec<Vec<Finding>> = Vec::new();
    for finding in findings {
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|f| f.watermark == finding.watermark) => group.push(finding),
            _ => groups.push(vec![finding]),
        }
    }
    groups
}

impl Change {
    fn to_notify(alert: Alert) -> Self {
        Self { alert, notify: true }
    }
}

impl Episode {
    fn begin(fingerprint: String, finding: Finding) -> Self {
        let window = finding.window;
        let provisional = finding.phase == Phase::Early;
        let id = Alert::id(&fingerprint, window.start);
        let mut alert = Alert {
            incident: Incidents::id(&id),
            id,
            rule: finding.rule,
            title: finding.title,
            severity: finding.severity,
            status: Status::Firing,
            resolved_by: None,
            entity: finding.entity,
            window,
            provisional,
            first_seen: window.start,
            fired_at: Some(finding.detected_at),
            detected_at: finding.detected_at,
            values: finding.values,
            evidence: finding.evidence,
            owasp: finding.owasp,
            attack: finding.attack,
            handling: finding.handling,
            fingerprint,
            episode_start: window.start,
            sequence: 1,
            findings: 1,
            truncated: false,
        };
        alert.trim();
        Self {
            alert,
            incident_began: 0,
            quiet: finding.quiet.max(0),
            longest: window.length(),
            last_end: window.end,
            notified_at: finding.detected_at,
            recent_ends: BTreeSet::from([window.end]),
            unconfirmed: provisional.then_some(window.end).into_iter().collect(),
            waiting: Vec::new(),
        }
    }

    /// End of the last window told.
    pub(crate) fn end(&self) -> i64 {
        self.last_end.max(self.alert.window.end)
    }

    /// Whether a finding is of this episode.
    fn holds(&self, finding: &Finding) -> bool {
        finding.window.start <= self.end().saturating_add(self.quiet)
    }

    /// When the watermark is past this, no window to come can join, and those told early are closed.
    fn over_at(&self) -> i64 {
        self.end().saturating_add(self.quiet).saturating_add(self.longest)
    }

    fn update(&mut self, finding: Finding) -> Option<Change> {
        let window = finding.window;
        let early = finding.phase == Phase::Early;
        if early && window.start < self.end() {
            return None;
        }
        let confirms = !early && self.unconfirmed.remove(&window.end);
        let shown = early || self.alert.provisional || window.end > self.alert.window.end;
        let news = if confirms { shown } else { self.remember(window.end) };
        if !news {
            return None;
        }
        if early {
            keep_recent(&mut self.unconfirmed, window.end);
        }
        if window.end >= self.end() {
            self.last_end = window.end;
            self.quiet = finding.quiet.max(0);
        }
        self.longest = self.longest.max(window.length());
        let notify = finding.detected_at.saturating_sub(self.notified_at) >= UPDATE_EVERY;
        if notify {
            self.notified_at = finding.detected_at;
        }
        self.alert.status = Status::Updated;
        self.alert.sequence += 1;
        self.alert.findings += u64::from(!confirms);
        self.alert.first_seen = self.alert.first_seen.min(window.start);
        if shown {
            self.alert.show(finding);
        }
        Some(Change { alert: self.alert.clone(), notify })
    }

    /// Keeps an early finding of an episode to come, if it is news beside those that wait. Returns whether it did.
    fn wait(&mut self, finding: Finding) -> bool {
        let news = self.waiting.last().is_none_or(|before| finding.window.start >= before.window.end);
        let waits = news && self.waiting.len() < RECENT;
        if waits {
            self.waiting.push(finding);
        }
        waits
    }

    /// Returns whether this end is new.
    fn remember(&mut self, end: i64) -> bool {
        let forgotten = self.recent_ends.len() >= RECENT && self.recent_ends.first().is_some_and(|&e| end < e);
        !forgotten && keep_recent(&mut self.recent_ends, end)
    }

    fn resolve(self, why: Ended) -> Alert {
        let detected_at = self.over_at();
        let sequence = self.alert.sequence + 1;
        Alert { status: Status::Resolved, resolved_by: Some(why), detected_at, sequence, ..self.alert }
    }
}

/// Adds an end and, if there are too many, lets go of the first. Returns whether it was new.
fn keep_recent(ends: &mut BTreeSet<i64>, end: i64) -> bool {
    let new = ends.insert(end);
    if ends.len() > RECENT {
        ends.pop_first();
    }
    new
}

impl Alert {
    /// Shows a finding's numbers in place of those before.
    fn show(&mut self, finding: Finding) {
        self.window = finding.window;
        self.provisional = finding.phase == Phase::Early;
        self.detected_at = finding.detected_at;
        self.title = finding.title;
        self.severity = finding.severity;
        self.values = finding.values;
        self.owasp = finding.owasp;
        self.attack = finding.attack;
        self.handling = finding.handling;
        if !finding.evidence.is_empty() {
            self.evidence = finding.evidence;
        }
        self.trim();
    }
}
