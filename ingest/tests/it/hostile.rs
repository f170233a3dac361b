//! Files that are broken, odd or meant to break something: each is read as far as it can be, and says what is wrong.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use tripline_ingest::table::columns;
use tripline_ingest::{
    Batch, Compression, LogReader, Mode, ProbeError, ReadError, RejectReason, SourceOptions, discover, probe,
};

use crate::rows::{drain, read, text};

/// Bytes of the longest line, as documented.
const MAX_LINE: usize = 1 << 20;

pub fn line(n: usize) -> String {
    let (minute, second) = (n / 60 % 60, n % 60);
    format!(
        "192.0.2.7 - - [05/Mar/2024:10:{minute:02}:{second:02} +0000] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"agent\"\n"
    )
}

pub fn log(lines: std::ops::Range<usize>) -> String {
    lines.map(line).collect()
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(text).expect("compresses");
    encoder.finish().expect("compresses")
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 0).expect("compresses")
}

fn write(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("writes");
    path
}

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// The paths of all rows.
fn paths(batches: &[Batch]) -> Vec<String> {
    let paths = |batch: &Batch| {
        let path = |row| text(&batch.rows, columns::PATH, row).unwrap_or("NULL").to_owned();
        (0..batch.rows.num_rows()).map(path).collect::<Vec<_>>()
    };
    batches.iter().flat_map(paths).collect()
}

fn numbers(lines: std::ops::Range<usize>) -> Vec<String> {
    lines.map(|n| format!("/{n}")).collect()
}

#[track_caller]
fn check_refused(path: &Path, expected: &[&str]) -> ProbeError {
    let error = probe(path, &SourceOptions::default()).expect_err("is no log");
    let message = error.to_string();
    for part in expected.iter().chain([&path.to_string_lossy().as_ref()]) {
        assert!(message.contains(part), "{message}");
    }
    error
}

#[test]
fn files_that_are_no_logs() {
    let dir = directory();
    check_refused(&dir.path().join("missing.log"), &["there is no such file"]);
    check_refused(dir.path(), &["cannot be read"]);
    for empty in ["", "\n\r\n\n", "\u{feff}", "\0\0\0"] {
        let error = check_refused(&write(&dir, "empty.log", empty), &["is empty"]);
        assert!(matches!(error, ProbeError::Empty { .. }));
    }
    let binary: Vec<u8> = (0..9000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let error = check_refused(&write(&dir, "core", binary), &["is binary"]);
    assert!(matches!(error, ProbeError::Binary { .. }));
    let unknown = write(&dir, "app.log", "INFO\x1b[31m started\nINFO ready\n");
    check_refused(&unknown, &["combined parses 0 of 2 lines", "INFO\\u{1b}[31m started", "set `format`"]);
    let cut: Vec<u8> = gzip(log(0..10).as_bytes())[..15].to_vec();
    check_refused(&write(&dir, "cut.gz", cut), &["breaks off before its first line"]);
    let options = SourceOptions { format: Some("combined".to_owned()), ..SourceOptions::default() };
    let error = probe(&unknown, &options).expect_err("has another format");
    assert!(error.to_string().contains("not in the configured format: combined parses 0 of 2 lines"), "{error}");
    let options = SourceOptions { format: Some("clf".to_owned()), ..SourceOptions::default() };
    let error = probe(&unknown, &options).expect_err("is no format");
    assert!(error.to_string().contains("no log format `clf`; known are combined, main"), "{error}");
}

#[test]
fn what_a_path_names() {
    let dir = directory();
    fs::create_dir_all(dir.path().join("a/b")).expect("creates");
    for name in ["a/b/2.log", "a/1.log", "a/.hidden", "[x].log", "3.txt"] {
        write(&dir, name, "");
    }
    let check = |pattern: &str, expected: &[&str]| {
        let found = discover(&format!("{}/{pattern}", dir.path().display()));
        let expected: Vec<PathBuf> = expected.iter().map(|name| dir.path().join(name)).collect();
        assert_eq!(found.files, expected, "{pattern}");
        found.problems
    };
    assert_eq!(check("", &["3.txt", "[x].log", "a/.hidden", "a/1.log", "a/b/2.log"]), []);
    assert_eq!(check("a/1.log", &["a/1.log"]), []);
    assert_eq!(check("[x].log", &["[x].log"]), []);
    assert_eq!(check("a/*.log", &["a/1.log"]), []);
    assert_eq!(check("**/*.log", &["[x].log", "a/1.log", "a/b/2.log"]), []);
    assert_eq!(check("a/{1,2}.log", &["a/1.log"]), []);
    let problem = |pattern| check(pattern, &[])[0].to_string();
    assert!(problem("*.gz").contains("matches no file"));
    assert!(problem("missing").contains("there is no such file or directory; check the spelling"));
    assert!(problem("missing/*.log").contains("there is no such file or directory"));
    assert!(problem("{a").contains("correct the pattern"));
    std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("a/b/loop")).expect("links");
    let problems = check("a", &["a/.hidden", "a/1.log", "a/b/2.log"]);
    assert!(problems[0].to_string().contains("leads back to its own directory"), "{problems:?}");
}

