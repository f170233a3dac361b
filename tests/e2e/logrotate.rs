//! Debian's logrotate at work on a log that is written to without a pause, while `tripline run` follows it and is killed.
//!
//! A verdict for each line: what stands in the log or in one of its archives afterwards was read exactly once. What
//! logrotate itself destroyed (`copytruncate`: lines between the copy and the truncation) may be missing.
//!
//! Where the source names the log alone (`logs/*.log`), a file that is renamed leaves the source. Then the log is rotated only once the
//! program has read something of it: one that is born and renamed between two looks, or while the program is down, was never
//! there for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tripline_tests::debian;
use tripline_tests::journal::DEADLINE;
use tripline_tests::logs::{at, combined};
use tripline_tests::program::Process;
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, terminate};

const LOG: &str = "access.log";
const ROTATIONS: usize = 8;
/// The rotation during which the program is killed.
const KILLED: usize = 4;
/// Lines that the server writes at least before the next rotation.
const BETWEEN: u64 = 1_500;
/// Lines of one write, as a server that buffers has them.
const AT_ONCE: u64 = 25;
/// Lines of a second, by their times.
const A_SECOND: u64 = 500;

/// How the log is rotated, and what is expected.
struct Plan {
    /// What logrotate's config says of it.
    how: &'static str,
    /// Whether logrotate may destroy lines.
    destroys: bool,
    /// What the source names.
    source: &'static str,
    /// After how many further rotations the killed program is started anew; `None`: it is not killed.
    down_for: Option<usize>,
}

impl Plan {
    /// Everything in the folder is read, archives too, and the program misses a rotation.
    fn folder(how: &'static str, destroys: bool) -> Self {
        Self { how, destroys, source: "logs", down_for: Some(1) }
    }

    /// Renamed files leave the source.
    fn log_alone(how: &'static str, down_for: Option<usize>) -> Self {
        Self { how, destroys: false, source: "logs/*.log", down_for }
    }

    fn leaves(&self) -> bool {
        self.source != "logs"
    }
}

/// The server: it appends, and opens its log anew when it is told to.
struct Server {
    log: PathBuf,
    reopen: PathBuf,
    file: File,
    written: u64,
}

impl Server {
    fn new(site: &Site) -> Self {
        let log = site.logs().join(LOG);
        Self { file: open(&log), log, reopen: site.path().join("reopen"), written: 0 }
    }

    /// Writes some lines; then a millisecond passes, or less if the program ends.
    fn write(&mut self, process: &Process) {
        if self.reopen.exists() {
            self.file = open(&self.log);
            fs::remove_file(&self.reopen).expect("what logrotate left");
        }
        let lines: String =
            (self.written..self.written + AT_ONCE).map(|n| Self::line(n, &format!("line/{n}"))).collect();
        self.file.write_all(lines.as_bytes()).expect("the log");
        self.written += AT_ONCE;
        process.ends_within(Duration::from_millis(1));
    }

    /// Writes on until the program has shown that it read something of this log, and has committed that.
    fn write_until_read(&mut self, process: &Process, receiver: &Receiver) {
        let marker = format!("/marker/{}", self.written);
        self.file.write_all(Self::line(self.written, &marker[1..]).as_bytes()).expect("the log");
        let is_told = |messages: &[Message]| messages.iter().any(|m| m.alert()["entity"]["path"] == marker.as_str());
        let started = Instant::now();
        while !is_told(&receiver.messages()) {
            self.write(process);
            process.ends_within(Duration::from_millis(10)); // so that the log does not become large
            assert!(started.elapsed() < DEADLINE, "{marker} is not told:\n{}", process.said());
        }
    }

    fn line(n: u64, path: &str) -> String {
        let second = i64::try_from(n / A_SECOND).expect("a small number");
        combined(at(9 * 3600 + second), "192.0.2.7", &format!("GET /{path}"), 200)
    }
}

fn open(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).expect("the log")
}

