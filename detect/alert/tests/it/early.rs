//! Findings of open windows: told at once, confirmed at the close, one alert.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tripline_alert::{Alert, Change, Finding, Lifecycle, Phase, Status};

use crate::lifecycle::{model, reloaded, shuffle};
use crate::support::{MINUTE, finding};

/// The finding of an open window as of a minute.
fn early(client: &str, start: i64, end: i64, settled: i64) -> Finding {
    let at = settled * MINUTE;
    let mut early = Finding { phase: Phase::Early, detected_at: at, watermark: at, ..finding(client, start, end) };
    early.values.insert("requests".into(), json!(settled));
    early.evidence.clear();
    early
}

#[test]
fn fires_at_once_and_its_close_confirms() {
    let mut lifecycle = Lifecycle::default();
    let firing = lifecycle.observe(early("192.0.2.1", 0, 120, 7)).unwrap();
    assert_eq!((firing.status, firing.sequence, firing.provisional), (Status::Firing, 1, true));
    assert_eq!((firing.fired_at, firing.detected_at), (Some(7 * MINUTE), 7 * MINUTE));
    assert_eq!(lifecycle.observe(early("192.0.2.1", 0, 120, 7)), None, "told before");

    let changes = lifecycle.step(vec![finding("192.0.2.1", 0, 120)], Some(120 * MINUTE));
    let Change { alert, notify } = &changes[0];
    assert_eq!((alert.status, alert.sequence, &alert.id), (Status::Updated, 2, &firing.id));
    assert_eq!((alert.findings, alert.provisional, &alert.values["requests"]), (1, false, &json!(120)));
    assert_eq!((alert.fired_at, alert.detected_at), (Some(7 * MINUTE), 120 * MINUTE + 500_000));
    assert_eq!(alert.evidence.len(), 1, "the close brought lines");
    assert!(notify, "more than an hour after it fired");
    assert_eq!(lifecycle.observe(finding("192.0.2.1", 0, 120)), None, "confirmed before");
    assert_eq!(lifecycle.observe(early("192.0.2.1", 0, 120, 7)), None, "closed before");
}

#[test]
fn soon_after_it_fired_the_confirmation_is_not_sent() {
    let mut lifecycle = Lifecycle::default();
    lifecycle.observe(early("192.0.2.1", 0, 10, 7)).unwrap();
    let changes = lifecycle.step(vec![finding("192.0.2.1", 0, 10)], Some(10 * MINUTE));
    assert_eq!(changes.iter().map(|c| (c.alert.sequence, c.notify)).collect::<Vec<_>>(), [(2, false)]);
}

/// Of windows that overlap the first is told early; their closes show final numbers, whatever is still open.
#[test]
fn final_numbers_replace_provisional_ones() {
    let mut lifecycle = Lifecycle::default();
    lifecycle.observe(early("192.0.2.1", 0, 10, 7)).unwrap();
    assert_eq!(lifecycle.observe(early("192.0.2.1", 5, 15, 7)), None, "no news beside the first");
    assert!(!lifecycle.observe(finding("192.0.2.1", 0, 10)).unwrap().provisional);
    let next = lifecycle.observe(early("192.0.2.1", 10, 20, 12)).unwrap();
    assert_eq!((next.provisional, next.window.end, next.findings), (true, 20 * MINUTE, 2));
    let between = lifecycle.observe(finding("192.0.2.1", 5, 15)).unwrap();
    assert_eq!((between.provisional, between.window.end, between.findings), (false, 15 * MINUTE, 3));
    let confirmed = lifecycle.observe(finding("192.0.2.1", 10, 20)).unwrap();
    assert_eq!((confirmed.provisional, confirmed.window.end, confirmed.findings), (false, 20 * MINUTE, 3));
}

/// An alert is not over while its newest window is open, even if the next one begins far after it.
#[test]
fn the_next_episode_waits_until_the_one_before_is_over() {
    let mut lifecycle = Lifecycle::default();
    let first = lifecycle.observe(Finding { quiet: 0, ..early("192.0.2.1", 0, 10, 7) }).unwrap();
    assert_eq!(lifecycle.observe(Finding { quiet: 0, ..early("192.0.2.1", 20, 30, 21) }), None);
    assert_eq!(lifecycle.advance(9 * MINUTE), []);
    let told = lifecycle.step(vec![Finding { quiet: 0, ..finding("192.0.2.1", 0, 10) }], Some(20 * MINUTE + 1));
    let told: Vec<_> = told.iter().map(|c| (c.alert.status, c.alert.provisional, c.alert.window.start)).collect();
    assert_eq!(told, [(Status::Updated, false, 0), (Status::Resolved, false, 0), (Status::Firing, true, 20 * MINUTE)]);
    assert!(lifecycle.open().all(|alert| alert.id != first.id));
}

