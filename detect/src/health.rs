//! Sources that have gone silent, and clocks that are off. Pure functions over the time and how the files stand.
//!
//! Three clocks meet here. *Silence* is measured on the wall clock: a source that writes nothing has no event time. The alert
//! about it lives in event time as all alerts do: while a source is silent it has a finding for each minute that the
//! watermark passes, so that the alert stays open, and is resolved soon after the source is back. *A file's own clock* is
//! compared with the wall clock, and told once a file.
//!
//! A clock that is ahead must not make everybody else's lines late: event time never runs ahead of the wall clock
//! ([`bound`]), and a line from the [far future](AHEAD_REJECTED) is rejected, because it would make the rest of its own
//! file late.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};
use tripline_alert::{Alert, Finding, Severity, Window};
use tripline_ingest::{FileStatus, Level, Notice};

use crate::config;

/// The rule of the alerts about silent sources.
pub const SILENT_RULE: &str = "tripline/source-silent";
/// A file's newest line may be this far ahead of the wall clock before it is told, µs.
const AHEAD_TOLD: i64 = 5 * MINUTE;
/// Lines further ahead of the wall clock than this are rejected, µs. A wrong time zone is less than this.
pub const AHEAD_REJECTED: i64 = 24 * 60 * MINUTE;
/// A growing file's newest line may be this far behind the wall clock before it is told, µs.
const BEHIND_TOLD: i64 = 2 * 60 * MINUTE;
/// If nobody looked for longer than this (the machine slept, its clock was set), the time in between says nothing, µs.
const UNSEEN: i64 = MINUTE;
/// The wall clock is not believed before 2026-01-01, µs: machines begin in 1970.
const SANE: i64 = 1_767_225_600_000_000;
const MINUTE: i64 = 60_000_000;

/// The wall clock `now` (µs) as a bound for event time; `None` if the clock cannot be right.
pub fn bound(now: i64) -> Option<i64> {
    (now >= SANE).then_some(now)
}

/// Lines dated after this are to be rejected. `newest`: the newest line so far, µs; if the wall clock was set back, lines go on
/// from there.
pub fn latest_allowed(now: i64, newest: Option<i64>) -> i64 {
    bound(now).map_or(i64::MAX, |now| now.max(newest.unwrap_or(i64::MIN)).saturating_add(AHEAD_REJECTED))
}

/// What is known of the sources' health.
#[derive(Debug)]
pub struct Health {
    sources: Vec<Source>,
    files: BTreeMap<String, File>,
    /// When it was looked last, wall clock, µs.
    looked: Option<i64>,
}

#[derive(Debug)]
struct Source {
    pattern: String,
    /// `None`: silence is no news.
    silent_after: Option<i64>,
    /// When lines came last, wall clock, µs; `None`: never.
    heard: Option<i64>,
    /// Lines came since the last look.
    fresh: bool,
    /// Since when it has been silent, wall clock, µs, once that was told.
    silent_since: Option<i64>,
    /// End of the last minute of event time with a finding.
    alerted_to: Option<i64>,
}

/// One file, between looks.
#[derive(Debug, Default)]
struct File {
    newest: Option<i64>,
    caught_up: bool,
    told: bool,
}

impl Health {
    /// Over the config's sources. `open`: alerts that were open when the last run ended. The error is what is wrong with a
    /// source's `silent_after`.
    pub fn new(sources: &[config::Source], open: &[Alert]) -> Result<Self, String> {
        let of = |source: &config::Source| {
            let pattern = source.path.display().to_string();
            let told = open.iter().find(|a| a.rule == SILENT_RULE && a.entity.get("source") == Some(&json!(pattern)));
            let since = told.and_then(|a| a.values.get("silent_since")?.as_str()?.parse::<jiff::Timestamp>().ok());
            Ok(Source {
                silent_after: source.silent_after_us()?,
                heard: since.map(jiff::Timestamp::as_microsecond),
                fresh: false,
                silent_since: since.map(jiff::Timestamp::as_microsecond),
                alerted_to: told.map(|a| a.window.end),
                pattern,
            })
        };
        let sources = sources.iter().map(of).collect::<Result<_, String>>()?;
        Ok(Self { sources, files: BTreeMap::new(), looked: None })
    }

