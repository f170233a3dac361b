//! `tripline scan`: what it finds, in which files, what it says and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tripline_datasets::Truth;
use tripline_tests::logs::{at, combined, write_gz, write_zst};
use tripline_tests::program::{Output, Process};
use tripline_tests::repository::{program, root, sample};
use tripline_tests::tripline;

/// The rule that knows the sample's campaign.
const RULE: &str = "api1/object-enumeration";

fn truth() -> Truth {
    let path = sample().with_file_name("shop-api.truth.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the truth")).expect("the truth in JSON")
}

fn campaign_client() -> String {
    truth().campaign.expect("the sample has a campaign").client
}

/// The findings of [`RULE`].
fn findings(path: &Path) -> Vec<Value> {
    tripline!("scan", "--quiet", "--only", RULE, "--format", "json", path).with_code(0).json()
}

#[test]
fn the_first_command_of_the_readme_prints_the_campaigns_client() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let command = readme.lines().find_map(|line| line.strip_prefix("$ cargo run -- ")).expect("a first command");
    let output = Process::tripline(&command.split_whitespace().collect::<Vec<_>>()).end().with_code(0);
    output.shows(&[&campaign_client(), RULE]);
}

#[test]
fn in_json_a_finding_is_a_line() {
    let client = campaign_client();
    let found = findings(&sample());
    assert!(!found.is_empty());
    for alert in &found {
        assert_eq!(alert["entity"]["client"], client.as_str(), "{alert}");
        assert_eq!(alert["rule"], RULE);
        for key in
            ["id", "title", "severity", "status", "window", "detected_at", "values", "evidence", "owasp", "fingerprint"]
        {
            assert!(alert.get(key).is_some(), "no {key} in {alert}");
        }
    }
    // One campaign is one alert.
    assert!(found.iter().all(|alert| alert["id"] == found[0]["id"]));
    assert_eq!(found[0]["status"], "firing");
}

#[test]
fn the_summary_leaves_nothing_out() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    let mut text: String = (0..8).map(|i| combined(at(i), "192.0.2.1", &format!("GET /v1/items/{i}"), 200)).collect();
    text += "what a server says when it starts\n";
    text += "192.0.2.1 - - [yesterday] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n\n";
    text += &combined(at(86_400), "192.0.2.1", "GET /v1/items/8", 200);
    text += &combined(at(9), "192.0.2.1", "GET /v1/items/9", 200);
    fs::write(&log, text).expect("a log");
    let output = tripline!("scan", &log).with_code(0);
    output.shows(&["no findings"]);
    output.says(&["read      1 file (1 combined)", "13: 10 requests, 2 rejected", "1: the timestamp is not one"]);
    output.says(&["1 lines were blank", "late rows 1 "]);
}

#[test]
fn exit_codes() {
    let code = |args: &[&str]| {
        let sample = sample();
        let mut all = vec!["scan", "--quiet", "--only", RULE, sample.to_str().expect("a path in UTF-8")];
        all.extend(args);
        Process::tripline(&all).end().code
    };
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--fail-on", "info"]), Some(1));
    assert_eq!(code(&["--fail-on", "high"]), Some(1));
    assert_eq!(code(&["--fail-on", "critical"]), Some(0));
    assert_eq!(code(&["--fail-on", "dreadful"]), Some(2));
    assert_eq!(code(&["/nonexistent/access.log"]), Some(2));
    // What was found counts for more than what could not be read.
    assert_eq!(code(&["/nonexistent/access.log", "--fail-on", "high"]), Some(1));
}

#[test]
fn since_and_until_cut_the_log() {
    let found = |args: &[&str]| {
        let sample = sample();
        let mut all =
            vec!["scan", "--quiet", "--only", RULE, "--format", "json", sample.to_str().expect("a path in UTF-8")];
        all.extend(args);
        Process::tripline(&all).end().with_code(0).json()
    };
    let campaign = truth().campaign.expect("the sample has a campaign");
    let (first, last) = (campaign.first.to_string(), campaign.last.to_string());
    let all = findings(&sample());
    assert_eq!(found(&["--since", &first, "--until", "2026-03-03"]), all);
    assert_eq!(found(&["--until", &first]), Vec::<Value>::new());
    assert_eq!(found(&["--since", "2026-03-03"]), Vec::<Value>::new());
    assert!(found(&["--since", &first, "--until", &last]).len() <= all.len());

    let output = tripline!("scan", "--since", "monday", sample()).with_code(2);
    output.says(&["monday", "2026-03-02"]);
}

