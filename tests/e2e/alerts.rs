//! `tripline alerts` and `tripline outbox` beside a running `tripline run`.

use jiff::SignedDuration;
use serde_json::Value;
use tripline_tests::logs::{at, combined};
use tripline_tests::program::Output;
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, firing, terminate};

/// Runs a command to its end.
fn tripline(site: &Site, words: &str) -> Output {
    site.start(&words.split(' ').collect::<Vec<_>>()).end()
}

fn json(site: &Site, words: &str) -> Vec<Value> {
    tripline(site, &format!("{words} --format json")).with_code(0).json()
}

/// A request of a client in an hour of its own, and one that closes that hour.
fn an_hour(site: &Site, hour: i64, client: &str) {
    site.append("access.log", combined(at(hour * 3600), client, "GET /a", 200));
    site.append(
        "access.log",
        combined(at((hour + 1) * 3600) + SignedDuration::from_secs(90), "192.0.2.250", "GET /", 200),
    );
}

fn wait_for(receiver: &Receiver, kind: &str, client: &str) -> Message {
    let about = |m: &&Message| m.kind() == kind && m.alert()["entity"]["client"] == client;
    receiver.wait_for(client, |messages| messages.iter().find(about).cloned())
}

#[test]
fn people_work_with_alerts_while_it_runs() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    an_hour(&site, 9, "192.0.2.7");
    let message = wait_for(&receiver, "alert.firing", "192.0.2.7");
    let id = message.alert()["id"].as_str().expect("an id").to_owned();

    let listed = json(&site, "alerts list");
    let record = listed.iter().find(|r| r["alert"]["id"] == *id).expect("the alert");
    assert_eq!((&record["told"], &record["withheld"]), (&true.into(), &Value::Null));
    tripline(&site, "alerts list").with_code(0).shows(&[&id[..14], "firing", "client=192.0.2.7"]);
    tripline(&site, &format!("alerts acknowledge {} --by ann", &id[..20])).with_code(0).shows(&["taken by ann"]);
    tripline(&site, "alerts show alr_none").with_code(2).says(&["no alert", "alerts list --all"]);

    // Its end comes while no log line does.
    let resolve = format!("alerts resolve {id} --verdict false --by ann --note partner");
    tripline(&site, &resolve).with_code(0).shows(&["verdict false", "partner"]);
    let end = wait_for(&receiver, "alert.resolved", "192.0.2.7");
    assert_eq!(end.alert()["id"], *id);
    let precision = json(&site, "alerts precision");
    assert_eq!(precision.iter().find(|p| p["rule"] == "count").expect("the rule")["wrong"], 1);

    // Silenced: listed, not sent; the one beside it is.
    let silence = "alerts silence client=192.0.2.8 rule=c* --for 2h --reason deploy --by ann";
    let number = json(&site, silence)[0]["number"].to_string();
    an_hour(&site, 12, "192.0.2.8");
    an_hour(&site, 14, "192.0.2.9");
    wait_for(&receiver, "alert.firing", "192.0.2.9");
    assert_eq!(firing(&receiver.messages(), "count", "192.0.2.8").len(), 0);
    let silenced = json(&site, "alerts list --all");
    let silenced = silenced.iter().find(|r| r["alert"]["entity"]["client"] == "192.0.2.8").expect("it is listed");
    assert_eq!(silenced["withheld"], format!("silence {number}"));
    assert_eq!(json(&site, "alerts silences")[0]["hits"], 1);
    tripline(&site, &format!("alerts unsilence {number}")).with_code(0);
    tripline(&site, &format!("alerts unsilence {number}")).with_code(2).says(&["alerts silences"]);
    tripline(&site, "alerts silence client --for 2h --reason x --by ann").with_code(2).says(&["NAME=VALUE"]);

    // Messages and tries.
    let shown = json(&site, &format!("outbox show {}", message.id));
    assert_eq!((&shown[0]["message"]["state"], &shown[0]["attempts"][0]["status"]), (&"delivered".into(), &200.into()));
    tripline(&site, "outbox list --all").with_code(0).shows(&[&message.id, "delivered"]);
    tripline(&site, &format!("outbox replay {}", message.id)).with_code(0);
    let twice = |messages: &[Message]| (messages.iter().filter(|m| m.id == message.id).count() == 2).then_some(());
    receiver.wait_for("the message again", twice);
    tripline(&site, &format!("outbox retry {}", message.id)).with_code(2).says(&["no dead letter"]);
    tripline(&site, "outbox send-test soc").with_code(0).says(&["soc answered 200"]);
    tripline(&site, "outbox send-test sock").with_code(2).says(&["no destination", "it has: soc"]);
    receiver.wait_for("the test", |m| m.iter().any(|m| m.alert()["rule"] == "tripline/test").then_some(()));
    terminate(process);

    let schema: Value = serde_json::from_str(&tripline(&site, "schema alert").with_code(0).stdout).expect("JSON");
    assert_eq!(schema["title"], "Tripline alert, native webhook body");
}