    /// Lines of a source came, rejects among them.
    pub fn heard(&mut self, source: usize) {
        if let Some(source) = self.sources.get_mut(source) {
            source.fresh = true;
        }
    }

    /// Looks at how the files stand at `now` (wall clock, µs). Returns what there is to tell.
    pub fn look(&mut self, now: i64, files: &[FileStatus<'_>]) -> Vec<Notice> {
        let mut notices = Vec::new();
        // Files that were read before this process began have been heard of, too: their source counts from now.
        for file in files.iter().filter(|f| f.newest_ts.is_some()) {
            if let Some(source) = self.sources.get_mut(file.source) {
                source.heard.get_or_insert(now);
            }
        }
        let unseen = self.looked.map_or(0, |before| now.saturating_sub(before));
        for source in &mut self.sources {
            if !(0..=UNSEEN).contains(&unseen) && source.silent_since.is_none() {
                source.heard = source.heard.map(|heard| heard.saturating_add(unseen));
            }
            notices.extend(source.look(now));
        }
        self.looked = Some(now);
        if bound(now).is_some() {
            for file in files {
                if !self.files.contains_key(file.key) {
                    self.files.insert(file.key.to_owned(), File::default());
                }
                notices.extend(self.files.get_mut(file.key).and_then(|known| known.look(now, file)));
            }
        }
        if self.files.len() > files.len() {
            let there: HashSet<&str> = files.iter().map(|f| f.key).collect();
            self.files.retain(|key, _| there.contains(key.as_str()));
        }
        notices
    }

    /// Whether every source that ever had lines is silent: that nothing is found says nothing then.
    pub fn all_silent(&self) -> bool {
        let mut known = self.sources.iter().filter(|s| s.heard.is_some()).peekable();
        known.peek().is_some() && known.all(|s| s.silent_since.is_some() && !s.fresh)
    }

    /// A finding for each silent source and the minutes of event time that ended at or before `watermark` since the last call.
    pub fn findings(&mut self, watermark: i64) -> Vec<Finding> {
        let end = watermark.div_euclid(MINUTE).saturating_mul(MINUTE);
        self.sources.iter_mut().filter_map(|source| source.finding(end)).collect()
    }
}

impl Source {
    fn look(&mut self, now: i64) -> Option<Notice> {
        if std::mem::take(&mut self.fresh) {
            self.heard = Some(now);
            self.alerted_to = None;
            let since = self.silent_since.take()?;
            let text = format!("{}: lines come again, after {}", self.pattern, span(now.saturating_sub(since)));
            return Some(Notice { level: Level::Info, text });
        }
        let (heard, after) = (self.heard?, self.silent_after?);
        if self.silent_since.is_some() || now.saturating_sub(heard) <= after {
            return None;
        }
        self.silent_since = Some(heard);
        let text = format!(
            "{}: no lines for {}: does the server still write there, and may this user still read it? (silent_after = \"off\" \
             in its [[source]] if that is usual)",
            self.pattern,
            span(now.saturating_sub(heard))
        );
        Some(Notice { level: Level::Warn, text })
    }

