//! Lines and logs that others wrote, where they are at hand: `../shared/corpus` beside the workspace.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use tripline_ingest::table::columns;
use tripline_ingest::{Batch, SourceOptions, probe};

use crate::rows::{json_row, read};

/// The corpus's folder; `None`, said aloud, if it is not there. CI has it.
fn corpus() -> Option<PathBuf> {
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = crate_folder.ancestors().map(|folder| folder.join("shared/corpus")).find(|path| path.is_dir());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must have shared/corpus beside the workspace");
        println!("skipped: there is no shared/corpus beside the workspace");
    }
    found
}

#[test]
fn real_logs_become_rows() {
    let Some(corpus) = corpus() else { return };
    for (file, format, lines) in
        [("apache-combined-2015-10k.log.gz", "combined", 10_000), ("nasa-clf-1995-4k.log.gz", "common", 4_000)]
    {
        let path = corpus.join("real").join(file);
        let options = SourceOptions::default();
        assert_eq!(probe(&path, &options).expect("is known").format, format);
        let (batches, error) = read(&path, &options);
        assert!(error.is_none(), "{error:?}");
        let rows: usize = batches.iter().map(|batch| batch.rows.num_rows()).sum();
        let rejects: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).collect();
        println!("{file}: {rows} rows, {rejects:?}");
        assert_eq!(rows + rejects.len(), lines);
        assert!(rejects.len() <= 5, "{rejects:?}");
    }
}

/// Every line agrees with what its project says it must parse to, but for those that are listed here.
#[test]
fn lines_of_other_projects() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("lines.jsonl")).expect("is there");
    let mut agreed = 0;
    let mut excused = std::collections::BTreeMap::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("is JSON");
        let log = case["line"].as_str().expect("is there");
        if let Some(reason) = excuse(log) {
            let must_not_parse = serde_json::json!({ "expect_error": true });
            check(log, &must_not_parse);
            *excused.entry(reason).or_insert(0) += 1;
            continue;
        }
        check(log, &case);
        agreed += 1;
    }
    println!("{agreed} lines agree; no requests, or not to be known: {excused:#?}");
    assert!(agreed + excused.values().sum::<usize>() == text.lines().count() && agreed >= 130);
}

/// Why a line is no row.
fn excuse(line: &str) -> Option<&'static str> {
    let begins_with_date = line.starts_with(|c: char| c.is_ascii_digit()) && line.as_bytes().get(4) == Some(&b'/');
    if begins_with_date || line.starts_with("[Thu ") || line.starts_with("[Wed ") {
        return Some("a line of an error log is no request");
    }
    if line.starts_with("- - - - ") || line.starts_with("- - - [-]") {
        return Some("a row needs a timestamp");
    }
    if line.starts_with("<Event ") {
        return Some("an event of Windows' event log, not a line of a log");
    }
    if line.starts_with("{\"asctime\"") || line.starts_with("time=\"") {
        return Some("an application's own log of logins, not an access log");
    }
    if line.starts_with("{\"timestamp_ns\"") {
        return Some("a collector's envelope of its own");
    }
    None
}

#[track_caller]
fn check(log: &str, case: &Value) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "{log}").expect("writes");
    // Not a layout that anything ships with: its config says it.
    let is_own = log.contains("] mx.") || log.contains("] wings.") || log.contains("] npm-mx.") || log.contains("] _ ");
    let own = r#"[$time_local] $host $remote_addr $request_time "$request" $status $bytes_sent $request_length $http_referer $http_user_agent"#;
    let log_format = is_own.then(|| own.to_owned());
    let options = SourceOptions { log_format, ..SourceOptions::default() };
    let parsed = probe(file.path(), &options);
    if case["expect_error"] == true {
        assert!(parsed.is_err(), "{log} must not parse");
        return;
    }
    let parsed = parsed.unwrap_or_else(|error| panic!("{log}: {error}"));
    let (batches, _) = read(file.path(), &options);
    let [Batch { rows, .. }] = batches.as_slice() else { panic!("{log}: one batch") };
    assert_eq!(rows.num_rows(), 1, "{log}");
    let row: Value = serde_json::from_str(&json_row(rows, 0)).expect("is JSON");
    let quirks: Vec<_> = case["quirk_keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, expected) in case["expect"].as_object().expect("is there") {
        if quirks.contains(&key.as_str()) {
            continue;
        }
        let found = found(&row, key, case["format"] == "vrl/aws_alb");
        let agrees = same(key, &found, expected);
        assert!(agrees, "{log}\n({}) {key}: {found} is not {expected}", parsed.format);
    }
    assert!(rows.column(columns::CLIENT).is_valid(0));
}

/// What we have under the name that they use.
fn found(row: &Value, key: &str, is_vrl_alb: bool) -> Value {
    let extra = row["extra"].as_str().map_or(Value::Null, |extra| serde_json::from_str(extra).expect("is JSON"));
    match key {
        "path" | "path_no_query" | "url_original" => match (&row["path"], &row["query"]) {
            // They take garbage for a path.
            (Value::Null, _) => extra["request"].clone(),
            (Value::String(path), Value::String(query)) => format!("{path}?{query}").into(),
            (path, _) => path.clone(),
        },
        "bytes" => row["bytes_out"].clone(),
        "ts_ms" => row["ts"].clone(),
        "referrer" => row["referer"].clone(),
        "x_forwarded_for" => extra["x_forwarded_for"].clone(),
        "duration_ns" => row["duration_ms"].as_f64().map_or(Value::Null, |ms| (ms * 1e6).into()),
        "http_version" => row["protocol"].as_str().map_or(Value::Null, |p| p.trim_start_matches("HTTP/").into()),
        // They take the time of the answer, we that of the request, which goes before.
        "ts" if is_vrl_alb => {
            let time: jiff::Timestamp = extra["time"].as_str().and_then(|time| time.parse().ok()).expect("is there");
            assert!(row["ts"].as_i64() < Some(time.as_microsecond()));
            time.as_microsecond().into()
        }
        _ => row[key].clone(),
    }
}

/// Equal but for how things are written: "-" and "" are NULL, times have zones, the query may be left out.
fn same(key: &str, found: &Value, expected: &Value) -> bool {
    match (key, expected) {
        (_, Value::String(none)) if matches!(none.as_str(), "-" | "") => found.is_null(),
        ("ts", Value::String(time)) => {
            let time: jiff::Timestamp = time.parse().expect("is a time");
            found.as_i64() == Some(time.as_microsecond())
        }
        ("duration_ns", ns) => found.as_f64() == ns.as_f64(),
        ("ts_ms", ms) => found.as_i64() == ms.as_i64().map(|ms| ms * 1000),
        // A host is without its port.
        ("host", Value::String(host)) => found.as_str() == host.split(':').next(),
        ("path" | "path_no_query", Value::String(path)) => {
            // Theirs may be the whole URL; what it asks of a balancer that saw no request is no path; Akamai leaves the
            // slash out.
            let in_url = path.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
            let ours = found.as_str().unwrap_or("");
            let same = |ours: &str| ours == path || Some(ours) == in_url || ours.strip_prefix('/') == Some(path);
            same(ours)
                || ours.split_once('?').is_some_and(|(ours, _)| same(ours))
                || ours.starts_with(&format!("- {path}"))
        }
        _ => found == expected,
    }
}
