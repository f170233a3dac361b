//! Each format's folder holds `samples.log` and `expected.jsonl`, what these lines must give. After a change,
//! `UPDATE_EXPECTED=1 cargo test -p tripline-ingest` writes the latter anew, for the eye to judge.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tripline_ingest::formats::formats;
use tripline_ingest::table::columns;
use tripline_ingest::{Batch, SourceOptions, probe};

use crate::rows::{json_row, read, text};

fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/formats").join(format)
}

#[test]
fn samples_give_what_is_expected() {
    for format in formats() {
        check(format.name());
    }
}

fn check(format: &str) {
    let path = folder(format).join("samples.log");
    let options = SourceOptions::default();
    let found = probe(&path, &options).expect("its format is known");
    assert_eq!(found.format, format, "detected: {:#?}", found.scores);

    let (batches, error) = read(&path, &options);
    assert!(error.is_none(), "{error:?}");
    let log = fs::read(&path).expect("has samples");
    let mut lines = 0;
    let mut found = String::new();
    for batch in &batches {
        lines += batch.lines;
        found += &outcome(batch, &log);
    }
    assert_eq!(lines, log.split(|b| *b == b'\n').count() as u64 - 1, "{format}: every line counts");

    let expected = folder(format).join("expected.jsonl");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&expected, &found).expect("writes");
    }
    let expected = fs::read_to_string(&expected).unwrap_or_default();
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{format}, outcome {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{format}");
}

/// Rows and rejects in the order of the lines, without what is checked here: `raw` stands at `offset` of the file.
fn outcome(batch: &Batch, log: &[u8]) -> String {
    let mut outcomes = Vec::new();
    for row in 0..batch.rows.num_rows() {
        let line = json_row(&batch.rows, row);
        let json: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
        let offset = json["offset"].as_u64().expect("is there");
        let raw = text(&batch.rows, columns::RAW, row).expect("is there");
        let at = usize::try_from(offset).expect("is small");
        assert_eq!(&log[at..at + raw.len()], raw.as_bytes());
        if let Some(extra) = text(&batch.rows, columns::EXTRA, row) {
            serde_json::from_str::<serde_json::Value>(extra).expect("extra is JSON");
        }
        outcomes.push((offset, without(&line, &json, &["source", "offset", "raw"])));
    }
    for reject in &batch.rejects {
        outcomes.push((reject.offset, format!("{{\"reject\": \"{}\"}}", reject.reason.name())));
    }
    outcomes.sort();
    outcomes.iter().fold(String::new(), |mut all, (_, line)| {
        writeln!(all, "{line}").expect("a string takes all");
        all
    })
}

/// The row without some of its columns, in the same order.
fn without(line: &str, json: &serde_json::Value, columns: &[&str]) -> String {
    columns.iter().fold(line.to_owned(), |line, column| line.replace(&format!(", \"{column}\": {}", json[*column]), ""))
}
