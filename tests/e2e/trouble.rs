//! A rule that fails while it runs: an alert says so, and the other rules go on.

use tripline_tests::logs::{at, combined};
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, firing, terminate};
use tripline_tests::tripline;

const CLIENT: &str = "192.0.2.7";

/// The factorial of a status does not fit any number.
const FRAGILE: &str = "/*
title = \"Fragile\"
entity = [\"client\"]
*/
SELECT window_start, window_end, client, max(factorial(status)) AS n
FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client
";

#[test]
fn run_alerts_about_the_rule_and_goes_on() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.write("rules/fragile/rule.sql", FRAGILE);
    let process = site.run();
    let lines: String = (0..5).map(|i| combined(at(9 * 3600 + i), CLIENT, &format!("GET /line/{i}"), 200)).collect();
    site.append("access.log", lines + &combined(at(11 * 3600), "192.0.2.250", "GET /", 200));
    let about_the_rule = |messages: &[Message]| {
        messages.iter().find(|m| m.alert()["rule"] == "tripline/rule-trouble").map(|m| m.alert().clone())
    };
    let alert = receiver.wait_for("an alert about the rule", about_the_rule);
    assert_eq!(alert["entity"]["rule"], "fragile");
    assert!(alert["values"]["message"].as_str().is_some_and(|text| text.contains("FACTORIAL")), "{alert:#}");
    receiver.wait_for("the other rule's alert", |messages| firing(messages, "count", CLIENT).first().map(|_| ()));
    terminate(process).says(&["fragile", "FACTORIAL"]);
}

#[test]
fn scan_tells_it_and_ends_incomplete() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.write("rules/fragile/rule.sql", FRAGILE);
    site.append("access.log", combined(at(9 * 3600), CLIENT, "GET /", 200));
    let output = tripline!("scan", "-c", site.config(), site.logs()).with_code(2);
    output.shows(&["count", CLIENT]);
    output.says(&["error: the open windows of fragile are lost", "FACTORIAL"]);
}
