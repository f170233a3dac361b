//! `tripline run`: from lines in a file to signed messages at a receiver, through stops and kills.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tripline_datasets::Length;
use tripline_tests::logs::{at, benign, combined, simulate, with_campaign};
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, firing, terminate};

const CLIENT: &str = "192.0.2.7";

/// Lines of [`CLIENT`] in the first ten minutes after nine, each with a path of its own.
fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|i| combined(at(9 * 3600 + i), CLIENT, &format!("GET /line/{i}"), 200)).collect()
}

/// Two hours later, somebody else: the hour is over.
fn next_hour() -> String {
    combined(at(11 * 3600), "192.0.2.250", "GET /", 200)
}

/// Waits for the alert about [`CLIENT`].
fn wait_for_alert(receiver: &Receiver) -> Message {
    let first = |messages: &[Message]| firing(messages, "count", CLIENT).first().copied().cloned();
    receiver.wait_for("an alert about the client", first)
}

/// The ids of all messages that told of the alert, and how often each came.
fn ids(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for message in firing(&receiver.messages(), "count", CLIENT) {
        *ids.entry(message.id.clone()).or_default() += 1;
    }
    ids
}

/// What a scan finds, by alert id: when the alert was first known.
fn detected(found: &[Value]) -> BTreeMap<String, Timestamp> {
    let firing = found.iter().filter(|alert| alert["status"] == "firing");
    let pair = |alert: &Value| {
        let detected_at = alert["detected_at"].as_str().and_then(|t| t.parse().ok()).expect("a time");
        (alert["id"].as_str().expect("an id").to_owned(), detected_at)
    };
    firing.map(pair).collect()
}

/// The shipped rules on a campaign that is being written: the receiver gets the alerts that a scan finds, each once.
#[test]
fn a_campaign_arrives_as_signed_alerts_each_once() {
    let receiver = Receiver::answering(200);
    let site = Site::new(&receiver);
    let scenario = with_campaign(&benign(7, Length::Duration(SignedDuration::from_hours(9)), 0.35));
    let (log, truth) = simulate(&scenario);
    let client = truth.campaign.expect("a campaign").client;

    let process = site.run();
    // In pieces that end where they happen to.
    for piece in log.as_bytes().chunks(log.len() / 12 + 1) {
        site.append("access.log", piece);
    }
    let end = at(18 * 3600);
    let expected = detected(&site.scan(&site.logs().join("access.log")));
    let due: BTreeSet<&String> = expected.iter().filter(|(_, known)| **known < end).map(|(id, _)| id).collect();
    let told = |messages: &[Message]| -> Vec<String> {
        let firing = messages.iter().filter(|m| m.kind() == "alert.firing" && m.alert()["rule"] != "marker");
        firing.map(|m| m.alert()["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    receiver.wait_for("all alerts", |messages| {
        let told = told(messages);
        due.iter().all(|id| told.contains(id)).then_some(())
    });
    let first = firing(&receiver.messages(), "api1/object-enumeration", &client).len();
    assert_eq!(first, 1, "alerts about the campaign's client");
    terminate(process);

    // After a restart nothing is sent again.
    let process = site.run();
    site.mark(&receiver, "access.log", "restarted", end + SignedDuration::from_mins(10));
    terminate(process);
    let told = told(&receiver.messages());
    let different: BTreeSet<&String> = told.iter().collect();
    assert_eq!(told.len(), different.len(), "an alert was sent twice");
    assert!(different.iter().all(|id| expected.contains_key(*id)), "an alert that a scan does not find");
    let messages = receiver.messages();
    let ids: BTreeSet<&str> = messages.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids.len(), messages.len(), "a message came twice");
}