#[test]
fn directories_globs_and_archives() {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    fs::create_dir(file("older")).expect("a folder");
    let log = fs::read_to_string(sample()).expect("the sample");
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    // Through the middle of the campaign.
    let part = |i: usize| lines[lines.len() * i / 4..lines.len() * (i + 1) / 4].concat();
    fs::write(file("older/first.log"), part(0)).expect("a log");
    write_gz(&file("access.log.2.gz"), &part(1));
    write_zst(&file("access.log.1.zst"), &part(2));
    fs::write(file("access.log"), part(3)).expect("a log");

    // In other files, the same lines.
    let found = |path: &Path| {
        let mut found = findings(path);
        for line in found.iter_mut().filter_map(|alert| alert["evidence"].as_array_mut()).flatten() {
            *line = line["raw"].take();
        }
        found
    };
    let whole = found(&sample());
    assert_eq!(found(folder.path()), whole, "a directory");
    assert_eq!(found(&file("**/*")), whole, "a glob that reaches into directories");

    tripline!("scan", file("*")).with_code(0).says(&["read      3 files (3 combined)"]);
    tripline!("scan", file("*.gz"), file("access.log.1.zst"), file("access.log.?.*")).says(&["read      2 files"]);
    let output = tripline!("scan", file("*.bz2")).with_code(2);
    output.says(&["*.bz2", "matches no file"]);
}

#[test]
fn without_a_terminal_there_is_no_progress_bar() {
    let output = tripline!("scan", sample());
    assert!(!output.stderr.contains('\r') && !output.stderr.contains("ETA"), "{}", output.stderr);
    assert!(!output.stderr.contains('\u{1b}') && !output.stdout.contains('\u{1b}'), "{output:?}");
    assert_eq!(tripline!("scan", "--quiet", sample()).stderr, "");
}

#[test]
fn whoever_has_read_enough_may_go() {
    for command in ["scan --format json", "parse", "query 'SELECT * FROM requests' --format json --logs"] {
        let pipe = format!("set -o pipefail; \"$0\" {command} \"$1\" | head -1");
        let output =
            Process::start(Command::new("bash").args(["-c", &pipe]).arg(program()).arg(sample()), root()).end();
        let output = output.with_code(0);
        assert_eq!(output.stdout.lines().count(), 1, "{command}");
        assert!(!output.stderr.contains("roken pipe") && !output.stderr.contains("panic"), "{}", output.stderr);
    }
}

/// Escape sequences of one byte and of two, and a mark that turns the direction of writing.
const EVIL: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{7}";

/// A log with [`EVIL`] in every column that has text.
fn evil_log(folder: &TempDir) -> PathBuf {
    let mut text = combined(at(0), "192.0.2.1", "GET /", 200).repeat(20);
    text += &combined(at(1), "192.0.2.1", &format!("GET /v1/{EVIL}/x?{EVIL}"), 200).replace("Firefox", EVIL);
    text += &combined(at(2), EVIL, "GET /", 200);
    text += EVIL;
    text += " is not a request\n";
    let log = folder.path().join("access.log");
    fs::write(&log, text).expect("a log");
    log
}

/// Asserts that [`EVIL`] was shown, and that it steers no terminal.
fn check_harmless(output: Output) {
    let output = output.with_code(0);
    assert!(output.stdout.contains("[2J"), "the text is not there: {}", output.stdout);
    for stream in [&output.stdout, &output.stderr] {
        let raw = stream.lines().find(|line| line.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7}']));
        assert_eq!(raw, None);
    }
}

#[test]
fn escapes_in_findings_stay_text() {
    let folder = TempDir::new().expect("a folder");
    let log = evil_log(&folder);
    let rule = folder.path().join("any.sql");
    let header = "/*\ntitle = \"t\"\nentity = [\"client\", \"path\", \"user_agent\", \"query\"]\n*/\n";
    let keys = "window_start, window_end, client, path, user_agent, query";
    let sql = format!("SELECT {keys}, count(*) AS n FROM tumble(requests, ts, INTERVAL '1 minute') GROUP BY {keys}");
    fs::write(&rule, header.to_owned() + &sql).expect("a rule");
    check_harmless(tripline!("scan", "--rules", &rule, "--only", "any", &log));
    check_harmless(tripline!("scan", "--rules", &rule, "--only", "any", "--format", "json", &log));
}

#[test]
fn escapes_in_rows_stay_text() {
    let folder = TempDir::new().expect("a folder");
    let log = evil_log(&folder);
    let sql = "SELECT client, path, user_agent FROM requests";
    check_harmless(tripline!("query", sql, "--logs", &log));
    check_harmless(tripline!("query", sql, "--format", "json", "--logs", &log));
    check_harmless(tripline!("parse", &log));
}
