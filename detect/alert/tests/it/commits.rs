//! What is sent, and under which ids, must not depend on how the log was cut into commits.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tripline_alert::desk::{Desk, Filter};
use tripline_alert::{Finding, Handling, Outbox, Phase, Store};

use crate::support::{MINUTE, commit, finding};

/// Open alerts that are sent one by one.
const STORM: u32 = 3;

/// A finding of one of two rules, of which the first says less about the same client.
fn of(rule: u8, client: u8, route: u8, start: i64, end: i64) -> Finding {
    let handling =
        Handling { suppressed_by: if rule == 0 { vec!["pack/1".into()] } else { vec![] }, ..Handling::default() };
    let entity = [("client".to_owned(), json!(format!("192.0.2.{client}"))), ("route".to_owned(), json!(route))];
    let quiet = 7 * MINUTE;
    Finding { rule: format!("pack/{rule}"), entity: entity.into(), handling, quiet, ..finding("", start, end) }
}

/// An alert's id, and its incident, whether it was sent, and why not.
type Told = BTreeMap<String, (String, bool, Option<String>)>;

/// Commits findings (each with the time at which it is known, in minutes) as cut at some times. Returns the alerts, and the messages
/// in order, without updates: of these the newest is sent.
fn told(findings: &[(i64, Finding)], cuts: &[i64]) -> (Told, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut from = i64::MIN;
    for (n, &cut) in cuts.iter().enumerate() {
        // A new process each time.
        let mut store = Store::open(dir.path()).unwrap().with_storm_limit(STORM);
        let some = findings.iter().filter(|(at, _)| (from..cut).contains(at)).map(|(_, f)| f.clone());
        store.commit(&commit(some.collect(), cut - 1, i64::try_from(n).unwrap())).unwrap();
        from = cut;
    }
    let filter = Filter { resolved: true, rule: None, limit: 10_000 };
    let records = Desk::open(dir.path()).unwrap().list(&filter).unwrap();
    let alerts = records.into_iter().map(|r| (r.alert.id, (r.alert.incident, r.told, r.withheld)));
    let messages = Outbox::open(dir.path()).unwrap().pending().unwrap();
    let lasting = messages.into_iter().filter(|m| m.status != "updated");
    (alerts.collect(), lasting.map(|m| format!("{} {} {} {}", m.id, m.status, m.sequence, m.fingerprint)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cuts_decide_nothing(
        hops in prop::collection::btree_set((0..2_u8, 0..6_u8, 0..2_u8, 0..60_i64), 1..60),
        early in prop::collection::btree_set((0..6_u8, 0..60_i64), 0..20),
        cuts in prop::collection::btree_set(0..400_i64, 0..20),
    ) {
        let closed = hops.iter().map(|&(rule, client, route, n)| (n * 5 + 10, of(rule, client, route, n * 5, n * 5 + 10)));
        // (of rules of their own: those of one entity are told in the order of their ends)
        let early = early.iter().map(|&(client, n)| {
            let at = n * 5 + 3;
            let known = Finding { phase: Phase::Early, watermark: at * MINUTE, detected_at: at * MINUTE, ..of(2, client, 9, n * 5, n * 5 + 10) };
            (at, known)
        });
        let findings: Vec<_> = closed.chain(early).collect();
        let cuts: Vec<i64> = cuts.into_iter().chain([1_000]).collect();
        let (alerts, messages) = told(&findings, &cuts);
        let (expected, in_order) = told(&findings, &[1_000]);
        prop_assert_eq!(alerts, expected);
        prop_assert_eq!(messages, in_order);
    }
}
