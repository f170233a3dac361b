//! The history that `tripline run` keeps: each row once, through kills; read by `scan`, `query`, DuckDB and pandas.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;
use tripline_datasets::Length;
use tripline_tests::logs::{at, benign, combined, simulate, with_campaign};
use tripline_tests::python::{DATA, python};
use tripline_tests::receiver::Receiver;
use tripline_tests::repository::sample;
use tripline_tests::site::{Site, terminate};
use tripline_tests::tripline;

/// A site that keeps a history in `history`.
fn site(receiver: &Receiver) -> Site {
    let site = Site::counting(receiver);
    site.edit_config("[rules]", "[history]\ndir = \"history\"\nkeep = \"3000d\"\nmax_bytes = \"1GB\"\n\n[rules]");
    site
}

/// The files of a history, relative to it.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).expect("within").to_owned());
            }
        }
    }
    found
}

/// What scans must agree in: what closed windows said. When a window is known depends on the lateness that a log has and a history has
/// not, and which row is seen to settle a window that is still open, on how rows came in batches.
fn essence(alerts: Vec<Value>) -> Vec<Value> {
    let strip = |mut alert: Value| {
        let alert_object = alert.as_object_mut().expect("an object");
        for key in ["detected_at", "fired_at", "sequence", "status"] {
            alert_object.remove(key);
        }
        alert
    };
    alerts.into_iter().filter(|alert| alert["provisional"] == false).map(strip).collect()
}

/// The answer of `tripline query --format json`.
fn query(sql: &str, path: &Path) -> Vec<Value> {
    tripline!("query", sql, "--format", "json", "--logs", path).with_code(0).json()
}

/// Five hours of traffic in pieces, with stops and kills between: the history has the rows of the logs, hour by hour, and the
/// same findings.
#[test]
fn a_history_equals_its_logs_through_kills() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    let (log, _) = simulate(&with_campaign(&benign(11, Length::Duration(SignedDuration::from_hours(5)), 0.4)));
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    for (i, piece) in lines.chunks(lines.len() / 5 + 1).enumerate() {
        let process = site.run();
        site.append("access.log", piece.concat());
        site.mark(&receiver, "other.log", &format!("piece-{i}"), at(9 * 3600 + i64::try_from(i).expect("few") * 3600));
        if i % 2 == 0 {
            process.signal("KILL");
            process.end();
        } else {
            terminate(process);
        }
    }
    terminate(site.run());

    let history = site.path().join("history");
    let found = files(&history);
    let hours: BTreeSet<_> = found.iter().map(|path| path.parent().expect("a folder")).collect();
    assert!(hours.contains(Path::new("date=2026-03-02/hour=09")), "{found:?}");
    assert!(hours.len() >= 5, "{found:?}");
    // An hour that is over is one file; what came late may be another.
    assert!(found.len() <= hours.len() + 2, "{found:?}");

    let rows = "SELECT ts, client, path, query, route, object, status, bytes_out, user_agent, source, \"offset\", raw, extra \
                FROM requests ORDER BY source, \"offset\"";
    let same_source = |rows: Vec<Value>| -> Vec<Value> {
        let name =
            |row: &Value| PathBuf::from(row["source"].as_str().expect("a name")).file_name().map(ToOwned::to_owned);
        let strip = |mut row: Value| {
            row["source"] = json!(name(&row).expect("a name").to_string_lossy());
            row
        };
        rows.into_iter().map(strip).collect()
    };
    let (logged, kept) = (same_source(query(rows, &site.logs())), same_source(query(rows, &history)));
    assert_eq!(logged.len(), kept.len(), "rows of the logs and of the history");
    assert!(logged == kept, "rows differ: {:?}", logged.iter().zip(&kept).find(|(a, b)| a != b));

    let without_evidence = |alerts: Vec<Value>| -> Vec<Value> {
        let strip = |mut alert: Value| {
            alert.as_object_mut().expect("an object").remove("evidence");
            alert
        };
        essence(alerts).into_iter().map(strip).collect()
    };
    let (logged, kept) = (without_evidence(site.scan(&site.logs())), without_evidence(site.scan(&history)));
    assert!(!logged.is_empty());
    assert_eq!(logged, kept);
}

/// The Parquet of one log, in order.
fn stored(folder: &Path, name: &str, sql: &str, log: &Path) -> PathBuf {
    let path = folder.join(name);
    tripline!("query", sql, "--format", "parquet", "--output", &path, "--logs", log).with_code(0);
    path
}

const ALL: &str = "SELECT * FROM requests ORDER BY ts";