/// Several may wait, and through a restart: were one forgotten, the one after it would begin an episode before its window closes.
#[test]
fn those_that_wait_fire_in_order() {
    let of = |start, end, settled| Finding { quiet: 0, ..early("192.0.2.1", start, end, settled) };
    let mut lifecycle = Lifecycle::default();
    lifecycle.observe(of(0, 10, 7)).unwrap();
    for finding in [of(20, 30, 21), of(25, 35, 26), of(40, 50, 41)] {
        assert_eq!(lifecycle.observe(finding), None);
    }
    let mut lifecycle = reloaded(&lifecycle);
    let mut told = Vec::new();
    for end in [10, 30, 50] {
        let closed = Finding { quiet: 0, ..finding("192.0.2.1", end - 10, end) };
        told.extend(lifecycle.step(vec![closed], Some((end + 11) * MINUTE)));
    }
    let told: Vec<_> =
        told.iter().map(|c| (c.alert.status, c.alert.window.start / MINUTE, c.alert.provisional)).collect();
    let life = |start| {
        let [firing, updated, resolved] = [Status::Firing, Status::Updated, Status::Resolved];
        [(firing, start, true), (updated, start, false), (resolved, start, false)]
    };
    assert_eq!(told, [life(0), life(20), life(40)].concat()[1..]);
}

/// However far event time goes at once, each end comes at its time, those of the episodes that waited, too.
#[test]
fn what_waited_is_over_at_its_time() {
    let of = |client, start, end, settled| Finding { quiet: 0, ..early(client, start, end, settled) };
    let mut lifecycle = Lifecycle::default();
    for finding in [of("192.0.2.1", 0, 10, 7), of("192.0.2.1", 21, 31, 22), of("192.0.2.2", 35, 45, 40)] {
        lifecycle.observe(finding);
    }
    let told = lifecycle.step(Vec::new(), Some(1_000 * MINUTE));
    let told: Vec<_> = told.iter().map(|c| (c.alert.status, c.alert.window.start / MINUTE)).collect();
    let [firing, resolved] = [Status::Firing, Status::Resolved];
    assert_eq!(told, [(resolved, 0), (firing, 21), (resolved, 21), (resolved, 35)]);
}

/// A state file of a program that knew no early findings.
#[test]
fn episodes_of_before_still_load() {
    let stored = r#"{"alert": {"id": "alr_1", "rule": "pack/rule", "title": "t", "severity": "high", "status": "updated",
        "entity": {"client": "192.0.2.1"},
        "window": {"start": "1970-01-01T00:05:00Z", "end": "1970-01-01T00:10:00Z"},
        "first_seen": "1970-01-01T00:00:00Z", "detected_at": "1970-01-01T00:10:00.5Z", "values": {}, "evidence": [],
        "owasp": [], "attack": [], "fingerprint": "FINGERPRINT", "episode_start": "1970-01-01T00:00:00Z", "sequence": 2,
        "findings": 2, "truncated": false},
        "quiet": 600000000, "longest": 300000000, "notified_end": 300000000, "recent_ends": [300000000, 600000000]}"#;
    let stored = stored.replace("FINGERPRINT", &finding("192.0.2.1", 0, 5).fingerprint());
    let mut lifecycle = Lifecycle::restore([serde_json::from_str(&stored).unwrap()], []);
    let alert = lifecycle.open().next().unwrap();
    assert_eq!((alert.provisional, alert.fired_at), (false, None));
    assert_eq!(lifecycle.observe(finding("192.0.2.1", 5, 10)), None, "told before");
    let next = lifecycle.observe(finding("192.0.2.1", 10, 15)).unwrap();
    assert_eq!((next.sequence, next.findings), (3, 3));
    assert_eq!(lifecycle.advance(31 * MINUTE)[0].status, Status::Resolved);
}

