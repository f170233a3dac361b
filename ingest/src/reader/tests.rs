//! What must hold for any file, however it is cut into blocks and wherever reading goes on.

use crate::position::HASHED;
use std::io::Write as _;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use proptest::prelude::*;

use super::*;
use crate::reject::Reject;
use crate::table::{columns, schema};

/// Lines good and bad, with all line ends, holes and bytes that are not UTF-8.
fn log() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => (0..250_u8, 0..60_u8, "(/[a-z]{1,6}|/[0-9]{1,6}){1,4}", "[ -~п]{0,30}").prop_map(|(client, second, path, agent)| {
            let agent = agent.replace('"', "\\\"");
            format!("192.0.2.{client} - - [05/Mar/2024:10:15:{second:02} +0000] \"GET {path}?id=7 HTTP/1.1\" 200 5 \"-\" \"{agent}\"").into_bytes()
        }),
        1 => any::<Vec<u8>>(),
        1 => Just(b"192.0.2.1 - - [05/Mar/2024:10:15:00 +0000] \"GET /\xff HTTP/1.1\" 200 5 \"-\" \"\xc3\"".to_vec()),
        1 => Just(Vec::new()),
    ];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\0\0\0")];
    proptest::collection::vec((line, end), 0..40)
        .prop_map(|lines| lines.into_iter().flat_map(|(line, end)| [line, end.as_bytes().to_vec()].concat()).collect())
}

pub(super) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("writes");
    file
}

fn open(file: &tempfile::NamedTempFile, mode: Mode, block: usize) -> LogReader {
    open_as(file, "combined", mode, block)
}

pub(super) fn open_as(file: &tempfile::NamedTempFile, format: &str, mode: Mode, block: usize) -> LogReader {
    let format = known_format(format, &SourceOptions::default()).expect("exists");
    LogReader::open_with(file.path(), format, &SourceOptions::default(), mode, 0, block).expect("opens")
}

/// What a reader gives, put together.
#[derive(Debug, PartialEq)]
pub(super) struct All {
    pub(super) rows: RecordBatch,
    pub(super) rejects: Vec<Reject>,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) counters: Counters,
}

pub(super) fn read(reader: &mut LogReader) -> All {
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch().expect("reads") {
        assert_eq!(batch.rows.schema(), schema());
        batches.push(batch);
    }
    all(&batches)
}

pub(super) fn all(batches: &[Batch]) -> All {
    let mut counters = Counters::default();
    for batch in batches {
        counters += batch.counters;
    }
    All {
        rows: concat_batches(&schema(), batches.iter().map(|batch| &batch.rows)).expect("one schema"),
        rejects: batches.iter().flat_map(|batch| batch.rejects.clone()).collect(),
        lines: batches.iter().map(|batch| batch.lines).sum(),
        bytes: batches.iter().map(|batch| batch.bytes).sum(),
        counters,
    }
}

fn texts(rows: &RecordBatch, column: usize) -> Vec<Option<String>> {
    use arrow::array::AsArray;
    rows.column(column).as_string_view().iter().map(|text| text.map(str::to_owned)).collect()
}

fn offsets(rows: &RecordBatch) -> Vec<u64> {
    use arrow::array::AsArray;
    rows.column(columns::OFFSET).as_primitive::<arrow::datatypes::UInt64Type>().values().to_vec()
}

