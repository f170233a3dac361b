//! What must hold of any bytes that are read as a log, whatever its format: every line is a row, a reject, blank or a
//! heading, no row holds more than its line did, columns are what Arrow says they are, and a file that grows while it is
//! read, with a restart in between, gives what one gives that lay there whole. `fuzz.rs` calls it, and so do the targets
//! in `ingest/fuzz`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, UInt64Type};
use tripline_ingest::table::columns;
use tripline_ingest::{Batch, Compression, LogReader, Mode, Position, Probe, Reject, SourceOptions, schema};

/// Columns that are made of others.
const MADE_UP: [&str; 5] = ["source", "extra", "client", "route", "object"];

/// A file of any bytes, as if it were in the format that the options name.
fn pretended(path: &Path, options: &SourceOptions) -> Probe {
    Probe {
        path: path.to_owned(),
        format: options.format.clone().expect("the caller names it"),
        compression: Compression::None,
        size: 0,
        first_ts: 0,
        default_lateness: Duration::ZERO,
        scores: Vec::new(),
    }
}

/// A place to cut at for who has no better idea: the same for the same bytes.
#[allow(dead_code, reason = "for the fuzz targets")]
pub fn cut_of(log: &[u8]) -> usize {
    log.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into())) % (log.len() + 1)
}

/// Whole lines of a container's streams: whoever follows a log waits for the ends of those that were cut.
const WHOLE_LINES: &[u8] = b"\n{\"log\":\"\\n\",\"stream\":\"stdout\"}\n{\"log\":\"\\n\",\"stream\":\"stderr\"}\n\
    2024-03-05T10:00:00Z stdout F \n2024-03-05T10:00:00Z stderr F \n";

/// Reads `log` as `options` say, in one piece, and again in two, the first of which ends at byte `cut`.
pub fn check(options: &SourceOptions, log: &[u8], cut: usize) {
    let is_wrapped = options.format.as_ref().is_some_and(|format| format.contains('+'));
    let log = &[log, if is_wrapped { WHOLE_LINES } else { b"" }].concat();
    if log.starts_with(&[0x1F, 0x8B])
        || log.get(1..4).is_some_and(|magic| magic == [0xB5, 0x2F, 0xFD] || magic == [0x2A, 0x4D, 0x18])
    {
        return; // an archive, whose bytes are not the log's
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), log).expect("writes");
    let probe = pretended(file.path(), options);
    let mut reader = LogReader::open(&probe, options, Mode::Once).expect("opens");
    let whole = drain(&mut reader);
    let bytes: u64 = whole.iter().map(|batch| batch.bytes).sum();
    assert_eq!(bytes, log.len() as u64, "bytes are neither skipped nor read twice");
    for batch in &whole {
        check_batch(batch, log);
    }

    let cut = cut.min(log.len());
    fs::write(file.path(), &log[..cut]).expect("writes");
    let mut reader = LogReader::open(&probe, options, Mode::Follow).expect("opens");
    let mut pieces = drain(&mut reader);
    let stored = serde_json::to_string(&reader.position()).expect("serialises");
    let position: Position = serde_json::from_str(&stored).expect("deserialises");
    let mut rest = log[cut..].to_vec();
    if !log.ends_with(b"\n") {
        rest.push(b'\n'); // who follows a file waits for it
    }
    let mut file = OpenOptions::new().append(true).open(file.path()).expect("is there");
    file.write_all(&rest).expect("writes");
    let mut resumed = LogReader::resume(&position, options).expect("is the same file");
    pieces.extend(drain(&mut resumed));
    assert_eq!(rows(&pieces), rows(&whole), "read in two pieces");
    assert_eq!(rejects(&pieces), rejects(&whole), "read in two pieces");
}

fn drain(reader: &mut LogReader) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch().expect("the file can be read") {
        batches.push(batch);
    }
    batches
}

fn rows(batches: &[Batch]) -> RecordBatch {
    concat_batches(&schema(), batches.iter().map(|batch| &batch.rows)).expect("one schema")
}

fn rejects(batches: &[Batch]) -> Vec<&Reject> {
    batches.iter().flat_map(|batch| &batch.rejects).collect()
}

/// What must hold of a batch of this log.
pub fn check_batch(batch: &Batch, log: &[u8]) {
    let counted = batch.rows.num_rows() as u64 + batch.rejects.len() as u64;
    let counters = &batch.counters;
    assert_eq!(counted + counters.blank_lines + counters.heading_lines + counters.pieces, batch.lines);
    let offsets = batch.rows.column(columns::OFFSET).as_primitive::<UInt64Type>().values();
    assert!(offsets.is_sorted_by(|a, b| a < b) && offsets.iter().all(|at| *at < log.len() as u64));
    let raw = batch.rows.column(columns::RAW).as_string_view();
    for (column, field) in batch.rows.columns().iter().zip(batch.rows.schema().fields()) {
        column.to_data().validate_full().unwrap_or_else(|error| panic!("{}: {error}", field.name()));
        if *field.data_type() != DataType::Utf8View {
            continue;
        }
        let text = column.as_string_view();
        let made_up = MADE_UP.contains(&field.name().as_str());
        for row in (0..text.len()).filter(|row| text.is_valid(*row)) {
            let (text, line) = (text.value(row), raw.value(row));
            assert!(!text.is_empty(), "{} is \"\"", field.name());
            if field.name() == "extra" {
                let is_object = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object());
                assert!(is_object, "{text}");
            }
            if made_up {
                // Control characters take six bytes in JSON, `1/` takes five as a route; and there are names of keys.
                assert!(field.name() == "source" || text.len() <= 16 * line.len() + 256, "{}: {line}", field.name());
            } else {
                // A byte that is not UTF-8 takes three as U+FFFD; Akamai's paths get a slash.
                assert!(text.len() <= 3 * line.len() + 1, "{}: {line}", field.name());
                assert!(text != "-" || ["raw", "query"].contains(&field.name().as_str()), "{} is -", field.name());
            }
        }
    }
}
