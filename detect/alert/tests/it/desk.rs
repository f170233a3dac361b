//! What is sent and what is withheld, and what people do with alerts beside a running process.

use tripline_alert::desk::{Desk, DeskError, Filter, Precision, Verdict};
use tripline_alert::{Commit, Ended, Finding, Handling, Mode, Outbox, Phase, Route, Severity, Silence, Status, Store};

use crate::store::{TO_VERSION_3, sql};
use crate::support::{MINUTE, commit, finding};

const ALL: Filter = Filter { resolved: true, rule: None, limit: 100_000 };
const T0: i64 = 1_700_000_000_000;

fn desk(dir: &tempfile::TempDir) -> Desk {
    Desk::open(dir.path()).unwrap()
}

/// Status and client of what is in the outbox.
fn queued(dir: &tempfile::TempDir) -> Vec<String> {
    Outbox::open(dir.path()).unwrap().pending().unwrap().into_iter().map(|e| e.status).collect()
}

fn of(rule: &str, finding: Finding) -> Finding {
    Finding { rule: rule.into(), ..finding }
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn an_observing_rule_is_listed_and_never_sent() {
    let (dir, mut store) = open();
    let handling = Handling { mode: Mode::Observe, ..Handling::default() };
    let steps = [commit(vec![Finding { handling, ..finding("a", 0, 5) }], 5, T0), commit(vec![], 500, T0)];
    for step in &steps {
        store.commit(step).unwrap();
    }
    assert_eq!(queued(&dir), Vec::<String>::new());
    let [record] = desk(&dir).list(&ALL).unwrap().try_into().unwrap();
    assert_eq!((record.alert.status, record.told), (Status::Resolved, false));
    assert_eq!(record.withheld.as_deref(), Some("the rule observes"));
}

#[test]
fn a_silence_withholds_what_it_matches_while_it_lasts() {
    let (dir, mut store) = open();
    store.commit(&commit(vec![finding("told", 0, 5)], 5, T0)).unwrap();
    let silence = |words: &[&str]| Silence {
        number: 0,
        matchers: Silence::matchers(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()).unwrap(),
        starts_ms: T0,
        ends_ms: T0 + 1_000,
        author: "ann".into(),
        reason: "deploy".into(),
        hits: 0,
    };
    let number = desk(&dir).silence(&silence(&["rule=pack/*", "client=t*"])).unwrap();
    desk(&dir).silence(&silence(&["client=t*", "user=x"])).unwrap();
    let later = vec![finding("told", 60, 65), finding("tnew", 0, 5), finding("other", 0, 5)];
    store.commit(&commit(later, 5, T0 + 500)).unwrap();
    // The first episode of `told` is over, which is told; its second is withheld.
    assert_eq!(queued(&dir), ["firing", "firing", "resolved"]);
    assert_eq!(desk(&dir).silences(T0 + 500).unwrap().iter().map(|s| s.hits).collect::<Vec<_>>(), [2, 0]);
    let withheld: Vec<_> = desk(&dir).list(&ALL).unwrap().into_iter().filter_map(|r| r.withheld).collect();
    assert!(withheld.iter().all(|why| *why == format!("silence {number}")), "{withheld:?}");
    // The end of what was sent is told in a silence too; of what was not, it is not.
    store.commit(&commit(vec![], 500, T0 + 600)).unwrap();
    assert_eq!(queued(&dir).iter().filter(|s| *s == "resolved").count(), 2);
    // It is over, by itself or by hand.
    assert!(desk(&dir).unsilence(number, T0 + 700).unwrap());
    assert!(!desk(&dir).unsilence(number, T0 + 700).unwrap());
    assert_eq!(desk(&dir).silences(T0 + 1_000).unwrap(), []);
    store.commit(&commit(vec![finding("tnew", 1_000, 1_005)], 1_005, T0 + 800)).unwrap();
    assert_eq!(queued(&dir).last().unwrap(), "firing");
}

#[test]
fn what_is_wrong_with_a_silence() {
    let good = Silence {
        number: 0,
        matchers: Silence::matchers(&["rule=x".to_owned()]).unwrap(),
        starts_ms: 0,
        ends_ms: 1,
        author: "ann".into(),
        reason: "deploy".into(),
        hits: 0,
    };
    good.check().unwrap();
    for (bad, part) in [
        (Silence { matchers: [].into(), ..good.clone() }, "something to match"),
        (Silence { reason: " ".into(), ..good.clone() }, "author and a reason"),
        (Silence { ends_ms: 0, ..good.clone() }, "ends after it begins"),
        (Silence { ends_ms: i64::MAX, ..good.clone() }, "within a year"),
        (Silence { author: "x".repeat(2_000), ..good.clone() }, "at most 1024 bytes"),
    ] {
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let wrong = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|w| (*w).to_owned()).collect();
        Silence::matchers(&words).unwrap_err().to_string()
    };
    assert!(wrong(&["client"]).contains("client"));
    assert!(wrong(&["client=a", "client=b"]).contains("client is given twice"));
}