/// What an episode comes to: whether it is over, its beginning, its last window, how many findings, when its last state was.
type Fate = (bool, i64, i64, u64, i64);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However early which windows are told, the episodes are those of a lifecycle that waits for every close.
    #[test]
    fn early_findings_only_anticipate(
        hops in prop::collection::btree_set((0..3_u8, 0..400_i64), 0..60),
        slide in 1..6_i64,
        length in 1..8_i64,
        quiet in 0..40_i64,
        lateness in 0..20_i64,
        cuts in prop::collection::btree_set(0..3_000_i64, 0..60),
        seed: u64,
    ) {
        let length = slide * length;
        let end_of_time = 2_600;
        let mut random = seed;
        // What the windows of an entity find settles in the order of their ends: rows come in that of their times.
        let mut settled = [i64::MIN; 3];
        let windows: Vec<(Finding, Option<Finding>, i64)> = hops
            .iter()
            .map(|&(client, n)| {
                let (start, end) = (n * slide, n * slide + length);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let within = start + i64::try_from(random >> 33).unwrap() % (length + 1);
                let settled = &mut settled[usize::from(client)];
                *settled = within.max(*settled);
                let ip = format!("192.0.2.{client}");
                let of_rule = |f: Finding| Finding { quiet: quiet * MINUTE, ..f };
                let closed = Finding { detected_at: (end + lateness) * MINUTE, ..finding(&ip, start, end) };
                // One of the rules cannot tell early.
                let watermark = (*settled - lateness) * MINUTE;
                let early = (client > 0).then(|| of_rule(Finding { watermark, ..early(&ip, start, end, *settled) }));
                (of_rule(closed), early, *settled)
            })
            .collect();

        let mut lifecycle = Lifecycle::default();
        let mut told: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        let (mut closed_to, mut random) = (-1, seed);
        for now in cuts.into_iter().filter(|c| *c < end_of_time + lateness).chain([end_of_time + lateness]) {
            let watermark = (now - lateness).max(closed_to);
            let open = |f: &&(Finding, Option<Finding>, i64)| f.0.window.end > closed_to * MINUTE;
            let early = windows.iter().filter(open).filter(|w| w.2 <= now).filter_map(|w| w.1.clone());
            let closed = windows.iter().filter(open).filter(|w| w.0.window.end <= watermark * MINUTE).map(|w| w.0.clone());
            let mut batch: Vec<Finding> = early.chain(closed).collect();
            shuffle(&mut batch, &mut random);
            for change in lifecycle.step(batch, Some(watermark * MINUTE)) {
                let Alert { window, provisional, .. } = change.alert;
                prop_assert!(!provisional || window.end > closed_to * MINUTE, "the window was closed before");
                prop_assert!(provisional || window.end <= watermark * MINUTE, "the window is not closed yet");
                prop_assert!(provisional || change.alert.values["requests"] == json!(window.end / MINUTE));
                told.entry(change.alert.fingerprint.clone()).or_default().push(change);
            }
            closed_to = watermark;
            if random % 5 == 0 {
                lifecycle = reloaded(&lifecycle);
            }
        }

        let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
        for changes in told.values() {
            let states: Vec<_> = changes.iter().map(|c| (c.alert.status, c.alert.provisional, c.alert.sequence, c.alert.window.start / MINUTE, c.alert.window.end / MINUTE, c.alert.findings, c.notify)).collect();
            prop_assert!(is_legal(changes), "{states:?}");
            for Change { alert: a, .. } in changes {
                let fate = (a.status == Status::Resolved, a.first_seen, a.window.end, a.findings, a.detected_at);
                fates.insert(format!("{} {}", a.fingerprint, a.episode_start), fate);
            }
        }
        let closed: Vec<Finding> = windows.into_iter().map(|w| w.0).collect();
        let mut expected: BTreeMap<String, Fate> = BTreeMap::new();
        for (id, _, status, first_seen, end, findings, detected_at, _) in model(&closed, end_of_time * MINUTE).into_values().flatten() {
            expected.insert(id, (status == Status::Resolved, first_seen, end, findings, detected_at));
        }
        prop_assert_eq!(fates, expected);
    }
}

/// Whether these can be all states of the alerts of one fingerprint: one alert at a time, from firing to resolved, without gaps,
/// with an hour between what is sent, and never resolved with numbers of an open window.
fn is_legal(changes: &[Change]) -> bool {
    let mut notified_at = 0;
    changes.iter().enumerate().all(|(i, Change { alert, notify })| {
        let before = i.checked_sub(1).map(|i| &changes[i].alert);
        let follows = before.is_some_and(|b| {
            (&b.id, b.sequence + 1, b.fired_at) == (&alert.id, alert.sequence, alert.fired_at)
                && b.status != Status::Resolved
        });
        let legal = match alert.status {
            Status::Firing => {
                let first = alert.sequence == 1 && alert.fired_at == Some(alert.detected_at);
                first && *notify && before.is_none_or(|b| b.status == Status::Resolved)
            }
            Status::Updated => follows && *notify == (alert.detected_at - notified_at >= 60 * MINUTE),
            Status::Resolved => follows && *notify && !alert.provisional,
        };
        if *notify {
            notified_at = alert.detected_at;
        }
        legal
    })
}