/// Rotates again and again while the source is followed.
fn rotate(plan: &Plan) {
    let Plan { how, destroys, source, down_for } = *plan;
    let Some(logrotate) = debian::program("logrotate", "/usr/sbin/logrotate") else { return };
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.edit_config("path = \"logs\"", &format!("path = \"{source}\""));
    site.edit_config("[rules]", "[history]\ndir = \"history\"\nkeep = \"3000d\"\n\n[rules]");
    let folder = site.path().display();
    // As Debian's nginx has it, but for the log's size, and that the server's answer is waited for.
    let config = format!(
        "{folder}/logs/{LOG} {{\n{how}\nrotate 100\nmissingok\npostrotate\ntouch {folder}/reopen\n\
         while test -e {folder}/reopen; do sleep 0.01; done\nendscript\n}}\n"
    );
    site.write("logrotate.conf", &config);
    fs::set_permissions(site.path().join("logrotate.conf"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("its own file");

    let mut process = site.run();
    let mut server = Server::new(&site);
    for rotation in 1..=ROTATIONS {
        let begin = server.written;
        while server.written < begin + BETWEEN {
            server.write(&process);
        }
        if plan.leaves() {
            server.write_until_read(&process, &receiver);
        }
        let mut command = std::process::Command::new(&logrotate);
        command.args(["--force", "--state"]).arg(site.path().join("logrotate.state"));
        let rotating = Process::start(command.arg(site.path().join("logrotate.conf")), site.path());
        if rotation == KILLED && down_for.is_some() {
            process.signal("KILL");
        }
        let started = Instant::now();
        while !rotating.ends_within(Duration::ZERO) {
            server.write(&process);
            assert!(started.elapsed() < DEADLINE, "logrotate does not end:\n{}", rotating.said());
        }
        rotating.end().with_code(0);
        if down_for.is_some_and(|more| rotation == KILLED + more) {
            process = site.run();
        }
    }
    // A first marker may be met by a look that had passed the archives before.
    for (n, name) in ["first", "second"].into_iter().enumerate() {
        let hour = 10 + i64::try_from(n).expect("a small number");
        site.mark(&receiver, LOG, name, at(hour * 3600));
    }
    terminate(process);

    let (found, left) = (found(&site), left(&site.logs()));
    let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(5).collect();
    assert!(doubled.is_empty(), "{how}: read more than once: {doubled:?}");
    let lost: Vec<_> = left.iter().filter(|line| !found.contains_key(line)).collect();
    assert!(
        lost.is_empty(),
        "{how}: {} lines were not read: {:?} ...",
        lost.len(),
        lost.iter().take(5).collect::<Vec<_>>()
    );
    let excused = (0..server.written).filter(|line| !found.contains_key(line)).count();
    let how = how.replace('\n', ", ");
    eprintln!(
        "logrotate with {how}, {source}: {} lines written, {} read, {excused} excused",
        server.written,
        found.len()
    );
    assert!(destroys || excused == 0, "{how}: {excused} lines are missing");
    assert!(server.written >= BETWEEN * ROTATIONS as u64 && found.keys().all(|line| *line < server.written));
}

/// How often each line was read.
fn found(site: &Site) -> BTreeMap<u64, u64> {
    let sql = "SELECT path FROM requests WHERE path LIKE '/line/%'";
    let output = site.start(&["query", sql, "--format", "json", "--logs", "history"]).end().with_code(0);
    let mut found = BTreeMap::new();
    for row in output.json() {
        *found.entry(number(row["path"].as_str().expect("a path"))).or_default() += 1;
    }
    found
}

fn number(path: &str) -> u64 {
    path.strip_prefix("/line/").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("mangled: {path}"))
}

/// The lines that stand in any of the files.
fn left(folder: &Path) -> BTreeSet<u64> {
    let mut left = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the logs") {
        let path = entry.expect("a log").path();
        let bytes = fs::read(&path).expect("a log");
        let mut text = String::new();
        if path.extension().is_some_and(|ending| ending == "gz") {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("an archive");
        } else {
            text = String::from_utf8(bytes).expect("text");
        }
        let paths = text.lines().filter_map(|line| line.split(' ').find(|word| word.starts_with("/line/")));
        left.extend(paths.map(number));
    }
    left
}

/// Debian's default.
#[test]
fn create_and_compress_with_a_delay() {
    rotate(&Plan::folder("create\ncompress\ndelaycompress", false));
}

#[test]
fn create_and_compress_at_once() {
    rotate(&Plan::folder("create\ncompress", false));
}

#[test]
fn copytruncate_and_compress_with_a_delay() {
    rotate(&Plan::folder("copytruncate\ncompress\ndelaycompress", true));
}

#[test]
fn copytruncate_and_compress_at_once() {
    rotate(&Plan::folder("copytruncate\ncompress", true));
}

/// The program is killed while the log is renamed, and started when that is done: what it had not read stands in a file that
/// the source does not name.
#[test]
fn what_leaves_the_source_is_read_to_its_end() {
    rotate(&Plan::log_alone("create\ncompress\ndelaycompress", Some(0)));
}

/// What is renamed is packed and deleted at once.
#[test]
fn what_leaves_the_source_and_is_deleted_is_read_to_its_end() {
    rotate(&Plan::log_alone("create\ncompress", None));
}
