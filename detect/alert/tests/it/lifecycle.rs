//! Findings to alerts: order, episodes, replays.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tripline_alert::{Alert, Change, Finding, Lifecycle, Status};

use crate::support::{MINUTE, finding};

/// All that must not depend on how the log was cut.
pub(crate) type Told = BTreeMap<String, Vec<(String, u64, Status, i64, i64, u64, i64, bool)>>;

fn told(changes: impl IntoIterator<Item = Change>) -> Told {
    let mut told = Told::new();
    for Change { alert: a, notify } in changes {
        let state = (a.id, a.sequence, a.status, a.first_seen, a.window.end, a.findings, a.detected_at, notify);
        told.entry(a.fingerprint).or_default().push(state);
    }
    told
}

/// The definition, naively: two findings are together if the later one's window starts within `quiet` of the end of the
/// earlier one's; episodes are what that joins, directly or through others.
pub(crate) fn model(findings: &[Finding], end_of_time: i64) -> Told {
    let mut by_entity: BTreeMap<String, BTreeMap<i64, &Finding>> = BTreeMap::new();
    for f in findings {
        by_entity.entry(f.fingerprint()).or_default().insert(f.window.end, f);
    }
    let mut told = Told::new();
    for (fingerprint, by_end) in by_entity {
        let all: Vec<&Finding> = by_end.into_values().collect();
        let mut group: Vec<usize> = (0..all.len()).collect();
        for later in 0..all.len() {
            for earlier in 0..later {
                if all[later].window.start <= all[earlier].window.end + all[earlier].quiet {
                    let (from, to) = (group[later], group[earlier]);
                    group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
                }
            }
        }
        for root in group.iter().copied().collect::<BTreeSet<_>>() {
            let episode: Vec<&Finding> = (0..all.len()).filter(|&i| group[i] == root).map(|i| all[i]).collect();
            let start = episode[0].window.start;
            let id = format!("{fingerprint} {start}");
            let expected = told.entry(fingerprint.clone()).or_default();
            let mut notified = episode[0].window.end;
            let mut count = 0;
            for f in &episode {
                count += 1;
                let status = if count == 1 { Status::Firing } else { Status::Updated };
                let notify = count == 1 || f.window.end - notified >= 60 * MINUTE;
                notified = if notify { f.window.end } else { notified };
                expected.push((id.clone(), count, status, start, f.window.end, count, f.detected_at, notify));
            }
            let last = episode[episode.len() - 1];
            let over = last.window.end + last.quiet + last.window.length();
            if over < end_of_time {
                expected.push((id, count + 1, Status::Resolved, start, last.window.end, count, over, true));
            }
        }
    }
    told
}

