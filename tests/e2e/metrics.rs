//! What `tripline run` tells over HTTP: figures for Prometheus, health for who restarts it.

use tripline_tests::logs::{at, combined};
use tripline_tests::pages::{get, wait_for};
use tripline_tests::program::Process;
use tripline_tests::receiver::Receiver;
use tripline_tests::site::{Site, terminate};

const CLIENT: &str = "192.0.2.7";

/// With metrics at a port that is free.
pub(crate) fn listening(site: &Site) {
    site.edit_config("[state]", "[metrics]\nlisten = \"127.0.0.1:0\"\n\n[state]");
}

/// Where it listens.
pub(crate) fn base(process: &Process) -> String {
    process.wait_to_say("metrics at http://");
    let said = process.said();
    let (_, rest) = said.split_once("metrics at ").expect("an address");
    rest.split("/metrics").next().expect("an address").to_owned()
}

/// The value of a sample, with its labels as written.
pub(crate) fn value(page: &str, sample: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until each of some samples has a value.
pub(crate) fn wait_for_values(base: &str, expected: &[(&str, f64)]) -> String {
    wait_for(base, "/metrics", |_, page| {
        let as_expected = |(sample, wanted): &(&str, f64)| value(page, sample).is_some_and(|v| v.eq(wanted));
        expected.iter().all(as_expected).then(|| page.to_owned())
    })
}

#[test]
fn figures_of_sources_rules_alerts_and_deliveries() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    listening(&site);
    site.add_destination("pager", "http://127.0.0.1:9/nobody");
    site.edit_config(
        "[[source]]",
        "[[exception]]\nrules = [\"marker\"]\nwhere = \"path = '/line/3'\"\nowner = \"o\"\nreason = \"a \\\"quote\\\"\"\nexpires = 2030-01-01\n\n[[source]]",
    );
    let lines: String = (0..50).map(|i| combined(at(9 * 3600 + i), CLIENT, &format!("GET /line/{i}"), 200)).collect();
    let next = combined(at(11 * 3600), "192.0.2.250", "GET /", 200);
    let late = combined(at(9 * 3600), CLIENT, "GET /late", 200);
    site.append("access.log", lines + "no request at all\n" + &next + &late);
    let process = site.run();
    let base = base(&process);
    let source = format!("{{source=\"{}\"}}", "logs");
    let named = |name: &str| format!("{name}{source}");
    let page = wait_for_values(
        &base,
        &[
            (&named("tripline_source_requests_total"), 52.0),
            (&named("tripline_source_rejected_lines_total"), 1.0),
            (&named("tripline_source_late_requests_total"), 1.0),
            (&named("tripline_source_files"), 1.0),
            (&named("tripline_source_unread_files"), 0.0),
            ("tripline_rejected_lines_total{format=\"combined\",reason=\"other_layout\"}", 1.0),
            ("tripline_exception_requests_total{exception=\"1: a \\\"quote\\\"\"}", 1.0),
            ("tripline_rule_requests_total{rule=\"count\"}", 51.0),
            ("tripline_rule_windows_closed_total{rule=\"count\"}", 1.0),
            ("tripline_rule_result_rows_total{rule=\"count\"}", 1.0),
            ("tripline_alerts_total{rule=\"count\",status=\"firing\"}", 1.0),
            ("tripline_alerts_open{rule=\"count\"}", 1.0),
            ("tripline_delivery_tries_total{destination=\"soc\",result=\"delivered\"}", 1.0),
            ("tripline_delivery_tries_total{destination=\"pager\",result=\"failed\"}", 1.0),
            ("tripline_outbox_messages{destination=\"pager\"}", 1.0),
            ("tripline_state_writable", 1.0),
        ],
    );
    for positive in [
        "tripline_rule_lag_seconds{rule=\"count\"}",
        "tripline_rule_close_seconds_total{rule=\"count\"}",
        "tripline_rule_aggregate_seconds_total{rule=\"count\"}",
        "tripline_rule_state_bytes{rule=\"count\"}",
        "tripline_state_bytes",
        "tripline_commits_total",
        &named("tripline_source_lag_seconds"),
    ] {
        assert!(value(&page, positive).is_some_and(|v| v > 0.0), "{positive}:\n{page}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&base, path), (200, "ok\n".into()), "{path}");
    }
    terminate(process);
}

/// Nothing of a log becomes a label.
#[test]
fn labels_come_from_the_config() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    listening(&site);
    let hostile = "attacker\\\"} 1";
    site.append("access.log", combined(at(9 * 3600), CLIENT, &format!("GET /{hostile}"), 200));
    site.append("access.log", combined(at(11 * 3600), CLIENT, "GET /", 200) + hostile + "\n");
    let process = site.run();
    let base = base(&process);
    let page = wait_for_values(&base, &[("tripline_alerts_open{rule=\"count\"}", 1.0)]);
    assert!(!page.contains("attacker") && !page.contains(CLIENT), "{page}");
    terminate(process);
}

/// While the state cannot be written, whoever watches is told.
#[test]
fn a_full_disk_is_not_healthy() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    listening(&site);
    let process = site.run_with_failpoint(Some("before-commit:full:1000000"));
    let base = base(&process);
    wait_for(&base, "/readyz", |status, _| (status == 200).then_some(()));
    site.append("access.log", combined(at(9 * 3600), CLIENT, "GET /", 200));
    let why = wait_for(&base, "/healthz", |status, text| (status == 503).then(|| text.to_owned()));
    assert!(why.contains("cannot be written"), "{why}");
    wait_for_values(&base, &[("tripline_state_writable", 0.0)]);
    terminate(process);
}

#[test]
fn an_address_that_is_taken() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    site.edit_config("[state]", &format!("[metrics]\nlisten = \"{address}\"\n\n[state]"));
    let output = site.start(&["run", "-c", "tripline.toml"]).end().with_code(2);
    output.says(&[&address, "[metrics] listen"]);
}

/// A reload keeps what was counted.
#[test]
fn counters_survive_a_reload() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    listening(&site);
    let process = site.run();
    let base = base(&process);
    let lines: String = (0..10).map(|i| combined(at(9 * 3600 + i), CLIENT, &format!("GET /line/{i}"), 200)).collect();
    site.append("access.log", lines);
    let rows = "tripline_rule_requests_total{rule=\"count\"}";
    wait_for_values(&base, &[(rows, 10.0)]);
    site.write("rules/marker/rule.sql", &site.read("rules/marker/rule.sql").replace("A marker", "Another marker"));
    process.wait_to_say("have changed and are in use");
    site.append("access.log", combined(at(9 * 3600 + 20), CLIENT, "GET /line/10", 200));
    wait_for_values(&base, &[(rows, 11.0)]);
    terminate(process);
}