#[test]
fn a_rule_that_says_less_is_quiet_about_the_same_entity() {
    let (dir, mut store) = open();
    let handling = Handling { suppressed_by: vec!["pack/more".into()], ..Handling::default() };
    let less = |client| Finding { handling: handling.clone(), ..of("pack/less", finding(client, 0, 5)) };
    let findings = vec![less("a"), less("b"), of("pack/more", finding("a", 0, 5))];
    store.commit(&commit(findings, 5, T0)).unwrap();
    assert_eq!(queued(&dir).len(), 2, "more of a, less of b");
    let why: Vec<_> = desk(&dir).list(&ALL).unwrap().into_iter().filter_map(|r| r.withheld).collect();
    assert!(why.len() == 1 && why[0].starts_with("pack/more says the same: alr_"), "{why:?}");
}

#[test]
fn destinations_get_what_they_want() {
    let (dir, mut store) = open();
    let route = |destination: &str| Route::from(destination);
    let routes = vec![
        route("all"),
        Route { severity: Severity::High, ..route("urgent") },
        Route { rules: vec!["pay/*".into()], ..route("payments-rules") },
        Route { owners: vec!["payments".into()], ..route("payments-team") },
    ];
    let owned = Handling { owner: Some("payments".into()), ..Handling::default() };
    let findings = vec![
        finding("a", 0, 5),
        Finding { severity: Severity::Low, ..of("pay/x", finding("a", 0, 5)) },
        Finding { handling: owned, severity: Severity::Medium, ..of("other", finding("a", 0, 5)) },
    ];
    store.commit(&Commit { destinations: routes, ..commit(findings, 5, T0) }).unwrap();
    let count = |name: &str| {
        Outbox::open(dir.path()).unwrap().pending().unwrap().iter().filter(|e| e.destination == name).count()
    };
    assert_eq!(["all", "urgent", "payments-rules", "payments-team"].map(count), [3, 1, 1, 1]);
}

#[test]
fn ten_thousand_entities_are_one_storm() {
    let (dir, mut store) = open();
    let findings: Vec<_> = (0..10_000).map(|n| finding(&format!("10.0.{}.{}", n / 256, n % 256), 0, 5)).collect();
    for some in findings.chunks(1_000) {
        store.commit(&commit(some.to_vec(), 5, T0)).unwrap();
    }
    assert_eq!(queued(&dir).len(), 101, "the first hundred and the storm");
    let filter = Filter { rule: Some("tripline/storm".into()), ..ALL };
    let [told] = desk(&dir).list(&filter).unwrap().try_into().unwrap();
    assert_eq!((told.alert.severity, told.told), (Severity::High, true));
    assert_eq!(told.alert.values["top"].as_array().unwrap().len(), 20);
    let records = desk(&dir).list(&ALL).unwrap();
    assert_eq!(records.len(), 10_001, "all of them are kept");
    assert_eq!(records.iter().filter(|r| r.withheld.as_ref().is_some_and(|w| w.contains("a storm"))).count(), 9_900);
    // An hour on it tells the total; and its end, and that of the hundred, is told.
    let again = findings.iter().take(200).map(|f| Finding {
        window: tripline_alert::Window { start: 0, end: 70 * MINUTE },
        detected_at: 70 * MINUTE,
        ..f.clone()
    });
    store.commit(&commit(again.collect(), 5, T0)).unwrap();
    let [told] = desk(&dir).list(&filter).unwrap().try_into().unwrap();
    assert_eq!((told.alert.status, &told.alert.values["alerts"]), (Status::Updated, &10_000.into()));
    store.commit(&commit(vec![], 5_000, T0)).unwrap();
    assert_eq!(queued(&dir).iter().filter(|s| *s == "resolved").count(), 101);
}

