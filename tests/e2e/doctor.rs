//! `tripline doctor`: what logs can and cannot show.

use std::fs;

use tempfile::TempDir;
use tripline_tests::logs::{at, combined, common};
use tripline_tests::repository::sample;
use tripline_tests::tripline;

#[test]
fn the_sample_shows_what_the_rules_need() {
    let output = tripline!("doctor", sample()).with_code(0);
    output.shows(&["combined", "clients", "works     api1/object-enumeration"]);
}

#[test]
fn clients_that_are_proxies() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    let line = |i: i64| combined(at(i), &format!("10.0.0.{}", i % 14 + 1), &format!("GET /v1/items/{i}"), 200);
    fs::write(&log, (0..500).map(line).collect::<String>()).expect("a log");
    let output = tripline!("doctor", &log).with_code(0);
    output.shows(&["100 % of requests", "14 private addresses", "proxies", "trusted_proxies"]);
}

#[test]
fn a_format_that_lacks_columns() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    let line = |i: i64| common(at(i), "192.0.2.1", &format!("GET /v1/items/{i}"), 200);
    fs::write(&log, (0..500).map(line).collect::<String>()).expect("a log");
    let output = tripline!("doctor", &log).with_code(0);
    let missing = output.stdout.lines().find(|line| line.trim_start().starts_with("user_agent"));
    let missing = missing.unwrap_or_else(|| panic!("no line about user_agent:\n{}", output.stdout));
    assert!(missing.contains("missing") && missing.contains("combined"), "{missing}");
    output.shows(&["docs/logging.md"]);
}
