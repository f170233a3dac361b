//! Requests that several layers log, and files that come when their time is over.

use std::fs;

use tempfile::TempDir;
use tripline_tests::logs::{at, combined};
use tripline_tests::receiver::Receiver;
use tripline_tests::site::{Site, terminate};
use tripline_tests::tripline;

use crate::metrics::{base, listening, value, wait_for_values};

const CONFIG: &str = "[[source]]\npath = \"edge\"\nlayer = \"edge\"\n[[source]]\npath = \"proxy\"\nlayer = \"proxy\"\n";

/// A load balancer and nginx behind it: the first logs when a request ends, with the host, the other when it begins.
fn scene() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for layer in ["edge", "proxy"] {
        fs::create_dir(path(layer)).expect("a folder");
    }
    let request = |i: i64| format!("GET /v1/items/{i}?page={}", i % 7);
    let line =
        |i: i64, host: &str, ip: &str, late: i64| format!("{host} {}", combined(at(i + late), ip, &request(i), 200));
    let host = |i: i64| if i % 5 == 0 { "static.example.com:443" } else { "www.example.com:443" };
    fs::write(path("edge/a.log"), (0..300).map(|i| line(i, host(i), "192.0.2.1", 1)).collect::<String>())
        .expect("a log");
    let proxied = (0..300).map(|i| line(i, host(i), "10.0.0.7", 0)).collect::<String>();
    fs::write(path("proxy/a.log"), proxied).expect("a log");
    folder
}

#[test]
fn layers_that_overlap_are_told_and_counted_once() {
    let folder = scene();
    let path = |name: &str| folder.path().join(name);
    let write = |text: &str| fs::write(path("tripline.toml"), text).expect("a config");
    let check = |code: i32, parts: &[&str]| tripline!("check", "-c", path("tripline.toml")).with_code(code).says(parts);
    let count = || {
        let sql = "SELECT host, client, count(*) AS n FROM requests GROUP BY host, client ORDER BY host, client";
        tripline!("query", "-c", path("tripline.toml"), "--format", "csv", sql)
            .with_code(0)
            .stdout
            .replace("host,client,n\n", "")
    };
    let told = ["edge", "proxy", "log the same requests", "path and time", "[layers] default"];
    tripline!("doctor", path("edge"), path("proxy")).with_code(0).shows(&told);
    write(&CONFIG.replace("layer = \"edge\"\n", "").replace("layer = \"proxy\"\n", ""));
    check(0, &told);

    write(CONFIG);
    check(2, &["tripline.toml:3:10", "add [layers] default"]);
    write(&format!("{CONFIG}[layers]\ndefault = \"sidecar\"\n"));
    check(2, &["tripline.toml:8:12", "no source has the layer", "edge, proxy"]);

    write(&format!("{CONFIG}[layers]\ndefault = \"edge\"\nhosts = {{ \"static.example.com\" = \"proxy\" }}\n"));
    let output = tripline!("check", "-c", path("tripline.toml")).with_code(0);
    assert!(!output.stderr.contains("same requests"), "{}", output.stderr);
    assert_eq!(count(), "static.example.com,10.0.0.7,60\nwww.example.com,192.0.2.1,240\n");
    let output = tripline!("scan", "-c", path("tripline.toml"), path("edge"), path("proxy")).with_code(0);
    output.says(&["300 requests", "300 requests are logged by the layer that counts"]);
}

/// Rows of one minute; what comes later is late.
const MINUTES: &str = "/*
title = \"Minutes\"
severity = \"low\"
entity = [\"client\"]
*/
SELECT window_start, window_end, client, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 minute')
GROUP BY window_start, window_end, client
HAVING count(*) > 100000
";

/// Half an hour of a tailed log, beside files of five minutes by three nodes, of which one never comes. How many rows were late.
fn late_rows(arrival: &str) -> f64 {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    listening(&site);
    site.write("rules/minutes/rule.sql", MINUTES);
    site.write("alb/readme.log", &combined(at(9 * 3600), "192.0.2.1", "GET /first", 200));
    site.edit_config("[rules]", &format!("[[source]]\npath = \"alb\"\nlateness = \"1m\"\n{arrival}\n[rules]"));
    site.append("access.log", combined(at(9 * 3600), "192.0.2.1", "GET /first", 200));
    let process = site.run();
    let base = base(&process);
    let (mut tailed, mut batch, mut from) = (1, 1, 9 * 3600 + 10);
    let wait = |tailed: i32, batch: i32| {
        wait_for_values(
            &base,
            &[
                ("tripline_source_requests_total{source=\"logs\"}", f64::from(tailed)),
                ("tripline_source_requests_total{source=\"alb\"}", f64::from(batch)),
            ],
        )
    };
    for five in 0..6_i64 {
        let begin = 9 * 3600 + five * 300;
        let tail = |from: i64, to: i64| -> String {
            (from..to).step_by(10).map(|s| combined(at(s), "192.0.2.1", "GET /t", 200)).collect()
        };
        // The nodes' files of these minutes come half a minute, and a minute, after their end.
        for (node, arrives) in [("a", begin + 330), ("b", begin + 360)] {
            site.append("access.log", tail(from, arrives));
            tailed += i32::try_from((arrives - from + 9) / 10).expect("few");
            wait(tailed, batch);
            from = arrives;
            // (within a file, lines are out of order by up to a minute)
            let order = (0..300_i64).step_by(5).map(|s| begin + if s % 2 == 0 { s } else { (s - 50).max(0) });
            let file: String = order.map(|s| combined(at(s), "192.0.2.2", &format!("GET /{node}"), 200)).collect();
            site.write(&format!("alb/{node}-{five}.log"), &file);
            batch += 60;
            wait(tailed, batch);
        }
    }
    let page = wait(tailed, batch);
    let late = |source: &str| value(&page, &format!("tripline_source_late_requests_total{{source=\"{source}\"}}"));
    let late = late("logs").unwrap_or(0.0) + late("alb").unwrap_or(0.0);
    terminate(process);
    late
}

#[test]
fn files_that_come_late_are_waited_for() {
    let late = late_rows("arrival = \"batch\"\ninterval = \"5m\"\n");
    assert!(late.eq(&0.0), "{late} late rows");
    assert!(late_rows("") > 100.0, "without `arrival` they would be in time, too: nothing was tested");
}

#[test]
fn arrival_and_interval_go_together() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("tripline.toml");
    for (text, parts) in [
        ("arrival = \"batch\"", ["tripline.toml:3:1", "needs interval"]),
        ("interval = \"5m\"", ["tripline.toml:3:1", "arrival = \"batch\""]),
        ("arrival = \"batch\"\ninterval = \"often\"", ["tripline.toml:4:1", "not a duration"]),
        ("arrival = \"pigeon\"", ["tripline.toml:3:11", "`batch`"]),
    ] {
        fs::write(&config, format!("[[source]]\npath = \"x\"\n{text}\n")).expect("a config");
        tripline!("check", "-c", &config).with_code(2).says(&parts);
    }
}
