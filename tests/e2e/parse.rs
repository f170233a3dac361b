//! `tripline parse`: real logs, line by line.

use tripline_tests::repository::real_log;
use tripline_tests::tripline;

/// Every line is a row or a reject with its reason, and at most five are rejects.
fn check(name: &str, lines: usize, has_host_names: bool) {
    let Some(log) = real_log(name) else { return };
    let output = tripline!("parse", &log).with_code(0);
    let rows = output.json();
    let rejects: Vec<&str> = output.stderr.lines().filter(|line| line.contains(": byte ")).collect();
    assert_eq!(rows.len() + rejects.len(), lines);
    assert!(rejects.len() <= 5, "{rejects:#?}");
    for reject in rejects {
        let (_, reason) =
            reject.split_once(": byte ").and_then(|(_, rest)| rest.split_once(": ")).expect("offset: reason");
        assert!(!reason.trim().is_empty(), "{reject}");
    }
    for row in &rows {
        let ts = row["ts"].as_str().and_then(|ts| ts.parse::<jiff::Timestamp>().ok());
        assert!(ts.is_some() && row["client"].is_string() && row["raw"].is_string(), "{row}");
        assert_eq!(row.as_object().map(serde_json::Map::len), rows[0].as_object().map(serde_json::Map::len));
    }
    let named =
        rows.iter().any(|row| row["client"].as_str().is_some_and(|client| client.parse::<std::net::IpAddr>().is_err()));
    assert_eq!(named, has_host_names);
}

#[test]
fn a_real_log_of_apache() {
    check("apache-combined-2015-10k.log.gz", 10_000, false);
}

#[test]
fn a_real_log_with_host_names_as_clients() {
    check("nasa-clf-1995-4k.log.gz", 4_000, true);
}