#[test]
fn a_destination_that_fails_is_told_to_the_others() {
    let [failing, works] = [503, 200].map(Receiver::answering);
    let site = Site::counting(&works);
    site.add_destination("broken", &failing.url());
    let process = site.run();
    for client in 1..=5 {
        site.append("access.log", combined(at(9 * 3600), &format!("192.0.2.{client}"), "GET /a", 200));
    }
    an_hour(&site, 9, "192.0.2.9");
    let about = |m: &&Message| m.alert()["rule"] == "tripline/destination-failing";
    let told = works.wait_for("the failure", |messages| messages.iter().find(about).cloned());
    assert_eq!(told.alert()["entity"]["destination"], "broken");
    tripline(&site, "outbox list").with_code(0).shows(&["broken is left alone since", "the receiver answered 503"]);
    terminate(process);
}

/// Nothing will ever say that it is over.
#[test]
fn a_rule_that_is_taken_away_takes_its_alerts_along() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    an_hour(&site, 9, "192.0.2.7");
    let firing = wait_for(&receiver, "alert.firing", "192.0.2.7");
    std::fs::remove_file(site.path().join("rules/count/rule.sql")).expect("the rule");
    process.wait_to_say("have changed and are in use");
    site.append("access.log", combined(at(10 * 3600 + 100), "192.0.2.250", "GET /", 200));
    let over = wait_for(&receiver, "alert.resolved", "192.0.2.7");
    assert_eq!((&over.alert()["id"], &over.alert()["resolved_by"]), (&firing.alert()["id"], &"rule-removed".into()));
    terminate(process);
}

