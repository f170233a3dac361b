//! `tripline explain`: how a rule runs, and with logs, what it costs on them.

use std::process::Command;

use serde_json::Value;
use tripline_tests::logs::{at, combined};
use tripline_tests::program::Output;
use tripline_tests::receiver::Receiver;
use tripline_tests::repository::sample;
use tripline_tests::site::{Site, terminate};
use tripline_tests::tripline;

#[test]
fn every_shipped_rule_is_explained() {
    let rules = tripline!("check").with_code(0).stdout;
    for line in rules.lines() {
        let id = line.split(' ').next().expect("an id");
        if line.contains(" waits ") {
            tripline!("explain", id).with_code(0).shows(&[id, "waits for a [[lookup]] named"]);
            continue;
        }
        // (a baseline is explained if a rule joins it)
        let output = tripline!("explain", id).with_code(0);
        output.shows(&[id, "windows of", "keeps of each group", "when a window closes"]);
    }
    tripline!("explain", "api1/nothing").with_code(2).says(&["api1/nothing", "tripline check"]);
}

#[test]
fn logs_show_what_it_costs() {
    let output = tripline!("explain", "api1/object-enumeration", sample()).with_code(0);
    output.shows(&[
        "beside key and count: ",
        "approx_distinct(object) ",
        " bytes",
        "measured on ",
        "looking into open windows: ",
    ]);
    let (_, measured) = output.stdout.split_once("measured on ").expect("measured");
    for part in
        ["api1/object-enumeration\n", "met its WHERE", "aggregating", "closing", "groups by pane in", "returned"]
    {
        assert!(measured.contains(part), "{measured}");
    }
    // With the baseline that it joins.
    let output = tripline!("explain", "api1/above-baseline", sample()).with_code(0);
    output.shows(&["\napi1/above-baseline\n", "\nbaselines/client-hours\n"]);
    tripline!("explain", "api1/object-enumeration", "/nonexistent.log").with_code(2).says(&["/nonexistent.log"]);
}

const USUAL: &str = "/*
title = \"What a client asks for in an hour\"
kind = \"baseline\"
entity = [\"client\"]
*/
SELECT window_start, window_end, client, count(*) AS requests FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client
";

const MORE: &str = "/*
title = \"More than before\"
entity = [\"client\"]
*/
WITH w AS (
    SELECT window_start, window_end, client, count(*) AS asked FROM tumble(requests, ts, INTERVAL '1 hour') GROUP BY window_start, window_end, client
)
SELECT w.*, usual.requests AS before FROM w
LEFT JOIN usual ON usual.client = w.client AND w.window_start >= usual.valid_from AND w.window_start < usual.valid_until
WHERE w.asked > usual.requests
";

/// What it says can be seen again with the commands that it gives.
#[test]
fn an_alert_is_explained_by_what_was_known_before() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.write("rules/usual/rule.sql", USUAL);
    site.write("rules/more/rule.sql", MORE);
    let process = site.run();
    let request = |hour: i64, n: i64| combined(at(hour * 3600 + n), "192.0.2.7", &format!("GET /v1/users/{n}"), 200);
    let lines: String = (0..3).map(|n| request(9, n)).chain((0..8).map(|n| request(10, n))).collect();
    site.append("access.log", lines);
    site.append("access.log", combined(at(12 * 3600), "192.0.2.250", "GET /", 200));
    let message = receiver.wait_for("the alert", |messages| {
        messages.iter().find(|m| m.alert()["rule"] == "more" && m.kind() == "alert.firing").cloned()
    });
    let id = message.alert()["id"].as_str().expect("an id").to_owned();
    terminate(process);

    let run = |args: &[&str]| -> Output { site.start(args).end() };
    let explained = run(&["explain", &id[..16], "-c", "tripline.toml"]).with_code(0);
    explained.shows(&[
        &id,
        "client=192.0.2.7",
        "asked                    8",
        "before                   3",
        "GET /v1/users/7",
    ]);
    explained.shows(&["usual (What a client asks for in an hour), of client=192.0.2.7", "requests             3"]);
    run(&["explain", "alr_0000", "-c", "tripline.toml"]).with_code(2).says(&["no alert"]);
    run(&["explain", &id]).with_code(2).says(&["name its config with -c"]);

    let commands: Vec<&str> = explained.stdout.lines().filter_map(|line| line.strip_prefix("  tripline ")).collect();
    assert_eq!(commands.len(), 2, "{}", explained.stdout);
    let rows = |command: &str| -> Vec<Value> {
        let words = words(&format!("{command} --format json"));
        run(&words.iter().map(String::as_str).collect::<Vec<_>>()).with_code(0).json()
    };
    let row = rows(commands[0]);
    assert_eq!((row.len(), &row[0]["asked"], &row[0]["before"]), (1, &8.into(), &3.into()), "{row:?}");
    assert_eq!(rows(commands[1]).len(), 8);
}

/// As a shell splits it. (No word has a line of its own in it.)
fn words(command: &str) -> Vec<String> {
    let output = Command::new("sh").args(["-c", &format!("printf '%s\\n' {command}")]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}
