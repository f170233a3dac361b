//! Baselines that `tripline run` keeps: the same as those of one query over the logs, through kills; read by DuckDB and pandas;
//! gone when they cannot hold any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tripline_tests::logs::{at, combined};
use tripline_tests::python::{DATA, python};
use tripline_tests::receiver::Receiver;
use tripline_tests::site::{Site, terminate};
use tripline_tests::tripline;

const CLIENTS: &str = "/*
title = \"What a client asks for in an hour\"
kind = \"baseline\"
entity = [\"client\", \"route\"]
max_age = \"14d\"
peers = { features = [\"requests\", \"objects\"], min_members = 2, groups = 2 }
*/
SELECT window_start, window_end, client, route, count(*) AS requests, approx_distinct(object) AS objects
FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client, route
";

const ROUTES: &str = "/*
title = \"What clients ask for in an hour\"
kind = \"baseline\"
entity = [\"route\"]
*/
WITH clients AS (
    SELECT window_start, window_end, route, client, count(*) AS requests FROM tumble(requests, ts, INTERVAL '1 hour')
    GROUP BY window_start, window_end, route, client
)
SELECT window_start, window_end, route, max(requests) AS requests FROM clients GROUP BY window_start, window_end, route
";

/// What each client did, beside what it did before; of a new one, what others did; of a new route, nothing.
const RULE: &str = "/*
title = \"Beside what is usual\"
severity = \"low\"
entity = [\"client\", \"route\", \"hour\"]
quiet = \"0s\"
*/
WITH w AS (
    SELECT window_start, window_end, client, route, count(*) AS requests FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE path NOT LIKE '/marker/%' GROUP BY window_start, window_end, client, route
)
SELECT w.window_start, w.window_end, w.client, w.route, CAST(w.window_start AS VARCHAR) AS hour, w.requests,
       own.requests AS own, own.peer_group, own.p_value, round(own.outlier_score, 6) AS score, own.top_feature, norm.requests AS norm, coalesce(own.requests, norm.requests, -1) AS usual
FROM w
LEFT JOIN usual own ON own.client = w.client AND own.route = w.route
 AND w.window_start >= own.valid_from AND w.window_start < own.valid_until
LEFT JOIN norms norm ON norm.route = w.route AND w.window_start >= norm.valid_from AND w.window_start < norm.valid_until
";

fn site(receiver: &Receiver) -> Site {
    let site = Site::counting(receiver);
    site.write("rules/usual/rule.sql", CLIENTS);
    site.write("rules/norms/rule.sql", ROUTES);
    site.write("rules/beside/rule.sql", RULE);
    site
}

/// Requests of a few clients from nine o'clock on, another number each in each hour.
fn log(hours: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for second in (0..hours * 3600).step_by(30) {
        let (hour, n) = (second / 3600, second / 30);
        let client = if n % 7 < hour { n % 5 } else { 5 };
        lines.push(combined(
            at(9 * 3600 + second),
            &format!("192.0.2.{client}"),
            &format!("GET /v1/users/{}", n % 11),
            200,
        ));
    }
    lines
}

fn kept(site: &Site, table: &str) -> BTreeSet<PathBuf> {
    let folder = site.path().join("state/baselines").join(table);
    fs::read_dir(folder).map(|files| files.map(|file| file.expect("a file").path()).collect()).unwrap_or_default()
}

fn names(files: &BTreeSet<PathBuf>) -> Vec<String> {
    files.iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

/// The findings of the rule, from the messages or from a scan: entity and values.
fn beside(alerts: impl Iterator<Item = Value>) -> BTreeSet<String> {
    let alerts = alerts.filter(|alert| alert["rule"] == "beside" && alert["provisional"] == false);
    alerts.map(|alert| json!([alert["entity"], alert["values"]]).to_string()).collect()
}

/// Reads a baseline as people do.
const READERS: &str = r#"
import duckdb, json, pandas, pathlib, sys
folder = pathlib.Path(sys.argv[1])
duck = duckdb.execute("SELECT window_end::VARCHAR, client, route, requests FROM read_parquet(?) ORDER BY ALL",
                      [str(folder / "*.parquet")]).fetchall()
frame = pandas.read_parquet(folder)
print(json.dumps({"duckdb": duck, "pandas": [len(frame), int(frame["requests"].sum()), str(frame["window_end"].dtype)]}))
"#;

/// Stopped and killed in each hour: what is kept is what a query over the logs says, and each hour is seen beside the one before.
#[test]
fn what_is_kept_equals_the_logs_through_kills() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    let lines = log(5);
    for (i, piece) in lines.chunks(lines.len() / 7 + 1).enumerate() {
        let process = site.run();
        site.append("access.log", piece.concat());
        let passed = i64::try_from(lines.len() / 7 + 1).expect("few") * 30 * (i64::try_from(i).expect("few") + 1);
        site.mark(&receiver, "other.log", &format!("piece-{i}"), at(9 * 3600 + passed.min(5 * 3600 - 1)));
        if i % 2 == 0 {
            process.signal("KILL");
            process.end();
        } else {
            terminate(process);
        }
    }
    let process = site.run();
    site.mark(&receiver, "access.log", "end", at(15 * 3600 + 1));
    terminate(process);

    let files = kept(&site, "usual");
    let hours: Vec<String> = (10..=15).map(|hour| format!("2026-03-02T{hour}-00-00Z.parquet")).collect();
    assert_eq!(names(&files), hours);
    let sql = "SELECT window_end, client, route, requests FROM usual ORDER BY 1, 2, 3, 4";
    let query = tripline!("query", sql, "-c", site.config(), "--format", "json", "--logs", site.logs()).with_code(0);
    let query: Vec<Value> =
        query.json().into_iter().filter(|row| row["window_end"] != "2026-03-02T16:00:00Z").collect();
    assert!(query.len() > 20, "{query:?}");
    let folder = site.path().join("state/baselines");
    let stored = tripline!("query", sql, "-c", site.config(), "--format", "json", "--baselines", &folder).with_code(0);
    assert_eq!(stored.json(), query);

    let told = beside(receiver.messages().iter().map(|m| m.alert().clone()));
    let scanned = beside(site.scan(&site.logs()).into_iter());
    let before = |hour: &str| scanned.iter().filter(|finding| finding.contains(hour)).count();
    assert!(before("T10:00:00Z") > 0 && !told.is_empty(), "{scanned:?}");
    assert!(scanned.is_superset(&told), "{:?}", told.difference(&scanned));
    assert_eq!(
        scanned.difference(&told).filter(|f| !f.contains("T15:00:00")).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );

    let Some(read) = python(DATA, READERS, &[&site.path().join("state/baselines/usual")]) else { return };
    let duckdb = read["duckdb"].as_array().expect("rows");
    assert_eq!(duckdb.len(), query.len());
    for (row, expected) in duckdb.iter().zip(&query) {
        assert_eq!(row.as_array().expect("a row")[1..], ["client", "route", "requests"].map(|c| expected[c].clone()));
    }
    let requests: i64 = query.iter().filter_map(|row| row["requests"].as_i64()).sum();
    assert_eq!(read["pandas"].as_array().expect("three")[..2], [json!(query.len()), json!(requests)]);
    assert!(read["pandas"][2].as_str().is_some_and(|kind| kind.contains("UTC")), "{read}");
}

/// A client without a baseline gets its route's, and of a route without one nothing is known.
#[test]
fn a_client_without_a_baseline_gets_its_routes() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    let request = |hour: i64, client: &str, path: &str| combined(at(hour * 3600), client, path, 200);
    let nine = request(9, "192.0.2.1", "GET /v1/users/1").repeat(3) + &request(9, "192.0.2.2", "GET /v1/users/2");
    let ten = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|client| request(10, client, "GET /v1/users/1")).concat();
    site.append("access.log", nine + &ten + &request(10, "192.0.2.1", "GET /v1/orders/1"));
    let known = |client: &str, route: &str| {
        let alerts = site.scan(&site.logs()).into_iter();
        let of = |a: &Value| a["rule"] == "beside" && a["entity"]["client"] == client && a["entity"]["route"] == route;
        let mut alerts = alerts.filter(of).filter(|a| a["window"]["start"] == "2026-03-02T10:00:00Z");
        let values = alerts.next().expect("a finding")["values"].clone();
        ["own", "norm", "usual"].map(|name| values[name].clone())
    };
    assert_eq!(known("192.0.2.1", "/v1/users/{id}"), [json!(3), json!(3), json!(3)]);
    assert_eq!(known("192.0.2.2", "/v1/users/{id}"), [json!(1), json!(3), json!(1)]);
    assert_eq!(known("192.0.2.3", "/v1/users/{id}"), [Value::Null, json!(3), json!(3)]);
    assert_eq!(known("192.0.2.1", "/v1/orders/{id}"), [Value::Null, Value::Null, json!(-1)]);
}

/// What cannot hold any more goes; what is damaged is named, and costs what was in it.
#[test]
fn old_files_go_and_damaged_ones_are_named() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    site.write("rules/usual/rule.sql", &CLIENTS.replace("14d", "3h"));
    let process = site.run();
    for (lines, hour) in log(8).chunks(120).zip(10..) {
        site.append("access.log", lines.concat());
        site.mark(&receiver, "access.log", &format!("hour-{hour}"), at(hour * 3600));
    }
    terminate(process);
    // Of the hours to 17 o'clock those that held when the oldest window of an hour began that may still be open.
    let files = kept(&site, "usual");
    let hours: Vec<String> = (14..=17).map(|hour| format!("2026-03-02T{hour}-00-00Z.parquet")).collect();
    assert_eq!(names(&files), hours);

    let newest = files.last().expect("a file");
    let bytes = fs::read(newest).expect("a file");
    fs::write(newest, &bytes[..bytes.len() / 2]).expect("a file");
    fs::write(newest.with_file_name("1999-01-01T00-00-00Z.parquet"), "nobody lists it").expect("a file");
    let process = site.run();
    site.mark(&receiver, "access.log", "end", at(17 * 3600 + 600));
    let said = terminate(process);
    said.says(&["2026-03-02T17-00-00Z.parquet", "damaged or not whole", "the baseline usual goes on without its rows"]);
    said.says(&["1999-01-01T00-00-00Z.parquet", "removed"]);
    assert_eq!(names(&kept(&site, "usual")), hours[..3]);
    assert!(Path::new(newest).parent().expect("a folder").is_dir());
}