    fn finding(&mut self, end: i64) -> Option<Finding> {
        let since = self.silent_since?;
        // Windows that touch: the alert is one, however event time jumps.
        let start = self.alerted_to.unwrap_or(end.saturating_sub(MINUTE));
        if start >= end || end == i64::MIN {
            return None;
        }
        self.alerted_to = Some(end);
        let values = Map::from_iter([
            ("silent_since".to_owned(), json!(rfc3339(since))),
            ("silent_after_s".to_owned(), json!(self.silent_after.map(|us| us / 1_000_000))),
        ]);
        Some(Finding {
            phase: tripline_alert::Phase::Closed,
            rule: SILENT_RULE.into(),
            title: "A log source has gone silent".into(),
            severity: Severity::High,
            entity: BTreeMap::from([("source".to_owned(), Value::from(self.pattern.as_str()))]),
            window: Window { start, end },
            values,
            detected_at: end,
            // As long as the source is silent: what it follows on must not be over before it is taken.
            watermark: start,
            owasp: Vec::new(),
            attack: Vec::new(),
            quiet: MINUTE,
            evidence: Vec::new(),
            handling: tripline_alert::Handling::default(),
        })
    }
}

impl File {
    fn look(&mut self, now: i64, status: &FileStatus<'_>) -> Option<Notice> {
        // What is read until a file's end is reached for the first time is the past, and old by right.
        let grew = self.caught_up && status.newest_ts > self.newest;
        self.newest = status.newest_ts;
        self.caught_up |= status.at_end;
        let newest = status.newest_ts.filter(|_| !self.told)?;
        let path = status.path.display();
        let text = if newest > now.saturating_add(AHEAD_TOLD) {
            format!(
                "{path}: its newest line is {} ahead of this machine's clock: a clock or a time zone is wrong, correct it; \
                 until then findings from this file wait for the clock",
                span(newest.saturating_sub(now))
            )
        } else if grew && newest < now.saturating_sub(BEHIND_TOLD) {
            format!(
                "{path}: lines come that are {} behind this machine's clock: its clock or time zone is wrong, or lines are \
                 delivered late; beside other files they count only within their `lateness`",
                span(now.saturating_sub(newest))
            )
        } else {
            return None;
        };
        self.told = true;
        Some(Notice { level: Level::Warn, text })
    }
}

/// µs since 1970 in RFC 3339, UTC.
pub(crate) fn rfc3339(us: i64) -> Option<String> {
    jiff::Timestamp::from_microsecond(us).ok().map(|t| t.to_string())
}

/// A stretch of time for a person: `3 d 4 h`, `2 h 5 min`, `40 s`.
pub(crate) fn span(us: i64) -> String {
    let seconds = us.unsigned_abs() / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use tripline_alert::{Lifecycle, Status};
    use tripline_ingest::Counters;

    const NOW: i64 = SANE + 100 * 24 * 60 * MINUTE;

    fn health(silent_after: &str, open: &[Alert]) -> Health {
        let source: config::Source =
            toml::from_str(&format!("path = \"/logs/a\"\nsilent_after = \"{silent_after}\"")).unwrap();
        Health::new(&[source], open).unwrap()
    }

    fn file(newest_ts: Option<i64>, at_end: bool) -> FileStatus<'static> {
        FileStatus {
            key: "a#1",
            path: Path::new("/logs/a/access.log"),
            source: 0,
            format: "combined",
            newest_ts,
            lateness_us: 0,
            at_end,
            counters: Counters::default(),
        }
    }

