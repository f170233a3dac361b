//! Event time gone wrong: late rows, single lines from the future, hosts whose clock is off, sources that fall silent.

use std::collections::BTreeMap;
use std::fs;

use jiff::SignedDuration;
use serde_json::Value;
use tempfile::TempDir;
use tripline_tests::logs::{at, combined};
use tripline_tests::receiver::Receiver;
use tripline_tests::site::{Site, firing, terminate};
use tripline_tests::tripline;

const CLIENT: &str = "192.0.2.7";

/// A line an hour from nine on, then one of half past nine.
fn disordered() -> (String, String) {
    let hours: String = (9..14).map(|h| combined(at(h * 3600), CLIENT, &format!("GET /{h}"), 200)).collect();
    (hours, combined(at(9 * 3600 + 1800), CLIENT, "GET /late/\u{1b}[2J", 200))
}

#[test]
fn scan_keeps_and_explains_late_rows() {
    let folder = TempDir::new().expect("a folder");
    let (log, kept) = (folder.path().join("access.log"), folder.path().join("late.jsonl"));
    let (hours, late) = disordered();
    fs::write(&log, hours.clone() + &late + &late).expect("a log");
    let output = tripline!("scan", "--late", &kept, &log).with_code(0);
    output.says(&["late rows 2 ", "2 in ", "access.log: lateness = \"211m\""]);
    let text = fs::read_to_string(&kept).expect("the late rows");
    assert!(!text.contains('\u{1b}'), "{text}");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["offset"], hours.len());
    assert_eq!((&rows[0]["ts"], &rows[0]["source"]), (&"2026-03-02T09:30:00Z".into(), &log.to_string_lossy().into()));
    assert!(rows[0]["wm_seen"].as_str().is_some_and(|t| t.starts_with("2026-03-02T12:")), "{}", rows[0]);
    assert!(rows[0]["raw"].as_str().is_some_and(|raw| late.starts_with(raw)), "{}", rows[0]);
    let missed = rows[0]["missed"].as_array().expect("windows");
    assert!(missed.iter().any(|w| w["windows"].as_u64() > Some(0) && w["first_start"].is_string()), "{}", rows[0]);

    // With that lateness nothing is late.
    let config = folder.path().join("tripline.toml");
    fs::write(&config, format!("[[source]]\npath = {:?}\nlateness = \"211m\"\n", log.display())).expect("a config");
    tripline!("scan", "-c", &config, &log).with_code(0).says(&["late rows 0"]);
    tripline!("scan", "--late", "/nonexistent/late", &log).with_code(2).says(&["/nonexistent/late"]);
}

#[test]
fn a_line_from_the_future_is_told_in_a_scan() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    let ahead = at(0) + SignedDuration::from_hours(24 * 365 * 73);
    let lines = |range: std::ops::Range<i64>| -> String {
        range.map(|i| combined(at(60 * i), CLIENT, &format!("GET /{i}"), 200)).collect()
    };
    let before = lines(0..10);
    fs::write(&log, before.clone() + &combined(ahead, CLIENT, "GET /", 200) + &lines(10..100)).expect("a log");
    let output = tripline!("scan", &log).with_code(0);
    output.says(&[
        "late rows 90 ",
        "warning ",
        &format!("the line at byte {}", before.len()),
        "2099-",
        "90 of the 90 lines",
    ]);
}

/// The late rows of a site, by their offset: how often each was kept.
fn kept(site: &Site) -> BTreeMap<u64, usize> {
    let mut kept = BTreeMap::new();
    for entry in fs::read_dir(site.path().join("state/late")).expect("a folder for late rows") {
        let text = fs::read_to_string(entry.expect("a file").path()).expect("late rows");
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("JSON");
            *kept.entry(row["offset"].as_u64().expect("an offset")).or_default() += 1;
        }
    }
    kept
}