/// All shipped rules find the same in Parquet as in the log it was made of, alone and beside other logs.
#[test]
fn parquet_in_place_of_a_log() {
    let folder = TempDir::new().expect("a folder");
    let parquet = stored(folder.path(), "any name.parquet", ALL, &sample());
    let scan = |paths: &[&Path]| {
        let mut args: Vec<&std::ffi::OsStr> = ["scan", "--quiet", "--format", "json"].map(AsRef::as_ref).to_vec();
        args.extend(paths.iter().map(|path| path.as_os_str()));
        essence(tripline_tests::program::tripline(&args).with_code(0).json())
    };
    let found = scan(&[&sample()]);
    assert!(!found.is_empty());
    assert_eq!(scan(&[&parquet]), found);
    assert_eq!(scan(&[folder.path()]), found, "a folder");
    assert_eq!(scan(&[&folder.path().join("*.parquet")]), found, "a glob");

    // Two halves, one a log and one Parquet.
    let text = fs::read_to_string(sample()).expect("the sample");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let log = folder.path().join("first.log");
    fs::write(&log, first.concat()).expect("a log");
    let rest = folder.path().join("rest.log");
    fs::write(&rest, second.concat()).expect("a log");
    let rest = stored(folder.path(), "rest.parquet", ALL, &rest);
    let ids = |alerts: &[Value]| alerts.iter().map(|a| [a["id"].clone(), a["values"].clone()]).collect::<Vec<_>>();
    assert_eq!(ids(&scan(&[&log, &rest])), ids(&found), "half and half");

    let sql = "SELECT client, count(*) AS n, min(ts) AS first, max(bytes_out) AS most FROM requests \
               WHERE status = 200 AND client <> '192.0.2.1' GROUP BY client ORDER BY client";
    assert_eq!(query(sql, &parquet), query(sql, &sample()));
    let both = tripline!("query", sql, "--format", "json", "--logs", &log, &rest).with_code(0).json();
    assert_eq!(both, query(sql, &sample()));
    let rule = |path: &Path| {
        tripline!("query", "--rule", "api1/object-enumeration", "--format", "json", "--logs", path).with_code(0).json()
    };
    assert!(!rule(&sample()).is_empty());
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(Value::to_string);
        rows
    };
    assert_eq!(sorted(rule(&parquet)), sorted(rule(&sample())));
    // Whatever reads logs reads Parquet.
    let parsed = |path: &Path| tripline!("parse", path).with_code(0).json();
    assert_eq!(parsed(&parquet), parsed(&sample()));
    tripline!("doctor", &parquet).with_code(0).shows(&["parquet"]);
}

/// What is in the way is named, and what to do.
#[test]
fn parquet_that_is_something_else() {
    let folder = TempDir::new().expect("a folder");
    let of = |name: &str, sql: &str| stored(folder.path(), name, sql, &sample());
    let refused = |path: &Path, parts: &[&str]| {
        let all = [parts, &[path.to_str().expect("a name")]].concat();
        tripline!("scan", path).with_code(2).says(&all);
        tripline!("query", "SELECT count(*) FROM requests", "--logs", path).with_code(2).says(&all);
    };
    let how = "SELECT * FROM requests ORDER BY ts";
    refused(&of("few.parquet", "SELECT ts, client FROM requests"), &["no column `client_ip`", how]);
    let cast = "SELECT * REPLACE (CAST(status AS BIGINT) AS status) FROM requests";
    refused(&of("cast.parquet", cast), &["`status` is Int64, not UInt16", how]);
    refused(&of("none.parquet", "SELECT * FROM requests WHERE status = 999"), &["has no rows"]);

    // Out of order most rows would look late; a query does not mind.
    let backwards = of("backwards.parquet", "SELECT * FROM requests ORDER BY ts DESC");
    tripline!("scan", &backwards).with_code(2).says(&["not in the order of ts", how]);
    query("SELECT count(*) FROM requests", &backwards);

    let whole = fs::read(of("whole.parquet", ALL)).expect("a file");
    let half = folder.path().join("half.parquet");
    fs::write(&half, &whole[..whole.len() / 2]).expect("a file");
    refused(&half, &["damaged or not whole"]);
    // In a folder it is passed over with a warning.
    let bad = folder.path().join("bad");
    fs::create_dir(&bad).expect("a folder");
    fs::copy(&half, bad.join("half.parquet")).expect("a copy");
    fs::copy(sample(), bad.join("access.log")).expect("a copy");
    tripline!("scan", &bad).says(&["damaged or not whole", "1 file (1 combined)"]);
}