/// Detected, committed, tried in vain, killed: the next process sends it with the same id.
fn killed_before_delivery(receiver: &Receiver) {
    let site = Site::counting(receiver);
    site.append("access.log", lines(0..50) + &next_hour());
    let process = site.run();
    let before = wait_for_alert(receiver);
    process.signal("KILL");
    assert_eq!(process.end().code, None, "a signal ended it");

    let tried = receiver.messages().len();
    receiver.answer(200);
    let process = site.run();
    let after = receiver
        .wait_for("the alert again", |messages| firing(&messages[tried..], "count", CLIENT).first().copied().cloned());
    assert_eq!(after.id, before.id);
    assert_eq!(after.body, before.body);
    site.mark(receiver, "access.log", "later", at(12 * 3600));
    terminate(process);
    assert_eq!(ids(receiver).len(), 1, "webhook-ids of one alert");
}

#[test]
fn killed_while_the_receiver_refuses() {
    killed_before_delivery(&Receiver::answering(503));
}

#[test]
fn killed_while_the_receiver_hangs() {
    killed_before_delivery(&Receiver::hanging());
}

/// On SIGTERM a message that is on its way is waited for, and not sent again by the next process.
#[test]
fn a_stop_drains() {
    let receiver = Receiver::hanging();
    let site = Site::counting(&receiver);
    site.append("access.log", lines(0..50) + &next_hour());
    let process = site.run();
    wait_for_alert(&receiver);
    process.signal("TERM");
    process.wait_to_say("stopping");
    receiver.answer(200);
    process.end().with_code(0);

    let process = site.run();
    site.mark(&receiver, "access.log", "later", at(12 * 3600));
    terminate(process);
    assert_eq!(ids(&receiver).into_values().collect::<Vec<_>>(), [1]);
}

/// A window that began before a stop, or a kill, is whole after it.
#[test]
fn restarts_in_the_middle_of_a_window() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    site.append("access.log", lines(0..100));
    site.mark(&receiver, "access.log", "one", at(9 * 3600 + 120));
    terminate(process);
    site.append("access.log", lines(500..600));
    let process = site.run();
    site.mark(&receiver, "access.log", "two", at(9 * 3600 + 700));
    process.signal("KILL");
    process.end();
    site.append("access.log", lines(1_200..1_300));
    let process = site.run();
    site.append("access.log", lines(1_300..1_400) + &next_hour());
    let alert = wait_for_alert(&receiver).body["data"].take();
    terminate(process);

    let found = site.scan(&site.logs());
    let scanned = found.iter().find(|alert| alert["rule"] == "count" && alert["entity"]["client"] == CLIENT);
    assert_eq!(alert["values"], scanned.expect("the scan finds it, too")["values"]);
    assert_eq!(alert["values"]["requests"], 400);
    assert_eq!(alert["values"]["paths"], 400);
}

/// A destination that is down keeps nothing from the others, and is told of by name.
#[test]
fn a_destination_that_is_down() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    // A port that was free a moment ago.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    site.add_destination("pager", &format!("http://{nobody}/hook"));
    site.append("access.log", lines(0..50) + &next_hour());
    let process = site.run();
    wait_for_alert(&receiver);
    process.wait_to_say("not delivered, will be tried again");
    let said = terminate(process).stderr;
    let line = said.lines().find(|line| line.contains("not delivered")).unwrap_or_default();
    assert!(line.contains("pager"), "{line}");
}

/// Logs go to files and to other programs.
#[test]
fn without_a_terminal_logs_are_plain() {
    let receiver = Receiver::answering(200);
    let output = terminate(Site::counting(&receiver).run());
    assert!(!output.stderr.contains('\u{1b}'), "escape sequences in {:?}", output.stderr);
}

/// One rule that is wrong does not keep the others from running.
#[test]
fn a_rule_that_is_wrong() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.write("rules/broken/rule.sql", "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELEC client\n");
    site.append("access.log", lines(0..50) + &next_hour());
    let process = site.run();
    wait_for_alert(&receiver);
    let output = terminate(process);
    output.says(&["broken/rule.sql:5:1", "^"]);
}