#[test]
fn run_keeps_each_late_row_once_through_a_kill() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let late = |range: std::ops::Range<i64>| -> String {
        range.map(|i| combined(at(9 * 3600 + i), CLIENT, &format!("GET /late/{i}"), 200)).collect()
    };
    site.append("access.log", combined(at(12 * 3600), CLIENT, "GET /", 200));
    let process = site.run();
    site.append("access.log", late(0..50));
    site.mark(&receiver, "access.log", "one", at(13 * 3600));
    // Some of these may have been written down, and not committed.
    site.append("access.log", late(50..100));
    process.signal("KILL");
    process.end();
    let process = site.run();
    site.append("access.log", late(100..150));
    site.mark(&receiver, "access.log", "two", at(14 * 3600));
    terminate(process).says(&["late rows, kept in late/", "lateness = "]);
    let kept = kept(&site);
    assert_eq!((kept.len(), kept.values().max()), (150, Some(&1)), "{kept:?}");
}

#[test]
fn run_goes_on_after_a_line_from_the_far_future() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    let ahead = at(0) + SignedDuration::from_hours(24 * 365 * 73);
    site.append("access.log", combined(at(9 * 3600), CLIENT, "GET /1", 200));
    site.append("access.log", combined(ahead, CLIENT, "GET /2099", 200));
    site.append("access.log", combined(at(9 * 3600 + 1), CLIENT, "GET /2", 200));
    site.append("other.log", combined(at(9 * 3600 + 2), CLIENT, "GET /3", 200));
    site.append("other.log", combined(at(11 * 3600), CLIENT, "GET /", 200));
    site.append("access.log", combined(at(11 * 3600), CLIENT, "GET /", 200));
    let alert = receiver.wait_for("the hour's count", |messages| {
        let found = firing(messages, "count", CLIENT).first().copied().cloned();
        found.map(|message| message.alert().clone())
    });
    assert_eq!(alert["values"]["requests"], 3, "{alert}");
    terminate(process).says(&["far in the future", "GET /2099"]);
    assert_eq!(kept(&site).len(), 1);
}

#[test]
fn a_source_that_falls_silent_raises_an_alert_and_resolves_it() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.edit_config("lateness = \"1s\"", "lateness = \"1s\"\nsilent_after = \"2s\"");
    site.append("access.log", combined(at(9 * 3600), CLIENT, "GET /", 200));
    let process = site.run();
    let told = |kind: &'static str| {
        receiver.wait_for(kind, |messages| {
            let about = |m: &&tripline_tests::receiver::Message| m.alert()["rule"] == "tripline/source-silent";
            messages.iter().filter(about).find(|m| m.kind() == kind).map(|m| m.alert().clone())
        })
    };
    let fired = told("alert.firing");
    assert_eq!(fired["entity"]["source"], "logs", "{fired}");
    for minutes in [5, 10] {
        site.append("access.log", combined(at(9 * 3600 + 60 * minutes), CLIENT, "GET /", 200));
        process.wait_to_say("lines come again");
    }
    assert_eq!(told("alert.resolved")["id"], fired["id"]);
    terminate(process).says(&["logs: no lines for"]);
}

/// A rule that is edited is checked at once.
#[test]
fn a_change_of_the_rules_is_noticed() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.append("access.log", combined(at(9 * 3600), CLIENT, "GET /", 200));
    let process = site.run();
    process.wait_to_say("followed as");
    let rule = fs::read_to_string(site.path().join("rules/count/rule.sql")).expect("a rule");
    site.write("rules/count/rule.sql", &rule.replace("SELECT", "SELEC"));
    process.wait_to_say("count/rule.sql:6:1");
    site.write("rules/count/rule.sql", &rule.replace("1 hour", "30 minutes"));
    process.wait_to_say("rules or lookups have changed");
    let said = terminate(process).stderr;
    let line = said.lines().find(|line| line.contains("lookups have changed")).unwrap_or_default();
    assert!(line.contains("changed: [\"count\"]"), "{line}");
}
