//! The log lines that alerts bring along: those that the rule counted, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tripline_tests::logs::{at, combined, write_gz};
use tripline_tests::receiver::Receiver;
use tripline_tests::repository::{rules, sample};
use tripline_tests::site::{Site, firing, terminate};
use tripline_tests::tripline;

/// A rule that counts successful requests of a client on a route within ten minutes, and renames the client.
const RULE: &str = "/*
title = \"Many\"
entity = [\"who\", \"route\"]
*/
WITH counted AS (
    SELECT window_start, window_end, client AS c, route, agent, count(*) AS n
    FROM (SELECT *, user_agent AS agent FROM tumble(requests, ts, INTERVAL '10 minutes') WHERE status = 200)
    WHERE path NOT LIKE '%/skipped'
    GROUP BY window_start, window_end, client, route, agent
)
SELECT window_start, window_end, c AS who, route, sum(n) AS n
FROM counted GROUP BY window_start, window_end, c, route HAVING sum(n) >= 50
";

/// The alerts of a scan with [`RULE`] alone.
fn scan(rule: &str, folder: &Path, log: &Path) -> Vec<Value> {
    let path = folder.join("many.sql");
    fs::write(&path, rule).expect("a rule");
    tripline!("scan", "--rules", &path, "--only", "many", "--quiet", "--format", "json", log).with_code(0).json()
}

fn evidence(alert: &Value) -> Vec<(u64, &str)> {
    let lines = alert["evidence"].as_array().expect("a list");
    lines.iter().map(|e| (e["offset"].as_u64().expect("a number"), e["raw"].as_str().expect("text"))).collect()
}

/// Each line stands in the log where the evidence says.
fn check_offsets(log: &str, lines: &[(u64, &str)]) {
    for (offset, raw) in lines {
        let at = usize::try_from(*offset).expect("small");
        assert_eq!(log.get(at..at + raw.len()), Some(*raw));
    }
}

/// Ten minutes of three clients, of whom one does much; many lines that do not count.
fn log() -> String {
    let mut text = String::new();
    for i in 0..600 {
        text += &combined(at(9 * 3600 + i), "192.0.2.8", &format!("GET /v1/users/{i}"), 404);
        if i % 4 == 0 {
            text += &combined(at(9 * 3600 + i), "192.0.2.7", &format!("GET /v1/users/{i}"), 200);
            text += &combined(at(9 * 3600 + i), "192.0.2.7", &format!("GET /v1/users/{i}/skipped"), 200);
            text += &combined(at(9 * 3600 + i), "192.0.2.7", &format!("GET /v1/orders/{i}"), 500);
            text += "no request at all\n";
        }
    }
    text
}

/// Of a rule that puts windows over what a baseline learns, the lines that the baseline counted.
#[test]
fn windows_over_a_baseline_show_what_it_counted() {
    let folder = TempDir::new().expect("a folder");
    let (text, rules) = (log(), folder.path().join("rules"));
    let plain = folder.path().join("access.log");
    fs::write(&plain, &text).expect("a log");
    fs::create_dir(&rules).expect("a folder");
    let minutes = "/*\ntitle = \"Minutes\"\nkind = \"baseline\"\nentity = [\"client\"]\n*/
        SELECT window_start, window_end, client, count(*) AS n FROM tumble(requests, ts, INTERVAL '1 minute')
        WHERE status = 200 GROUP BY window_start, window_end, client";
    let steady = "/*\ntitle = \"Steady\"\nentity = [\"who\"]\n*/
        SELECT window_start, window_end, c AS who, count(*) AS minutes, sum(n) AS n
        FROM (SELECT *, client AS c FROM hop(client_minutes, ts, INTERVAL '5 minutes', INTERVAL '10 minutes') WHERE n >= 20)
        GROUP BY window_start, window_end, c HAVING count(*) >= 10";
    fs::write(rules.join("client-minutes.sql"), minutes).expect("a rule");
    fs::write(rules.join("steady.sql"), steady).expect("a rule");
    let found = tripline!("scan", "--rules", &rules, "--only", "steady", "--quiet", "--format", "json", &plain);
    let found = found.with_code(0).json();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((&found[0]["values"]["minutes"], &found[0]["values"]["n"]), (&10.into(), &300.into()), "{found:#?}");
    let lines = evidence(&found[0]);
    assert_eq!(lines.len(), 20);
    check_offsets(&text, &lines);
    assert!(lines.iter().all(|(_, raw)| raw.starts_with("192.0.2.7 ") && raw.contains(" 200 ")), "{lines:?}");
}

#[test]
fn the_lines_that_were_counted_spread_over_the_window() {
    let folder = TempDir::new().expect("a folder");
    let text = log();
    let plain = folder.path().join("access.log");
    fs::write(&plain, &text).expect("a log");
    let found = scan(RULE, folder.path(), &plain);
    assert_eq!(found.len(), 1, "{found:#?}");
    let lines = evidence(&found[0]);
    assert_eq!(lines.len(), 20);
    check_offsets(&text, &lines);
    assert_eq!(found[0]["evidence"][0]["source"], plain.to_str().expect("a path"));
    for (_, raw) in &lines {
        assert!(raw.starts_with("192.0.2.7 ") && raw.contains(" 200 ") && !raw.contains("skipped"), "{raw}");
    }
    // From the first to the last.
    assert!(lines[0].1.contains("/v1/users/0 ") && lines[19].1.contains("/v1/users/596 "), "{lines:?}");
    let tens: BTreeSet<_> = lines.iter().map(|(offset, _)| offset * 10 / text.len() as u64).collect();
    assert_eq!(tens.len(), 10, "spread over the file: {lines:?}");

    // An archive shows the same, and so does Parquet.
    let archive = folder.path().join("access.log.gz");
    write_gz(&archive, &text);
    assert_eq!(evidence(&scan(RULE, folder.path(), &archive)[0]), lines);
    let parquet = folder.path().join("access.parquet");
    let all = "SELECT * FROM requests ORDER BY ts, \"offset\"";
    tripline!("query", all, "--format", "parquet", "--output", &parquet, "--logs", &plain).with_code(0);
    assert_eq!(evidence(&scan(RULE, folder.path(), &parquet)[0]), lines);
}

#[test]
fn the_period_that_was_asked_for_and_exceptions_hold_for_evidence() {
    let folder = TempDir::new().expect("a folder");
    let plain = folder.path().join("access.log");
    fs::write(&plain, log()).expect("a log");
    let rule = folder.path().join("many.sql");
    fs::write(&rule, RULE).expect("a rule");
    let config = folder.path().join("tripline.toml");
    let exception = "[[exception]]\nrules = [\"many\"]\nwhere = \"path LIKE '%2'\"\nowner = \"o\"\nreason = \"r\"\nexpires = 2030-01-01\n";
    fs::write(&config, exception).expect("a config");
    let since = "2026-03-02T09:03:00Z";
    let args = tripline!(
        "scan", "-c", &config, "--rules", &rule, "--only", "many", "--quiet", "--format", "json", "--since", since,
        &plain
    );
    let found = args.with_code(0).json();
    let lines = evidence(&found[0]);
    assert_eq!(lines.len(), 20);
    for (_, raw) in lines {
        let number: u32 = raw
            .split("/users/")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .expect("a path")
            .parse()
            .expect("a number");
        assert!(number >= 180 && number % 10 != 2, "{raw}");
    }
}

/// NULL is an entity, and not that of those who have a name.
#[test]
fn an_entity_that_is_null() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    let line = |i: i64| {
        let line = combined(at(9 * 3600 + i), "192.0.2.7", &format!("GET /{i}"), 200);
        if i % 2 == 0 { line.replace(" - - [", " - ann [") } else { line }
    };
    fs::write(&log, (0..60).map(line).collect::<String>()).expect("a log");
    let rule = "/*\ntitle = \"t\"\nentity = [\"user\"]\n*/\n\
        SELECT window_start, window_end, \"user\", count(*) AS n FROM tumble(requests, ts, INTERVAL '1 hour')\n\
        GROUP BY window_start, window_end, \"user\"";
    let found = scan(rule, folder.path(), &log);
    assert_eq!(found.len(), 2);
    for alert in found {
        let named = !alert["entity"]["user"].is_null();
        let lines = evidence(&alert);
        assert_eq!(lines.len(), 20);
        assert!(lines.iter().all(|(_, raw)| raw.contains(" ann ") == named), "{alert:#}");
    }
}