/// Reads the whole history, and of one hour what one client did, as people do.
const READERS: &str = r#"
import duckdb, json, pandas, pyarrow.parquet, pathlib, sys
history = pathlib.Path(sys.argv[1])
files = sorted(history.glob("**/*.parquet"))
columns = "count(*), count(DISTINCT \"offset\"), min(ts)::VARCHAR, sum(bytes_out)::BIGINT, count(user_agent)"
duck = duckdb.execute(f"SELECT {columns} FROM read_parquet(?, hive_partitioning = true)", [str(history / "**/*.parquet")]).fetchone()
hours = duckdb.execute("SELECT date::VARCHAR, hour::INT, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL ORDER BY ALL",
                       [str(history / "**/*.parquet")]).fetchall()
frame = pandas.read_parquet(history)
metadata = [pyarrow.parquet.ParquetFile(file).metadata for file in files]
print(json.dumps({
    "duckdb": duck, "hours": hours,
    "pandas": [len(frame), int(frame["offset"].nunique()), int(frame["bytes_out"].sum()), str(frame["ts"].dtype)],
    "codec": sorted({m.row_group(g).column(c).compression for m in metadata for g in range(m.num_row_groups) for c in range(m.num_columns)}),
    "statistics": all(m.row_group(g).column(0).statistics.has_min_max for m in metadata for g in range(m.num_row_groups)),
}))
"#;

#[test]
fn duckdb_and_pandas_read_it() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    let lines: String =
        (0..3000).map(|i| combined(at(9 * 3600 + i * 3), "192.0.2.7", &format!("GET /line/{i}"), 200)).collect();
    site.append("access.log", &lines);
    let process = site.run();
    site.mark(&receiver, "access.log", "end", at(12 * 3600));
    terminate(process);
    let history = site.path().join("history");
    let Some(read) = python(DATA, READERS, &[&history]) else { return };
    // The marker and the line after it are two more.
    assert_eq!(read["duckdb"][0], 3002);
    assert_eq!(read["duckdb"][1], 3002);
    assert_eq!(read["duckdb"][3], 3002 * 512);
    assert_eq!(read["pandas"][0], 3002);
    assert_eq!(read["pandas"][2], 3002 * 512);
    assert!(read["pandas"][3].as_str().is_some_and(|kind| kind.contains("UTC")), "{read}");
    let expected =
        json!([["2026-03-02", 9, 1200], ["2026-03-02", 10, 1200], ["2026-03-02", 11, 600], ["2026-03-02", 12, 2]]);
    assert_eq!(read["hours"], expected);
    assert_eq!(read["codec"], json!(["ZSTD"]));
    assert_eq!(read["statistics"], true);
}

#[test]
fn old_hours_go_and_it_is_told() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    site.edit_config("keep = \"3000d\"", "keep = \"2h\"");
    let process = site.run();
    for hour in 9..13 {
        site.append("access.log", combined(at(hour * 3600), "192.0.2.7", "GET /", 200));
        site.mark(&receiver, "access.log", &format!("hour-{hour}"), at(hour * 3600 + 10));
    }
    terminate(process);
    let hours = |site: &Site| -> BTreeSet<String> {
        let name = |path: &PathBuf| path.parent().expect("a folder").to_string_lossy().into_owned();
        files(&site.path().join("history")).iter().map(name).collect()
    };
    // At twelve the hour from nine to ten is two hours old.
    let process = site.run();
    site.mark(&receiver, "access.log", "last", at(13 * 3600 - 100));
    let output = terminate(process);
    let left = [10, 11, 12].map(|hour| format!("date=2026-03-02/hour={hour}"));
    assert_eq!(hours(&site), BTreeSet::from(left), "{}", output.stderr);
}

#[test]
fn a_history_of_another_state_is_not_touched() {
    let receiver = Receiver::answering(200);
    let site = site(&receiver);
    site.append("access.log", combined(at(9 * 3600), "192.0.2.7", "GET /", 200));
    let process = site.run();
    site.mark(&receiver, "access.log", "one", at(9 * 3600 + 10));
    terminate(process);
    let before = files(&site.path().join("history"));
    assert!(!before.is_empty());
    fs::remove_dir_all(site.path().join("state")).expect("the state");
    site.start(&["run", "-c", "tripline.toml"])
        .end()
        .with_code(2)
        .says(&["move it away or name another folder", "[history]"]);
    assert_eq!(files(&site.path().join("history")), before);
}