#[test]
fn an_unreadable_directory_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = directory();
    write(&dir, "1.log", line(1));
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("creates");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("closes");
    let may_read_all = fs::read_dir(&closed).is_ok();
    let found = discover(&dir.path().to_string_lossy());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("opens");
    assert_eq!(found.files, [dir.path().join("1.log")]);
    if may_read_all {
        println!("skipped: this user may read everything");
        return;
    }
    assert!(found.problems[0].to_string().contains("closed: permission denied; make it readable"), "{found:?}");
}

#[test]
fn archives_of_several_parts() {
    let dir = directory();
    let (first, second) = (log(0..700), log(700..1000));
    for (name, compression, content) in [
        ("1.log", Compression::None, [first.clone().into_bytes(), second.clone().into_bytes()]),
        ("2.gz", Compression::Gzip, [gzip(first.as_bytes()), gzip(second.as_bytes())]),
        ("3", Compression::Zstd, [zstd(first.as_bytes()), zstd(second.as_bytes())]),
    ] {
        let path = write(&dir, name, content.concat());
        let probe = probe(&path, &SourceOptions::default()).expect("is known");
        assert_eq!((probe.compression, probe.format.as_str()), (compression, "combined"));
        assert_eq!(probe.size, fs::metadata(&path).expect("is there").len());
        assert_eq!(probe.first_ts, 1_709_632_800_000_000);
        let mut reader = LogReader::open(&probe, &SourceOptions::default(), Mode::Once).expect("opens");
        let (batches, error) = drain(&mut reader);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(paths(&batches), numbers(0..1000), "{name}");
        assert_eq!(reader.consumed(), probe.size);
    }
}

#[test]
fn a_broken_archive_gives_what_is_whole() {
    let dir = directory();
    let whole = log(0..5000);
    for (name, archive) in [("cut.gz", gzip(whole.as_bytes())), ("cut.zst", zstd(whole.as_bytes()))] {
        let path = write(&dir, name, &archive[..archive.len() - archive.len() / 4]);
        let probe = probe(&path, &SourceOptions::default()).expect("is known");
        let mut reader = LogReader::open(&probe, &SourceOptions::default(), Mode::Once).expect("opens");
        let (batches, error) = drain(&mut reader);
        let found = paths(&batches);
        assert!(found.len() > 100, "{name}: {}", found.len());
        assert_eq!(found, numbers(0..found.len()));
        let rejects: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).map(|reject| reject.reason).collect();
        assert!(rejects.iter().all(|reason| *reason == RejectReason::CutShort) && rejects.len() <= 1, "{rejects:?}");
        let error = error.expect("is told");
        assert!(matches!(error, ReadError::Truncated { .. }), "{error:?}");
        assert!(error.to_string().contains("breaks off after"), "{error}");
        assert!(matches!(reader.next_batch(), Ok(None)), "it is told once");
    }
    let mut damaged = gzip(whole.as_bytes());
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xA5);
    let (batches, error) = read(&write(&dir, "damaged.gz", damaged), &SourceOptions::default());
    assert!(matches!(error, Some(ReadError::Damaged { .. } | ReadError::Truncated { .. })), "{error:?}");
    let found = paths(&batches);
    assert_eq!(found[..100], numbers(0..100));
}