/// Who takes what, and since when: from the history, with what it cannot know.
#[test]
fn an_incidents_scope_reaches_back_to_where_it_began() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.edit_config("[rules]", "[history]\ndir = \"history\"\nkeep = \"3000d\"\n\n[rules]");
    site.write("rules/many/rule.sql", MANY);
    let request = |hour: i64, client: &str, user: i64| {
        let line = combined(at(hour * 3600 + user), client, &format!("GET /v1/users/{user}"), 200);
        site.append("access.log", line);
    };
    let process = site.run();
    // Long before, something else; slowly at first; at nine it is seen, with another client on the same route.
    request(-60, "192.0.2.7", 1);
    request(-3, "192.0.2.7", 2);
    request(5, "192.0.2.250", 3);
    for user in 10..20 {
        request(9, "192.0.2.7", user);
        request(9, "192.0.2.8", user + 10);
    }
    site.append("access.log", combined(at(9 * 3600 + 30), "192.0.2.7", "GET /v1/users/99", 403));
    an_hour(&site, 14, "192.0.2.9");
    let of = |client: &'static str| {
        move |messages: &[Message]| {
            let about = |m: &&Message| m.alert()["rule"] == "many" && m.alert()["entity"]["client"] == client;
            messages.iter().find(about).cloned()
        }
    };
    let seven = receiver.wait_for("the first", of("192.0.2.7"));
    let eight = receiver.wait_for("the second", of("192.0.2.8"));
    assert_eq!(seven.alert()["incident"], eight.alert()["incident"]);
    terminate(process);

    let incident = seven.alert()["incident"].as_str().expect("an incident");
    let listed = tripline(&site, "alerts list --all --rule many").with_code(0).stdout;
    assert_eq!(listed.matches(&format!("{} (2)", &incident[..14])).count(), 1, "{listed}");
    let scope = tripline(&site, &format!("alerts scope {incident} --csv")).with_code(0);
    let rows: Vec<Vec<&str>> = scope.stdout.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["object", "client", "route", "requests", "answered", "bytes", "first", "last"]);
    assert_eq!(rows.len(), 1 + 1 + 20 + 1, "{}", scope.stdout);
    assert_eq!(rows[1][..5], ["2", "192.0.2.7", "/v1/users/{id}", "1", "1"]);
    let refused = rows.iter().find(|row| row[0] == "99").expect("what was refused is there, too");
    assert_eq!((refused[3], refused[4]), ("1", "0"));
    // (those of the rule `count` are of it, too)
    scope.says(&["4 alerts"]);
    assert!(!scope.stderr.contains("reaches back"), "the history goes on before it: {}", scope.stderr);
    // By one of its alerts' ids, back to all there is, and from the logs themselves.
    let id = seven.alert()["id"].as_str().expect("an id");
    let all = tripline(&site, &format!("alerts scope {id} --csv --gap 30d --logs logs")).with_code(0);
    assert_eq!(all.stdout.lines().count(), 1 + 22 + 1, "{}", all.stdout);
    all.says(&["reaches back to"]);
    site.edit_config("dir = \"history\"\n", "");
    tripline(&site, &format!("alerts scope {id}")).with_code(2).says(&["[history] dir", "--logs"]);
    tripline(&site, "alerts scope inc_none").with_code(2).says(&["no alert"]);
}

const MANY: &str = "/*
title = \"Many objects\"
severity = \"high\"
entity = [\"client\", \"route\"]
*/
SELECT window_start, window_end, client, route, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE route = '/v1/users/{id}'
GROUP BY window_start, window_end, client, route
HAVING count(*) >= 10
";

/// Counted once a request, through a stop and a kill.
#[test]
fn exceptions_are_counted_and_listed() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let exception = "[[exception]]\nrules = [\"count\"]\nwhere = \"client = '192.0.2.7'\"\nowner = \"search team\"\nreason = \"partner\"\n";
    site.edit_config("[[source]]", &format!("{exception}expires = 2030-01-01\n\n[[source]]"));
    let run = |name: &str, hour: i64| {
        let process = site.run();
        site.append("access.log", combined(at(hour * 3600), "192.0.2.7", "GET /a", 200));
        site.mark(&receiver, "access.log", name, at(hour * 3600 + 60));
        process
    };
    terminate(run("one", 9));
    let second = run("two", 10);
    second.signal("KILL");
    second.end();
    let listed = json(&site, "alerts exceptions");
    assert_eq!((&listed[0]["requests"], &listed[0]["expired"]), (&2.into(), &false.into()));
    site.edit_config("2030-01-01", "2020-01-01");
    tripline(&site, "alerts exceptions").with_code(0).shows(&["search team", "2020-01-01: expired", "0"]);
}

/// The config is read at the start: that it has changed is said, not passed over.
#[test]
fn a_config_that_changes_is_told() {
    let site = Site::counting(&Receiver::answering(200));
    let process = site.run();
    site.edit_config("[rules]", "[alerts]\nstorm = 7\n\n[rules]");
    process.wait_to_say("has changed in [alerts]: that takes effect at the next start");
    terminate(process);
}