/// Told one by one while their window is open: the storm is told with the first, and with the total once the window has closed.
#[test]
fn a_storm_that_comes_row_by_row() {
    let (dir, mut store) = open();
    let of = |n: i64| {
        let at = n * 20_000;
        let known = Finding {
            phase: Phase::Early,
            detected_at: at,
            watermark: at,
            ..finding(&format!("10.0.{}.{}", n / 256, n % 256), 0, 5)
        };
        (known.clone(), Finding { phase: Phase::Closed, detected_at: 5 * MINUTE, watermark: 5 * MINUTE, ..known })
    };
    let (early, closed): (Vec<_>, Vec<_>) = (0..3_000).map(of).unzip();
    store.commit(&commit(early, 0, T0)).unwrap();
    assert_eq!(queued(&dir).len(), 101);
    store.commit(&commit(closed, 5, T0)).unwrap();
    let filter = Filter { rule: Some("tripline/storm".into()), ..ALL };
    let [told] = desk(&dir).list(&filter).unwrap().try_into().unwrap();
    assert_eq!((told.alert.status, &told.alert.values["alerts"]), (Status::Updated, &3_000.into()));
    assert_eq!(queued(&dir).last().unwrap(), "updated");
}

#[test]
fn resolving_by_hand_is_done_by_who_has_the_episode() {
    let (dir, mut store) = open();
    store.commit(&commit(vec![finding("a", 0, 5), finding("b", 0, 5)], 5, T0)).unwrap();
    let id = desk(&dir).list(&ALL).unwrap()[0].alert.id.clone();
    assert_eq!(desk(&dir).acknowledge(&id[..20], "ann", T0).unwrap().acknowledged_by.as_deref(), Some("ann"));
    let record = desk(&dir).resolve(&id, Verdict::False, "ann", Some("a partner")).unwrap();
    assert_eq!((record.alert.status, record.verdict), (Status::Firing, Some(Verdict::False)));
    assert!(desk(&dir).is_resolving(&id).unwrap());
    // After a restart, too.
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    let client = record.alert.entity["client"].as_str().unwrap().to_owned();
    // A window that overlaps the last one is part of what was resolved; a later one is news.
    store.commit(&commit(vec![finding(&client, 4, 9)], 9, T0)).unwrap();
    assert!(!desk(&dir).is_resolving(&id).unwrap());
    let record = desk(&dir).show(&id).unwrap();
    assert_eq!((record.alert.status, record.note.as_deref()), (Status::Resolved, Some("a partner")));
    assert_eq!(record.alert.resolved_by, Some(Ended::Manual));
    assert_eq!(queued(&dir), ["firing", "firing", "resolved"]);
    store.commit(&commit(vec![finding(&client, 11, 16)], 16, T0)).unwrap();
    assert_eq!(queued(&dir).last().unwrap(), "firing");
    let expected = Precision { rule: "pack/rule".into(), right: 0, wrong: 1, expected: 0, open: 2 };
    assert_eq!(desk(&dir).precision().unwrap(), [expected]);
    assert!(matches!(desk(&dir).show("alr_"), Err(DeskError::Ambiguous(_))));
    assert!(matches!(desk(&dir).show("alr_none"), Err(DeskError::Unknown(_))));
}

#[test]
fn a_rule_that_is_gone_takes_its_alerts_along() {
    let (dir, mut store) = open();
    let findings = vec![of("pack/gone", finding("192.0.2.1", 0, 5)), of("pack/stays", finding("192.0.2.1", 0, 5))];
    store.commit(&commit(findings, 5, 0)).unwrap();
    store.commit(&Commit { removed_rules: vec!["pack/gone".into()], ..commit(vec![], 6, 1) }).unwrap();
    let alert = desk(&dir).list(&Filter { rule: Some("pack/gone".into()), ..ALL }).unwrap().remove(0).alert;
    assert_eq!(
        (alert.status, alert.resolved_by, alert.detected_at),
        (Status::Resolved, Some(Ended::RuleRemoved), 6 * MINUTE)
    );
    assert_eq!(store.open_alerts().unwrap().len(), 1);
    assert_eq!(queued(&dir).len(), 3, "its end is sent");
}