#[test]
fn a_very_long_line_costs_only_itself() {
    let dir = directory();
    let agent = "x".repeat(50_000_000);
    let long = line(1).replace("agent", &agent);
    let exact = line(2).replace("agent", &"y".repeat(MAX_LINE - line(2).len() + "agent".len() + 1));
    assert_eq!(exact.len(), MAX_LINE + 1);
    let path = write(&dir, "long.log", [&line(0), &long, &exact, &line(3)].map(String::as_str).concat());
    let (batches, error) = read(&path, &SourceOptions::default());
    assert!(error.is_none());
    assert_eq!(paths(&batches), ["/0", "/2", "/3"]);
    let rejects: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).collect();
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0].reason, RejectReason::UnclosedQuote);
    assert_eq!(rejects[0].line.len(), 512);
    let cut: u64 = batches.iter().map(|batch| batch.counters.cut_bytes).sum();
    assert_eq!(cut, (long.len() - MAX_LINE) as u64);
    assert_eq!(batches.iter().map(|batch| batch.counters.long_lines).sum::<u64>(), 1);
    assert_eq!(batches.iter().map(|batch| batch.lines).sum::<u64>(), 4);
}

#[test]
fn odd_bytes_are_counted_and_cost_nothing_else() {
    let dir = directory();
    let mut log = b"\xEF\xBB\xBF".to_vec();
    log.extend(line(0).replace('\n', "\r\n").bytes());
    log.extend(line(1).bytes().map(|b| if b == b'g' { 0xFF } else { b }));
    log.extend(b"\n\0\0\0");
    log.extend(line(2).bytes());
    log.extend(line(3).trim_end().bytes());
    let (batches, _) = read(&write(&dir, "odd.log", &log), &SourceOptions::default());
    let [batch, last] = batches.as_slice() else { panic!("whole lines, then the one without an end") };
    assert_eq!(paths(&batches), ["/0", "/1", "/2", "/3"]);
    assert_eq!(text(&batch.rows, columns::USER_AGENT, 0), Some("agent"));
    assert_eq!(text(&batch.rows, columns::USER_AGENT, 1), Some("a\u{fffd}ent"));
    let counters = batch.counters;
    assert_eq!((counters.byte_order_marks, counters.invalid_utf8_lines), (1, 1));
    assert_eq!((counters.blank_lines, counters.nul_bytes), (1, 3));
    assert_eq!((batch.lines, last.lines), (4, 1));
    assert_eq!(batch.bytes + last.bytes, log.len() as u64);
}

#[test]
fn a_clock_that_runs_backwards_is_no_error() {
    let dir = directory();
    let log: String = (0..100).rev().map(line).collect();
    let path = write(&dir, "back.log", log);
    let probe = probe(&path, &SourceOptions::default()).expect("is known");
    let mut reader = LogReader::open(&probe, &SourceOptions::default(), Mode::Once).expect("opens");
    let (batches, error) = drain(&mut reader);
    assert!(error.is_none());
    assert_eq!(batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(), 100);
    assert_eq!(reader.newest_ts(), Some(probe.first_ts));
}

#[test]
fn short_lines_do_not_make_large_batches() {
    let dir = directory();
    let path = write(&dir, "short.log", line(0) + &"x\n".repeat(400_000));
    let options = SourceOptions { format: Some("combined".to_owned()), ..SourceOptions::default() };
    let (batches, _) = read(&path, &options);
    assert!(batches.iter().all(|batch| batch.lines <= 16_384));
    assert_eq!(batches.iter().map(|batch| batch.rejects.len()).sum::<usize>(), 400_000);
}

#[test]
fn an_archive_that_unpacks_without_end_is_set_aside() {
    let dir = directory();
    let begin = log(0..10);
    for (name, bomb) in [("bomb.zst", zstd(&vec![b'a'; 512 << 20])), ("bomb.gz", gzip(&vec![b'a'; 512 << 20]))] {
        let begin = if name.ends_with("gz") { gzip(begin.as_bytes()) } else { zstd(begin.as_bytes()) };
        let (batches, error) = read(&write(&dir, name, [begin, bomb].concat()), &SourceOptions::default());
        assert_eq!(paths(&batches), numbers(0..10), "{name}");
        assert!(matches!(error, Some(ReadError::Bomb { .. })), "{error:?}");
        assert!(error.is_some_and(|error| error.to_string().contains("more than 500 times its size")));
        let bytes: u64 = batches.iter().map(|batch| batch.bytes).sum();
        assert!(bytes < 300 << 20, "{bytes}");
    }
}
