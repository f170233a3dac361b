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
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must have the corpus at {}", path.display());
    println!("skipped: there is no corpus at {}", path.display());
    None
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

/// Every line of a format that there is agrees with what its project says it must parse to, but for these.
#[test]
fn lines_of_other_projects() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("lines.jsonl")).expect("is there");
    let mut agreed = 0;
    let mut excused = std::collections::BTreeMap::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("is JSON");
        let format = case["format"].as_str().expect("is there");
        let ours = ["nginx", "apache", "vrl/common"]
            .iter()
            .any(|begin| format.starts_with(begin) || format.contains("/nginx") || format.contains("/apache"));
        if !ours {
            continue;
        }
        let log = case["line"].as_str().expect("is there");
        if let Some(reason) = excuse(log) {
            *excused.entry(reason).or_insert(0) += 1;
            continue;
        }
        check(log, &case);
        agreed += 1;
    }
    println!("{agreed} lines agree; left out: {excused:#?}");
    assert!(agreed > 70);
}

/// Why a line cannot be a row of the formats that there are.
fn excuse(line: &str) -> Option<&'static str> {
    let begins_with_date = line.starts_with(|c: char| c.is_ascii_digit()) && line.as_bytes().get(4) == Some(&b'/');
    if begins_with_date || line.starts_with("[Thu ") || line.starts_with("[Wed ") {
        return Some("a line of an error log is no request");
    }
    if line.starts_with('[') {
        return Some("nginx-proxy-manager and custom layouts come with their own formats");
    }
    if line.starts_with("- - - - ") || line.starts_with("- - - [-]") {
        return Some("a row needs a timestamp");
    }
    None
}

#[track_caller]
fn check(log: &str, case: &Value) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "{log}").expect("writes");
    let options = SourceOptions::default();
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
        let found = found(&row, key);
        let agrees = same(key, &found, expected);
        assert!(agrees, "{log}\n({}) {key}: {found} is not {expected}", parsed.format);
    }
    assert!(rows.column(columns::CLIENT).is_valid(0));
}

/// What we have under the name that they use.
fn found(row: &Value, key: &str) -> Value {
    match key {
        "path" | "path_no_query" => match (&row["path"], &row["query"]) {
            // They take garbage for a path.
            (Value::Null, _) => {
                let extra = row["extra"].as_str().map(|extra| serde_json::from_str::<Value>(extra).expect("is JSON"));
                extra.map_or(Value::Null, |extra| extra["request"].clone())
            }
            (Value::String(path), Value::String(query)) => format!("{path}?{query}").into(),
            (path, _) => path.clone(),
        },
        "bytes" => row["bytes_out"].clone(),
        "referrer" => row["referer"].clone(),
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
        ("ts_ms", ms) => found.as_i64() == ms.as_i64().map(|ms| ms * 1000),
        ("path" | "path_no_query", Value::String(path)) => {
            found == expected || found.as_str().and_then(|found| found.split_once('?')).is_some_and(|f| f.0 == path)
        }
        _ => found == expected,
    }
}