#[test]
fn resolved_alerts_are_kept_for_ninety_days() {
    let (dir, mut store) = open();
    store.commit(&commit(vec![finding("a", 0, 5)], 500, T0)).unwrap();
    store.commit(&commit(vec![finding("b", 600, 605)], 605, T0 + 89 * 86_400_000)).unwrap();
    assert_eq!(desk(&dir).list(&ALL).unwrap().len(), 2);
    store.commit(&commit(vec![], 606, T0 + 91 * 86_400_000)).unwrap();
    let [left] = desk(&dir).list(&ALL).unwrap().try_into().unwrap();
    assert_eq!(left.alert.status, Status::Firing);
}

/// The tables as version 2 had them.
#[test]
fn open_alerts_of_the_version_before_are_listed() {
    let (dir, mut store) = open();
    store.commit(&commit(vec![finding("a", 0, 5)], 5, T0)).unwrap();
    drop(store);
    sql(dir.path(), TO_VERSION_3);
    sql(
        dir.path(),
        "DROP INDEX outbox_content; DROP TABLE alert; DROP TABLE silence; DROP TABLE resolve_request; DROP TABLE attempt;
         DROP TABLE breaker; PRAGMA user_version = 2",
    );
    let mut store = Store::open(dir.path()).unwrap();
    let [record] = desk(&dir).list(&ALL).unwrap().try_into().unwrap();
    assert_eq!((record.alert.status, record.told), (Status::Firing, true));
    store.commit(&commit(vec![], 500, T0)).unwrap();
    assert_eq!(queued(&dir), ["firing", "resolved"]);
}

/// An alert about a rule, such as a storm, is found by its own rule and by the one that it is about.
#[test]
fn storms_can_be_silenced() {
    for pattern in ["rule=tripline/*", "rule=pack/*"] {
        let (dir, store) = open();
        let mut store = store.with_storm_limit(1);
        let words = [pattern.to_owned(), "severity=high".to_owned()];
        desk(&dir)
            .silence(&Silence {
                number: 0,
                matchers: Silence::matchers(&words).unwrap(),
                starts_ms: T0,
                ends_ms: T0 + 1_000,
                author: "ann".into(),
                reason: "deploy".into(),
                hits: 0,
            })
            .unwrap();
        store.commit(&commit(vec![finding("a", 0, 5), finding("b", 0, 5)], 5, T0)).unwrap();
        let expected = usize::from(pattern != "rule=pack/*");
        assert_eq!(queued(&dir).len(), expected, "{pattern}");
    }
}

/// What a destination first hears of an alert fires there, and it hears of the end of all that it heard of, and of nothing else.
#[test]
fn a_destination_hears_a_whole_life_or_nothing() {
    let (dir, mut store) = open();
    let routes = vec![Route::from("all"), Route { severity: Severity::High, ..Route::from("urgent") }];
    let step = |severity, hour: i64, client: &str| {
        let finding = Finding { severity, quiet: 70 * MINUTE, ..finding(client, hour * 60, hour * 60 + 5) };
        Commit { destinations: routes.clone(), ..commit(vec![finding], hour * 60 + 5, T0) }
    };
    // A rule whose severity was edited: one rises, one falls, one stays low.
    for (hour, rising, falling) in [(0, Severity::Low, Severity::High), (1, Severity::High, Severity::Low)] {
        store.commit(&step(rising, hour, "rising")).unwrap();
        store.commit(&step(falling, hour, "falling")).unwrap();
        store.commit(&step(Severity::Low, hour, "low")).unwrap();
    }
    store.commit(&Commit { destinations: routes.clone(), ..commit(vec![], 1_000, T0) }).unwrap();
    let pending = Outbox::open(dir.path()).unwrap().pending().unwrap();
    let of = |destination: &str, client: &str| -> Vec<String> {
        let fingerprint = finding(client, 0, 5).fingerprint();
        let about = pending.iter().filter(|e| e.destination == destination && e.fingerprint == fingerprint);
        about.map(|e| format!("{} {}", e.status, e.sequence)).collect()
    };
    for client in ["rising", "falling", "low"] {
        assert_eq!(of("all", client), ["firing 1", "updated 2", "resolved 3"], "{client}");
    }
    assert_eq!(of("urgent", "rising"), ["firing 2", "resolved 3"]);
    assert_eq!(of("urgent", "falling"), ["firing 1", "resolved 3"]);
    assert_eq!(of("urgent", "low"), Vec::<String>::new());
}