    /// Looks every half minute for so many minutes at a file that stands still; what was told, and after how many minutes.
    fn wait(health: &mut Health, from: i64, minutes: i64) -> Vec<(i64, String)> {
        let files = [file(Some(from), true)];
        (1..=2 * minutes)
            .flat_map(|half| {
                let told = health.look(from + half * MINUTE / 2, &files);
                told.into_iter().map(move |notice| (half / 2, notice.text)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_source_that_stops_is_told_once_and_again_when_it_is_back() {
        let mut health = health("15m", &[]);
        health.heard(0);
        assert!(health.look(NOW, &[file(Some(NOW), true)]).is_empty());
        let told = wait(&mut health, NOW, 60);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].0 == 15 && told[0].1.contains("/logs/a: no lines for 15 min"), "{told:?}");
        assert!(health.all_silent());
        health.heard(0);
        assert!(!health.all_silent());
        let told = health.look(NOW + 61 * MINUTE, &[file(Some(NOW + 61 * MINUTE), true)]);
        assert!(
            told.len() == 1 && told[0].level == Level::Info && told[0].text.contains("after 1 h 1 min"),
            "{told:?}"
        );
        assert_eq!(health.findings(NOW + 70 * MINUTE), []);
    }

    #[test]
    fn silence_is_no_news_where_it_is_off_or_nothing_ever_came() {
        let mut off = health("off", &[]);
        off.heard(0);
        assert!(wait(&mut off, NOW, 600).is_empty());
        assert!(!off.all_silent());
        let mut empty = health("1m", &[]);
        for minute in 0..600 {
            assert!(empty.look(NOW + minute * MINUTE, &[]).is_empty());
        }
    }

    #[test]
    fn a_file_known_from_the_last_run_counts_from_now() {
        let mut health = health("15m", &[]);
        let told = wait(&mut health, NOW, 60);
        // (the first look is at half a minute)
        assert!(told.len() == 1 && told[0].0 == 16, "{told:?}");
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        for jump in [8 * 60 * MINUTE, -8 * 60 * MINUTE] {
            let mut health = health("15m", &[]);
            health.heard(0);
            health.look(NOW, &[file(Some(NOW), true)]);
            assert!(wait(&mut health, NOW, 10).is_empty());
            let told = wait(&mut health, NOW + 10 * MINUTE + jump, 10);
            assert!(told.len() == 1 && (5..=6).contains(&told[0].0), "{jump} {told:?}");
        }
    }

    /// The alert's life in event time: one episode, through jumps and a restart, resolved once the source is back.
    #[test]
    fn one_silence_is_one_alert() {
        let mut health = health("15m", &[]);
        health.heard(0);
        health.look(NOW, &[file(Some(NOW), true)]);
        wait(&mut health, NOW, 16);
        let mut lifecycle = Lifecycle::default();
        let mut seen = Vec::new();
        let mut tell = |health: &mut Health, watermark: i64| {
            let changes = lifecycle.step(health.findings(watermark), Some(watermark));
            seen.extend(changes.into_iter().map(|c| (c.alert.status, c.alert.id)));
            lifecycle.open().cloned().collect::<Vec<_>>()
        };
        for watermark in [NOW + 16 * MINUTE, NOW + 16 * MINUTE + 1, NOW + 17 * MINUTE, NOW + 200 * MINUTE] {
            tell(&mut health, watermark);
        }
        let open = tell(&mut health, NOW + 201 * MINUTE);
        let mut restarted = self::health("15m", &open);
        tell(&mut restarted, NOW + 202 * MINUTE);
        restarted.heard(0);
        let told = restarted.look(NOW + 203 * MINUTE, &[]);
        assert!(told.len() == 1 && told[0].text.contains("lines come again, after 3 h 23 min"), "{told:?}");
        for minute in 203..500 {
            tell(&mut restarted, NOW + minute * MINUTE);
        }
        assert_eq!(seen.first().map(|s| s.0), Some(Status::Firing));
        assert_eq!(seen.last().map(|s| s.0), Some(Status::Resolved));
        assert_eq!(seen.iter().filter(|s| s.0 != Status::Updated).count(), 2, "{seen:?}");
        assert!(seen.iter().all(|s| s.1 == seen[0].1), "{seen:?}");
    }

    #[test]
    fn a_clock_that_is_ahead_is_told_once() {
        let mut health = health("off", &[]);
        assert!(health.look(NOW, &[file(Some(NOW + AHEAD_TOLD), true)]).is_empty());
        let told = health.look(NOW, &[file(Some(NOW + 2 * 60 * MINUTE), true)]);
        assert!(told.len() == 1 && told[0].text.contains("access.log: its newest line is 2 h 0 min ahead"), "{told:?}");
        assert!(health.look(NOW, &[file(Some(NOW + 3 * 60 * MINUTE), true)]).is_empty());
    }

    #[test]
    fn a_clock_that_is_behind_is_told_when_the_file_grows_and_not_of_old_logs() {
        let mut health = health("off", &[]);
        let old = NOW - 5 * 60 * MINUTE;
        assert!(health.look(NOW, &[file(Some(old), false)]).is_empty());
        assert!(health.look(NOW, &[file(Some(old + 1), true)]).is_empty());
        assert!(health.look(NOW, &[file(Some(old + 1), true)]).is_empty());
        let told = health.look(NOW, &[file(Some(old + 2), true)]);
        assert!(told.len() == 1 && told[0].text.contains("4 h 59 min behind"), "{told:?}");
    }

    #[test]
    fn a_machine_whose_own_clock_is_wrong_rejects_nothing() {
        assert_eq!(latest_allowed(3600 * 1_000_000, Some(NOW)), i64::MAX);
        assert_eq!(latest_allowed(NOW, None), NOW + AHEAD_REJECTED);
        // Set back by a year: lines go on.
        let back = NOW - 60 * 24 * 60 * MINUTE;
        assert_eq!(latest_allowed(back, Some(NOW)), NOW + AHEAD_REJECTED);
        assert!(health("off", &[]).look(0, &[file(Some(NOW), true)]).is_empty());
    }
}