/// Every shipped rule's first alert shows lines, of its client if it is about one, on all logs that must fire it.
#[test]
fn shipped_rules_show_lines() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("tripline.toml");
    fs::write(&config, tripline_tests::repository::tables()).expect("a config");
    for rule in rules().iter().filter(|rule| !tripline_tests::repository::is_baseline(rule)) {
        let pack = rule.parent().and_then(Path::parent).and_then(Path::file_name).expect("a pack");
        let name = rule.parent().and_then(Path::file_name).expect("a name");
        let id = format!("{}/{}", pack.to_string_lossy(), name.to_string_lossy());
        for log in tripline_tests::repository::fixtures(rule).0 {
            let found = tripline!("scan", "-c", &config, "--only", &id, "--quiet", "--format", "json", &log);
            let found = found.with_code(0).json();
            for alert in found.iter().filter(|alert| alert["status"] == "firing") {
                let client = alert["entity"]["client"].as_str().unwrap_or_default();
                let client = client.trim_end_matches("::/64").trim_start_matches("user:");
                let lines = evidence(alert);
                assert!(!lines.is_empty(), "{id} on {}: no evidence in {alert:#}", log.display());
                assert!(lines.iter().all(|(_, raw)| raw.contains(client)), "{id}: {alert:#}");
            }
        }
    }
}