proptest! {
    #[test]
    fn every_byte_is_accounted_for(log in log()) {
        let file = file(&log);
        let all = read(&mut open(&file, Mode::Once, BLOCK));
        prop_assert_eq!(all.bytes, log.len() as u64);
        prop_assert_eq!(all.lines, all.rows.num_rows() as u64 + all.rejects.len() as u64 + all.counters.blank_lines);
        let starts = offsets(&all.rows);
        prop_assert!(starts.is_sorted_by(|a, b| a < b));
        for (offset, raw) in starts.iter().zip(texts(&all.rows, columns::RAW)) {
            let begin = usize::try_from(*offset).expect("is small");
            let line = log[begin..].split(|b| *b == b'\n').next().expect("has a line");
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            prop_assert_eq!(raw.expect("is there"), String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same(log in log(), block in 1_usize..500) {
        let file = file(&log);
        let mut whole = read(&mut open(&file, Mode::Once, BLOCK));
        let mut pieces = read(&mut open(&file, Mode::Once, block));
        if log.ends_with(b"\0") {
            // A hole at the very end is a blank last line, or none, as blocks fall.
            whole.lines -= whole.counters.blank_lines;
            pieces.lines -= pieces.counters.blank_lines;
            whole.counters.blank_lines = 0;
            pieces.counters.blank_lines = 0;
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn reading_goes_on_where_it_stopped(log in log(), block in 1_usize..500, stop in 0_usize..20) {
        let file = file(&log);
        let whole = read(&mut open(&file, Mode::Follow, block));
        let mut reader = open(&file, Mode::Follow, block);
        let mut batches = Vec::new();
        while batches.len() < stop && let Some(batch) = reader.next_batch().expect("reads") {
            batches.push(batch);
        }
        let stored = serde_json::to_string(&reader.position()).expect("serialises");
        let position: Position = serde_json::from_str(&stored).expect("deserialises");
        prop_assert_eq!(&position, &reader.position());
        let mut resumed = LogReader::resume(&position, &SourceOptions::default()).expect("is the same file");
        prop_assert_eq!(resumed.newest_ts(), reader.newest_ts());
        prop_assert_eq!(resumed.key(), reader.key());
        prop_assert_eq!(resumed.position(), position);
        while let Some(batch) = resumed.next_batch().expect("reads") {
            batches.push(batch);
        }
        prop_assert_eq!(all(&batches), whole);
    }

    #[test]
    fn a_line_waits_for_its_end(log in log(), at in any::<prop::sample::Index>()) {
        let cut = at.index(log.len() + 1);
        let mut file = file(&log[..cut]);
        let mut reader = open(&file, Mode::Follow, BLOCK);
        let mut batches = Vec::new();
        for rest in [&[][..], &log[cut..]] {
            file.write_all(rest).expect("writes");
            while let Some(batch) = reader.next_batch().expect("reads") {
                batches.push(batch);
            }
        }
        let mut growing = all(&batches);
        let mut whole = read(&mut open(&file, Mode::Follow, BLOCK));
        if log[..cut].ends_with(b"\0") || log.ends_with(b"\0") {
            growing.lines -= growing.counters.blank_lines;
            whole.lines -= whole.counters.blank_lines;
            growing.counters.blank_lines = 0;
            whole.counters.blank_lines = 0;
        }
        prop_assert_eq!(growing, whole);
    }
}

#[test]
fn another_content_is_noticed() {
    let line = |n: u32| format!("192.0.2.1 - - [05/Mar/2024:10:15:00 +0000] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"-\"\n");
    let log: String = (0..100).map(line).collect();
    let mut changed_begin = log.clone();
    changed_begin.replace_range(0..1, "2");
    let mut changed_end = log.clone();
    changed_end.replace_range(log.len() - 3..log.len() - 2, "x");
    let position = |file: &tempfile::NamedTempFile| {
        let mut reader = open(file, Mode::Follow, BLOCK);
        read(&mut reader);
        reader.position()
    };
    for (content, expected) in [
        (changed_begin.as_str(), "it begins differently"),
        (&changed_end, "what was read last has changed"),
        (&log[..log.len() / 2], "it is shorter"),
        ("", "it begins differently"),
    ] {
        let file = file(log.as_bytes());
        let position = position(&file);
        // The same inode with another content.
        std::fs::write(file.path(), content).expect("writes");
        let error = LogReader::resume(&position, &SourceOptions::default()).err().expect("is another content");
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A copy goes on where its original was read. A heading alone does not make a copy.
    let at_second = |content: &[u8]| {
        let (first, second) = (file(content), file(content));
        let moved = Position { path: second.path().to_owned(), ..position(&first) };
        LogReader::resume(&moved, &SourceOptions::default()).map(|reader| (reader.position().offset(), moved.offset()))
    };
    assert!(log.len() > HASHED);
    let (resumed, read) = at_second(log.as_bytes()).expect("is a copy");
    assert_eq!(resumed, read);
    let error = at_second(b"\n\n").expect_err("is another file");
    assert!(error.to_string().contains("another file"), "{error}");
}

#[test]
fn options_that_make_no_sense() {
    let file = file(b"");
    let format = known_format("combined", &SourceOptions::default()).expect("exists");
    let options = SourceOptions { client: vec!["path".to_owned()], ..SourceOptions::default() };
    let error = LogReader::open_with(file.path(), format, &options, Mode::Once, 0, BLOCK).err().expect("no client");
    assert!(error.to_string().contains("`path` cannot identify a client"), "{error}");
    assert!(
        known_format("apache", &SourceOptions::default())
            .expect_err("has another name")
            .to_string()
            .contains("combined")
    );
}

proptest! {
    /// Any batches that were read, read again from any stretch, are the same rows, in a plain file and in an archive.
    #[test]
    fn rows_read_again_are_the_same(bytes in log(), compressed: bool, keep in any::<u64>()) {
        let stored = if compressed { gzip(&bytes) } else { bytes };
        let file = file(&stored);
        let mut reader = open(&file, Mode::Once, 300);
        let (mut stretches, mut expected) = (Vec::new(), Vec::new());
        let mut number = 0;
        while let Ok(Some(batch)) = reader.next_batch() {
            number += 1;
            if batch.rows.num_rows() > 0 && keep >> (number % 64) & 1 == 1 {
                stretches.push(batch.offset..batch.offset + batch.bytes);
                expected.push(batch.rows);
            }
        }
        let reread = reader.reread();
        for reader_is_open in [true, false] {
            let again = reread.rows(&stretches, u64::MAX).expect("the file is there");
            let again: Vec<_> = again.iter().map(|b| concat_batches(&schema(), b).expect("one schema")).collect();
            prop_assert_eq!(&again, &expected, "the reader is open: {}", reader_is_open);
            reader = open(&file, Mode::Once, 300);
        }
        drop(reader);
        let beyond = reread.rows(&stretches, 0).expect("the file is there");
        prop_assert!(!compressed || beyond.iter().all(Vec::is_empty));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).and_then(|()| out.finish()).expect("memory")
}