/// Replaces ids, which are hashes, by what they are hashes of.
fn with_readable_ids(told: Told, alerts: &[Alert]) -> Told {
    let names: BTreeMap<&str, String> =
        alerts.iter().map(|a| (a.id.as_str(), format!("{} {}", a.fingerprint, a.episode_start))).collect();
    told.into_iter()
        .map(|(f, list)| {
            (
                f,
                list.into_iter()
                    .map(|mut s| {
                        s.0 = names[s.0.as_str()].clone();
                        s
                    })
                    .collect(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn only_windows_decide(
        // Hops of one length on a grid, as an engine closes them.
        hops in prop::collection::btree_set((0..3_u8, 0..400_i64), 0..60),
        slide in 1..6_i64,
        length in 1..8_i64,
        quiet in 0..40_i64,
        cuts in prop::collection::btree_set(0..3_000_i64, 0..25),
        seed: u64,
    ) {
        let length = slide * length;
        let findings: Vec<Finding> = hops
            .iter()
            .map(|(client, n)| Finding { quiet: quiet * MINUTE, ..finding(&format!("192.0.2.{client}"), n * slide, n * slide + length) })
            .collect();
        let end_of_time = 2_600;
        let cuts = cuts.into_iter().filter(|c| *c < end_of_time).chain([end_of_time]);

        let mut lifecycle = Lifecycle::default();
        let mut changes = Vec::new();
        let mut random = seed;
        let mut closed = 0;
        for cut in cuts.map(|minutes| minutes * MINUTE) {
            let mut batch: Vec<Finding> = findings.iter().filter(|f| (closed..=cut).contains(&f.window.end)).cloned().collect();
            closed = cut + 1;
            shuffle(&mut batch, &mut random);
            // Some are told twice, in the same batch.
            let again = batch.len() / 3;
            batch.extend_from_within(..again);
            changes.extend(lifecycle.step(batch, Some(cut)));
            if random % 3 == 0 {
                lifecycle = reloaded(&lifecycle);
            }
        }
        let alerts: Vec<Alert> = changes.iter().map(|c| c.alert.clone()).collect();
        prop_assert_eq!(with_readable_ids(told(changes), &alerts), model(&findings, end_of_time * MINUTE));
    }
}

/// As after a restart; what is resolved is forgotten, which only replays could notice.
pub(crate) fn reloaded(lifecycle: &Lifecycle) -> Lifecycle {
    let fingerprints: Vec<String> = lifecycle.open().map(|a| a.fingerprint.clone()).collect();
    let json: Vec<String> =
        fingerprints.iter().map(|f| serde_json::to_string(lifecycle.episode(f).unwrap()).unwrap()).collect();
    Lifecycle::restore(json.iter().map(|e| serde_json::from_str(e).unwrap()), [])
}

pub(crate) fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for i in (1..items.len()).rev() {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, usize::try_from(*random >> 33).unwrap() % (i + 1));
    }
}

#[test]
fn an_episode_fires_updates_and_resolves() {
    let mut lifecycle = Lifecycle::default();
    let firing = lifecycle.observe(finding("192.0.2.1", 0, 5)).unwrap();
    assert_eq!((firing.status, firing.sequence, firing.findings), (Status::Firing, 1, 1));
    assert_eq!(lifecycle.advance(5 * MINUTE), []);
    let updated = lifecycle.observe(finding("192.0.2.1", 5, 10)).unwrap();
    assert_eq!((updated.status, updated.sequence, &updated.id), (Status::Updated, 2, &firing.id));
    // Last end 10, quiet 10, length 5: a window that ends at 25 still starts in time, one that ends later does not.
    assert_eq!(lifecycle.advance(25 * MINUTE), []);
    let resolved = lifecycle.advance(25 * MINUTE + 1);
    assert_eq!((resolved[0].status, resolved[0].sequence, &resolved[0].id), (Status::Resolved, 3, &firing.id));
    assert_eq!((resolved[0].detected_at, resolved[0].findings), (25 * MINUTE, 2));
    assert_eq!(lifecycle.open().count(), 0);
}

/// An attacker who blinds the logs does not end the alert; lines that come again do, at the time at which it was over.
#[test]
fn no_lines_are_not_quiet() {
    let mut lifecycle = Lifecycle::default();
    lifecycle.observe(finding("192.0.2.1", 0, 5));
    let own = Finding { rule: "tripline/source-silent".into(), ..finding("logs", 0, 5) };
    lifecycle.observe(own);
    lifecycle.heard_until(Some(10 * MINUTE));
    let over = lifecycle.advance(1_000 * MINUTE);
    assert_eq!(over.iter().map(|a| a.rule.as_str()).collect::<Vec<_>>(), ["tripline/source-silent"]);
    assert_eq!(lifecycle.advance(2_000 * MINUTE), []);
    lifecycle.heard_until(None);
    let over = lifecycle.advance(2_001 * MINUTE);
    assert_eq!(over.iter().map(|a| (a.status, a.detected_at)).collect::<Vec<_>>(), [(Status::Resolved, 20 * MINUTE)]);
    // What was over while lines still came ends.
    lifecycle.observe(finding("192.0.2.2", 2_000, 2_005));
    lifecycle.heard_until(Some(2_100 * MINUTE));
    assert_eq!(lifecycle.advance(3_000 * MINUTE).len(), 1);
}

#[test]
fn a_window_that_closes_late_belongs_where_it_lies() {
    let mut lifecycle = Lifecycle::default();
    let firing = lifecycle.observe(finding("192.0.2.1", 20, 30)).unwrap();
    let late = lifecycle.observe(finding("192.0.2.1", 15, 25)).unwrap();
    assert_eq!((late.status, &late.id, late.findings), (Status::Updated, &firing.id, 2));
    assert_eq!(
        (late.first_seen, late.window),
        (15 * MINUTE, firing.window),
        "it widens the alert but is not its newest window"
    );
}

#[test]
fn what_was_recorded_changes_nothing() {
    let mut lifecycle = Lifecycle::default();
    for start in 0..100 {
        assert!(lifecycle.observe(finding("192.0.2.1", start, start + 5)).is_some());
    }
    for start in 0..100 {
        assert_eq!(lifecycle.observe(finding("192.0.2.1", start, start + 5)), None, "{start}");
    }
    assert_eq!(lifecycle.advance(200 * MINUTE).len(), 1);
    for start in 0..100 {
        assert_eq!(lifecycle.observe(finding("192.0.2.1", start, start + 5)), None, "{start}");
    }
    let next = lifecycle.observe(finding("192.0.2.1", 300, 305)).unwrap();
    assert_eq!((next.status, next.sequence), (Status::Firing, 1));
}

#[test]
fn without_advance_the_next_episode_resolves_the_one_before() {
    let mut lifecycle = Lifecycle::default();
    let first = lifecycle.observe(finding("192.0.2.1", 0, 5)).unwrap();
    let second = lifecycle.observe(finding("192.0.2.1", 100, 105)).unwrap();
    assert_ne!(first.id, second.id);
    let resolved = lifecycle.advance(105 * MINUTE);
    assert_eq!(resolved.iter().map(|a| (&a.id, a.status)).collect::<Vec<_>>(), [(&first.id, Status::Resolved)]);
}

#[test]
fn times_at_the_ends_of_time_do_not_overflow() {
    let mut lifecycle = Lifecycle::default();
    for (start, end, quiet) in
        [(i64::MIN, i64::MIN + 1, 0), (i64::MIN, i64::MAX, i64::MAX), (i64::MAX, i64::MIN, -1), (0, i64::MAX, i64::MIN)]
    {
        let mut f = finding("192.0.2.1", 0, 5);
        (f.window.start, f.window.end, f.quiet) = (start, end, quiet);
        lifecycle.observe(f);
        lifecycle.advance(i64::MAX);
        lifecycle.advance(i64::MIN);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_alert_is_never_large(
        lines in prop::collection::vec(0..20_000_usize, 0..40),
        values in prop::collection::vec((0..30_000_usize, "[\\x{1}<a\\x{202e}é]"), 0..30),
        entity in 0..100_000_usize,
    ) {
        let mut f = finding("192.0.2.1", 0, 5);
        f.evidence = lines.iter().map(|n| { let mut e = f.evidence[0].clone(); e.raw = "\u{1b}".repeat(*n); e }).collect();
        f.values = values.iter().enumerate().map(|(i, (n, c))| (format!("v{i}"), vec![c.repeat(n % 1000); 1 + n / 1000].into())).collect();
        f.entity.insert("path".into(), "é".repeat(entity).into());
        let small = lines.iter().sum::<usize>() + values.iter().map(|v| v.0).sum::<usize>() + entity < 100;
        let fingerprint = f.fingerprint();
        let alert = Lifecycle::default().observe(f).unwrap();
        let json = tripline_alert::json::to_string(&alert).unwrap();
        prop_assert!(json.len() <= 63 * 1024);
        prop_assert_eq!(alert.fingerprint, fingerprint);
        prop_assert!(!small || !alert.truncated || lines.len() > 10);
    }
}

#[test]
fn when_nothing_else_helps_columns_go() {
    let mut f = finding("192.0.2.1", 0, 5);
    f.values = (0..5_000).map(|n| (format!("column {n}"), n.into())).collect();
    let alert = Lifecycle::default().observe(f.clone()).unwrap();
    assert_eq!((alert.values.len(), alert.entity.len(), alert.truncated), (0, 1, true));
    f.entity = (0..5_000).map(|n| (format!("column {n}"), n.into())).collect();
    let alert = Lifecycle::default().observe(f).unwrap();
    assert_eq!((alert.values.len(), alert.entity.len(), alert.truncated), (0, 0, true));
}