/// Live, through a rotation: the file that has lost its name is still read again.
#[test]
fn a_delivered_alert_has_its_lines() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    let lines = |from: i64, to: i64| -> String {
        (from..to).map(|i| combined(at(9 * 3600 + i), "192.0.2.7", &format!("GET /line/{i}"), 200)).collect()
    };
    site.append("access.log", lines(0, 30));
    site.mark(&receiver, "access.log", "one", at(9 * 3600 + 40));
    fs::rename(site.logs().join("access.log"), site.logs().join("access.log.1")).expect("a rotation");
    site.append("access.log", lines(1000, 1030));
    site.mark(&receiver, "access.log", "two", at(9 * 3600 + 1100));
    site.append("access.log", combined(at(11 * 3600), "192.0.2.250", "GET /", 200));
    let alert = receiver.wait_for("an alert", |messages| {
        firing(messages, "count", "192.0.2.7").first().map(|message| message.alert().clone())
    });
    terminate(process);
    let shown = evidence(&alert);
    assert_eq!(shown.len(), 20, "{alert:#}");
    assert!(shown.iter().all(|(_, raw)| raw.starts_with("192.0.2.7 ") && raw.contains("/line/")), "{alert:#}");
    assert!(shown[0].1.contains("/line/0 ") && shown[19].1.contains("/line/1029 "), "{alert:#}");
}

/// What was read before the rules changed is still known afterwards.
#[test]
fn a_reload_forgets_no_lines() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    let lines: String =
        (0..30).map(|i| combined(at(9 * 3600 + i), "192.0.2.7", &format!("GET /line/{i}"), 200)).collect();
    site.append("access.log", lines);
    site.mark(&receiver, "access.log", "one", at(9 * 3600 + 40));
    site.write("rules/marker/rule.sql", &site.read("rules/marker/rule.sql").replace("A marker", "Another marker"));
    process.wait_to_say("have changed and are in use");
    site.append("access.log", combined(at(11 * 3600), "192.0.2.250", "GET /", 200));
    let alert = receiver.wait_for("an alert", |messages| {
        firing(messages, "count", "192.0.2.7").first().map(|message| message.alert().clone())
    });
    terminate(process);
    assert_eq!(evidence(&alert).len(), 20, "{alert:#}");
}

/// What the README's first command finds.
#[test]
fn the_sample_shows_its_campaign() {
    let found = tripline!("scan", "--quiet", "--format", "json", sample()).with_code(0).json();
    let text = fs::read_to_string(sample()).expect("the sample");
    let firing: Vec<_> = found.iter().filter(|alert| alert["status"] == "firing").collect();
    assert!(!firing.is_empty());
    for alert in firing {
        let lines = evidence(alert);
        assert!(!lines.is_empty(), "{alert:#}");
        check_offsets(&text, &lines);
    }
}

/// A rule that joins what is made of a baseline's rows.
#[test]
fn rules_that_join_peers_show_lines() {
    let peers = Path::new("docs/examples/peers");
    let log = peers.join("unlike-peers/tests/a-person-like-a-partner.log.gz");
    let found = tripline!("scan", "--rules", peers, "--only", "unlike-peers", "--quiet", "--format", "json", log);
    let found = found.with_code(0).json();
    assert!(!found.is_empty() && found.iter().all(|alert| !evidence(alert).is_empty()), "{found:#?}");
}
