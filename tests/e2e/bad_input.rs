//! Bad input in log files: each file or line that cannot be used is told of, with what to do, and the rest goes on.

use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tripline_tests::logs::{at, combined, gz};
use tripline_tests::program::Output;
use tripline_tests::tripline;

/// A folder with a good log, `good.log`, of ten requests.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().expect("a folder"));
        folder.write("good.log", requests(0..10));
        folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// Scans the good log and `bad`, both by name. The good one is read, whatever is wrong with the other.
    fn scan_with(&self, bad: &Path) -> Output {
        let output = tripline!("scan", self.file("good.log"), bad);
        output.says(&["10 requests"]);
        output
    }
}

fn requests(seconds: std::ops::Range<i64>) -> String {
    seconds.map(|i| combined(at(i), "192.0.2.1", &format!("GET /v1/items/{i}"), 200)).collect()
}

#[test]
fn a_path_that_is_not_there() {
    let output = Folder::new().scan_with(Path::new("/nonexistent/access.log")).with_code(2);
    output.says(&["/nonexistent/access.log: there is no such file or directory; check the spelling"]);
    let output = tripline!("scan", "/nonexistent/access.log").with_code(2);
    output.says(&["/nonexistent/access.log", "check the spelling", "error:"]);
}

/// Met in a directory, it is passed over with a warning.
#[test]
fn a_link_that_leads_nowhere() {
    let folder = Folder::new();
    symlink("/nonexistent/access.log", folder.file("current.log")).expect("a link");
    let output = tripline!("scan", folder.0.path()).with_code(0);
    output.says(&["current.log", "there is no such file", "check", "10 requests"]);
}

#[test]
fn an_unreadable_directory() {
    let folder = Folder::new();
    let closed = folder.file("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("permissions");
    let is_bound = fs::read_dir(&closed).is_err();
    let output = folder.scan_with(&closed);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("permissions");
    if is_bound {
        output.with_code(2).says(&["closed: permission denied; make it readable for this user"]);
    } else {
        eprintln!("skipped: permissions do not bind this user");
    }
}

#[test]
fn an_empty_file() {
    let folder = Folder::new();
    let empty = folder.write("empty.log", "");
    let output = folder.scan_with(&empty);
    output.says(&["empty.log: is empty; nothing to do until something is logged"]);
    // In a directory that is an everyday thing.
    tripline!("scan", folder.0.path()).with_code(0).says(&["empty.log: is empty", "10 requests"]);
}

#[test]
fn a_binary_file() {
    let folder = Folder::new();
    let bytes: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let binary = folder.write("core", bytes);
    folder.scan_with(&binary).with_code(2).says(&["core: is binary", "leave it out"]);
}

#[test]
fn a_file_of_unknown_format() {
    let folder = Folder::new();
    let other = folder.write("app.log", "INFO started in 3 ms\nWARN 7 workers are idle\n".repeat(50));
    let output = folder.scan_with(&other).with_code(2);
    output.says(&[
        "app.log: its format is unknown",
        "combined parses 0 of 100 lines",
        "INFO started in 3 ms",
        "set `format`",
    ]);
}

#[test]
fn a_truncated_archive() {
    let folder = Folder::new();
    let whole = gz(&requests(0..5_000));
    let cut = folder.write("old.log.gz", &whole[..whole.len() / 2]);
    let output = tripline!("scan", folder.file("good.log"), &cut).with_code(2);
    output.says(&["old.log.gz: the archive breaks off after", "copy the file again"]);
    // What stands before the break was read.
    let output =
        tripline!("query", "SELECT count(*) AS n FROM requests", "--format", "json", "--logs", &cut).with_code(2);
    let rows = output.json()[0]["n"].as_u64().unwrap_or_default();
    assert!(rows > 1_000, "{rows}");
    output.says(&["old.log.gz: the archive breaks off"]);
    // So short that not a line is whole.
    let stump = folder.write("stump.log.gz", &whole[..20]);
    folder.scan_with(&stump).with_code(2).says(&[
        "stump.log.gz",
        "breaks off before its first line",
        "copy the file again",
    ]);
}

/// The line is cut, counted, and does not swallow the next one.
#[test]
fn a_line_of_50_megabytes() {
    let folder = Folder::new();
    let path = folder.file("long.log");
    let mut file = BufWriter::new(fs::File::create(&path).expect("a file"));
    let (before, after) = combined(at(1), "192.0.2.1", "GET /v1/long/", 200)
        .split_once(" HTTP")
        .map(|(b, a)| (b.to_owned(), a.to_owned()))
        .expect("a request line");
    let mut write = |bytes: &[u8]| file.write_all(bytes).expect("a file");
    write(requests(0..3).as_bytes());
    write(before.as_bytes());
    let megabyte = vec![b'a'; 1 << 20];
    for _ in 0..50 {
        write(&megabyte);
    }
    write(format!(" HTTP{after}").as_bytes());
    write(requests(2..5).as_bytes());
    drop(file);
    let output = tripline!("scan", &path).with_code(0);
    output.says(&[
        "7: 6 requests, 1 rejected",
        "a quoted field has no closing quote",
        "1 lines were longer than 1 MiB",
    ]);
}

#[test]
fn invalid_utf8() {
    let folder = Folder::new();
    let line = combined(at(1), "192.0.2.1", "GET /v1/items/caf?", 200).replace('?', "\u{0}");
    let bytes: Vec<u8> = line.bytes().map(|b| if b == 0 { 0xE9 } else { b }).collect();
    let log = folder.write("latin.log", [requests(0..3).as_bytes(), &bytes, requests(2..4).as_bytes()].concat());
    let output = tripline!("scan", &log).with_code(0);
    output.says(&["6: 6 requests, 0 rejected", "1 lines were not UTF-8; the invalid bytes are shown as U+FFFD"]);
    let output = tripline!("parse", &log).with_code(0);
    assert_eq!(output.json()[3]["path"], "/v1/items/caf\u{fffd}");
}

/// Lines from before: late ones are counted, and `doctor` says what that means.
#[test]
fn a_clock_that_runs_backwards() {
    let folder = Folder::new();
    let log = folder.write("access.log", requests(90_000..90_010) + &requests(0..10) + &requests(90_010..90_020));
    let output = tripline!("scan", &log).with_code(0);
    output.says(&[
        "30: 30 requests, 0 rejected",
        "late rows 10 (came after a window of theirs had closed; --late FILE keeps them)",
    ]);
    let output = tripline!("doctor", &log).with_code(0);
    output.shows(&["older than a line before them, by up to 90009 s", "lateness"]);
}
