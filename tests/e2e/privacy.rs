//! A canary: a secret stands in every place of log lines where one can, and is looked for in everything that comes out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tripline_tests::logs::{at, common};
use tripline_tests::receiver::Receiver;
use tripline_tests::site::{Site, terminate};
use tripline_tests::{repository, tripline};

/// Each place has a canary of its own, so that one that gets out tells where it stood.
fn canary(place: &str) -> String {
    format!("c4naryX{place}X0123456789")
}

const PLACES: [&str; 11] =
    ["query", "referer", "encoded", "header", "nested", "path", "mail", "user", "named", "rejected", "late"];

/// A rule that shows all that a row has.
const RULE: &str = "/*
title = \"All of it\"
severity = \"low\"
entity = [\"client\", \"path\"]
*/
SELECT window_start, window_end, client, path, count(*) AS requests, max(query) AS query, max(referer) AS referer,
       max(\"user\") AS \"user\", max(object) AS object, max(raw) AS raw, max(extra) AS extra
FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client, path
";

fn json(seconds: i64, more: &str) -> String {
    format!(
        "{{\"time_iso8601\":\"{}\",\"remote_addr\":\"192.0.2.7\",\"request_method\":\"GET\",\"status\":200,{more}}}\n",
        at(9 * 3600 + seconds)
    )
}

/// Lines of two formats with all canaries but `late`.
fn lines() -> [String; 2] {
    let c = canary;
    let time = at(9 * 3600).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    let combined = [
        format!(
            "192.0.2.7 - {}@example.com [{time}] \"GET /v1/x?access_token={}&iban={} HTTP/1.1\" 200 5 \"https://a.example/?a=1&password={}\" \"x\"\n",
            c("user"),
            c("query"),
            c("named"),
            c("referer")
        ),
        format!("192.0.2.8 - - [{time}] \"GET /v1/users/{}%40example.com HTTP/1.1\" 200 5 \"-\" \"x\"\n", c("mail")),
        format!("192.0.2.9 - - [{time}] \"GET /password-reset/{} HTTP/1.1\" 200 5 \"-\" \"x\"\n", c("path")),
        format!("this is no request: secret={} of ours\n", c("rejected")),
        format!("192.0.2.10 - - [{time}] \"GET /\\xff\\x16 HTTP/1.1\" 200 5 \"-\" \"\u{fffd}\"\n"),
    ];
    let json = [
        json(1, &format!("\"request_uri\":\"/cb?next=%2Fx%3Ftoken%3D{}\"", c("encoded"))),
        json(2, &format!("\"request_uri\":\"/\",\"http_authorization\":\"Bearer {}\"", c("header"))),
        json(3, &format!("\"request_uri\":\"/b\",\"body\":\"{{\\\"api_key\\\": \\\"{}\\\"}}\"", c("nested"))),
    ];
    [combined.concat(), json.concat()]
}

/// The canaries in a text.
fn found_in(text: &[u8], found: &mut BTreeSet<String>) {
    let text = String::from_utf8_lossy(text);
    found.extend(PLACES.iter().filter(|place| text.contains(&canary(place))).map(|&place| place.to_owned()));
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { walk(&path, each) } else { each(&path) }
    }
}

/// What of the canaries gets out of a whole life of `run`, and of other commands, with this `[privacy]`.
fn escaped(privacy: &str) -> BTreeSet<String> {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.write("rules/all/rule.sql", RULE);
    site.write("privacy.key", "0123456789abcdef0123456789abcdef\n");
    site.edit_config(
        "[rules]",
        &format!("[history]\ndir = \"history\"\nkeep = \"3000d\"\nmax_bytes = \"1GB\"\n{privacy}\n[rules]"),
    );
    let process = site.run();
    let [combined, json] = lines();
    site.append("access.log", combined);
    site.append("json.log", json);
    site.append("json.log", self::json(7200, "\"request_uri\":\"/later\""));
    site.mark(&receiver, "access.log", "one", at(12 * 3600));
    let late = format!("GET /late?token={}", canary("late"));
    site.append("access.log", common(at(9 * 3600), "192.0.2.7", &late, 200).trim_end().to_owned() + " \"-\" \"x\"\n");
    site.mark(&receiver, "access.log", "two", at(14 * 3600));
    // Killed once, so that what is half written is looked at, too.
    process.signal("KILL");
    let mut said = process.end().stderr;
    let process = site.run();
    site.mark(&receiver, "access.log", "three", at(16 * 3600));
    said += &terminate(process).stderr;

    let mut found = BTreeSet::new();
    found_in(said.as_bytes(), &mut found);
    let messages: String = receiver.messages().iter().map(|message| message.body.to_string()).collect();
    assert!(messages.contains("/v1/users/") && messages.contains("evidence"), "the rule did not fire:\n{messages}");
    found_in(messages.as_bytes(), &mut found);
    walk(site.path(), &mut |path| {
        if path.starts_with(site.logs()) {
            return;
        }
        found_in(&fs::read(path).expect("a file"), &mut found);
        if path.starts_with(site.path().join("history")) {
            // (its pages are compressed)
            let sql = "SELECT * FROM requests";
            let rows = tripline!("query", sql, "--format", "json", "--logs", path).with_code(0).stdout;
            found_in(rows.as_bytes(), &mut found);
        }
    });
    for args in [&["parse"][..], &["scan", "--format", "json"], &["scan"], &["doctor"], &["routes"]] {
        let mut all: Vec<&str> = args.to_vec();
        all.extend(["-c", "tripline.toml", "logs"]);
        let output = site.start(&all).end();
        found_in(output.stdout.as_bytes(), &mut found);
        found_in(output.stderr.as_bytes(), &mut found);
    }
    found
}

#[test]
fn no_secret_leaves_the_log() {
    let all = |found: &BTreeSet<String>| PLACES.iter().all(|place| found.contains(*place));
    let everything = escaped("[privacy]\nsecrets = false\n");
    assert!(all(&everything), "the search does not find what is there: {everything:?}");
    let keyed = escaped("[privacy]\nparams = [\"iban\"]\nkey_file = \"privacy.key\"\n");
    assert!(keyed.is_empty(), "these got out: {keyed:?}");
    // Without a key, who and what must stay told apart.
    let masked = escaped("[privacy]\nparams = [\"iban\"]\n");
    assert_eq!(masked, BTreeSet::from(["mail".to_owned(), "user".to_owned()]));
}

/// The same values under the same key, in whichever command; other objects stay others.
#[test]
fn values_can_still_be_counted() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let line = |i: i64, user: i64| common(at(i), "192.0.2.7", &format!("GET /users/u{user}@example.com"), 200);
    fs::write(path("access.log"), (0..100).map(|i| line(i, i % 40)).collect::<String>()).expect("a log");
    fs::write(path("key"), "0123456789abcdef").expect("a key");
    fs::write(path("tripline.toml"), "[privacy]\nkey_file = \"key\"\n").expect("a config");
    let sql = "SELECT route, count(DISTINCT object) AS n, min(object) AS least FROM requests GROUP BY route";
    let rows = tripline!("query", "-c", path("tripline.toml"), "--format", "json", sql, "--logs", path("access.log"))
        .with_code(0)
        .json();
    assert_eq!((&rows[0]["route"], &rows[0]["n"], rows.len()), (&"/users/{id}".into(), &40.into(), 1));
    let parsed = tripline!("parse", "-c", path("tripline.toml"), path("access.log")).with_code(0).json();
    let least = parsed.iter().filter_map(|row| row["object"].as_str()).min();
    assert_eq!(least, rows[0]["least"].as_str());
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let config = folder.path().join("tripline.toml");
    fs::write(folder.path().join("short"), "abc\n").expect("a file");
    for (text, parts) in [
        ("[privacy]\nkey_file = \"none\"\n", ["none", "openssl rand"]),
        ("[privacy]\nkey_file = \"short\"\n", ["3 bytes", "needs 16"]),
        ("[privacy]\nparams = [\"a\", \"b c\"]\n", ["tripline.toml:2:17", "no parameter's name"]),
        ("[privacy]\nsecret = true\n", ["tripline.toml:2:1", "secret"]),
    ] {
        fs::write(&config, text).expect("a config");
        tripline!("check", "-c", &config).with_code(2).says(&parts);
    }
    let sample: Vec<Value> = tripline!("parse", repository::sample()).with_code(0).json();
    assert!(!sample.is_empty());
}
