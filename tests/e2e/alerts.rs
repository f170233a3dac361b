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
