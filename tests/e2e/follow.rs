//! `tripline run` while its logs rotate: every line counts once.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;
use tripline_tests::logs::{at, combined, gz};
use tripline_tests::program::{Process, bound};
use tripline_tests::receiver::Receiver;
use tripline_tests::repository;
use tripline_tests::site::{Site, firing, terminate};

const CLIENT: &str = "192.0.2.7";
const LOG: &str = "access.log";

/// A site whose log is written here in steps; what was written is kept, to be scanned as one file.
struct Writer<'a> {
    site: &'a Site,
    receiver: &'a Receiver,
    step: i64,
    written: i64,
    all: String,
}

impl<'a> Writer<'a> {
    fn new(site: &'a Site, receiver: &'a Receiver) -> Self {
        Self { site, receiver, step: 0, written: 0, all: String::new() }
    }

    /// The next lines, all within the hour after nine: in the first step 21, then one more in each.
    fn lines(&mut self) -> String {
        self.step += 1;
        let lines = 20 + self.step;
        self.written += lines;
        let start = 9 * 3600 + self.step * 300;
        let line = |i: i64| combined(at(start + i), CLIENT, &format!("GET /line/{}/{i}", self.step), 200);
        let lines: String = (0..lines).map(line).collect();
        self.all += &lines;
        lines
    }

    fn append(&mut self) {
        let lines = self.lines();
        self.site.append(LOG, lines);
    }

    /// Waits until all that was written to the log so far has been read.
    fn until_read(&self) {
        let name = format!("step-{}", self.step);
        // Between this step and the next.
        self.site.mark(self.receiver, LOG, &name, at(9 * 3600 + self.step * 300 + 40));
    }

    /// Ends the hour; the alert's values must be those of a scan over all lines in one file.
    fn check(self, process: Process) {
        self.site.append(LOG, combined(at(11 * 3600), "192.0.2.250", "GET /", 200));
        let alert = self
            .receiver
            .wait_for("the alert", |messages| firing(messages, "count", CLIENT).first().map(|m| m.alert().clone()));
        terminate(process);
        let whole = self.site.path().join("whole.log");
        fs::write(&whole, &self.all).expect("a log");
        let scanned: Vec<Value> = self.site.scan(&whole);
        assert_eq!(scanned.len(), 1, "{scanned:#?}");
        assert_eq!(alert["values"], scanned[0]["values"]);
        assert_eq!(alert["values"]["requests"], self.written);
        assert_eq!(alert["values"]["paths"], self.written);
    }
}

/// As logrotate does by default: the server goes on writing to the renamed file until it is told to reopen.
#[test]
fn rotation_by_renaming() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let mut writer = Writer::new(&site, &receiver);
    let process = site.run();
    writer.append();
    writer.until_read();
    for rotation in 1..=2 {
        writer.append();
        let mut held = OpenOptions::new().append(true).open(site.logs().join(LOG)).expect("the log");
        fs::rename(site.logs().join(LOG), site.logs().join(format!("{LOG}.{rotation}"))).expect("a rotation");
        held.write_all(writer.lines().as_bytes()).expect("the renamed log");
        writer.append();
        // To the renamed file once more, when the new one is there.
        held.write_all(writer.lines().as_bytes()).expect("the renamed log");
        writer.until_read();
    }
    writer.check(process);
}

/// The renamed file leaves the source's glob, with lines that were not read.
#[test]
fn rotation_out_of_the_source() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.edit_config("path = \"logs\"", "path = \"logs/*.log\"");
    let mut writer = Writer::new(&site, &receiver);
    let process = site.run();
    writer.append();
    writer.until_read();
    writer.append();
    fs::rename(site.logs().join(LOG), site.logs().join("access.log.1")).expect("a rotation");
    writer.append();
    writer.until_read();
    writer.check(process);
}

/// logrotate's `copytruncate`. What stands in the copy was read before, and the copy is not what the source names.
#[test]
fn copytruncate() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.edit_config("path = \"logs\"", &format!("path = \"logs/{LOG}\""));
    let mut writer = Writer::new(&site, &receiver);
    let process = site.run();
    for _ in 0..3 {
        writer.append();
        writer.until_read();
        fs::copy(site.logs().join(LOG), site.logs().join(format!("{LOG}.1"))).expect("a copy");
        File::options().write(true).open(site.logs().join(LOG)).and_then(|file| file.set_len(0)).expect("a truncation");
        writer.append();
    }
    writer.until_read();
    let said = process.said();
    assert!(said.contains("was truncated"), "{said}");
    writer.check(process);
}

/// Before anybody looked, the log has grown again to just the length it had. It must be seen without growing further.
#[test]
fn truncated_and_as_long_as_before() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    // Two generations of one length, each with all that makes its alert. (What is dated before the first one's end is late.)
    for (name, start) in [("old", 9 * 3600), ("new", 10 * 3600)] {
        let marker = combined(at(start), CLIENT, &format!("GET /marker/{name}"), 200);
        fs::write(site.logs().join(LOG), marker + &combined(at(start + 90), CLIENT, "GET /", 200)).expect("the log");
        Site::wait_for_marker(&receiver, name);
    }
    terminate(process);
}

/// The same with the copy in the directory that the source names: the copy's lines were counted already.
#[test]
fn copytruncate_beside() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let mut writer = Writer::new(&site, &receiver);
    let process = site.run();
    writer.append();
    writer.until_read();
    fs::copy(site.logs().join(LOG), site.logs().join(format!("{LOG}.1"))).expect("a copy");
    File::options().write(true).open(site.logs().join(LOG)).and_then(|file| file.set_len(0)).expect("a truncation");
    writer.append();
    writer.until_read();
    writer.check(process);
}

/// What was there before the source was followed for the first time does not count; all that comes later does, also what
/// comes between a stop and a start.
#[test]
fn from_the_end() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.edit_config("path = \"logs\"", "path = \"logs\"\nstart = \"end\"");
    let before: String =
        (0..50).map(|i| combined(at(9 * 3600 + i), CLIENT, &format!("GET /before/{i}"), 200)).collect();
    site.append(LOG, before);
    let mut writer = Writer::new(&site, &receiver);
    let process = site.run();
    process.wait_to_say("from its end");
    // (as long as the log is quiet, too)
    terminate(process);
    writer.append();
    let process = site.run();
    writer.append();
    writer.until_read();
    writer.check(process);
}

/// A log that may not be read is told of, and read from where it was read when it may be.
#[test]
fn permission_that_is_denied_and_later_granted() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let mut writer = Writer::new(&site, &receiver);
    let log = site.logs().join(LOG);
    let may = |mode| fs::set_permissions(&log, fs::Permissions::from_mode(mode)).expect("permissions");
    let run = || {
        let process = Process::start(bound(&repository::program()).args(["run", "-c", "tripline.toml"]), site.path());
        process.wait_to_say("starting");
        process
    };
    writer.append();
    may(0o000);
    let process = run();
    process.wait_to_say("permission denied");
    may(0o644);
    writer.append();
    writer.until_read();
    // What is open stays open.
    may(0o000);
    writer.append();
    writer.until_read();
    terminate(process);
    writer.append();
    let process = run();
    process.wait_to_say("ermission denied");
    may(0o644);
    writer.append();
    writer.until_read();
    writer.check(process);
}

/// Rotated, compressed and removed while nobody looked: the archive holds the rest of the lines. `replace` puts a new, empty
/// log in the place of the old one.
fn compressed_while_stopped(replace: impl FnOnce(&Path)) {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let mut writer = Writer::new(&site, &receiver);
    let process = site.run();
    writer.append();
    writer.until_read();
    terminate(process);
    writer.append();
    let log = site.logs().join(LOG);
    let archive = gz(&fs::read_to_string(&log).expect("the log"));
    fs::write(site.logs().join(format!("{LOG}.1.gz")), archive).expect("an archive");
    replace(&log);
    writer.append();
    let process = site.run();
    writer.until_read();
    writer.check(process);
}

#[test]
fn rotated_and_compressed_while_stopped() {
    compressed_while_stopped(|log| {
        // As long as it is open, no other file gets its inode.
        let _held = File::open(log).expect("the log");
        fs::remove_file(log).expect("the log");
        File::create(log).expect("a log");
    });
}

/// Most file systems give the inode of a removed file to the next one: the new log must not be taken for the old one.
#[test]
fn rotated_and_compressed_while_stopped_and_the_inode_used_again() {
    compressed_while_stopped(|log| {
        let inode = |file: &File| file.metadata().expect("a file's metadata").ino();
        let old = inode(&File::open(log).expect("the log"));
        fs::remove_file(log).expect("the log");
        // Files that take the free inodes before it, or give way to another test that was quicker.
        let mut others = Vec::new();
        while inode(&File::create(log).expect("a log")) != old {
            if others.len() == 1_000 {
                eprintln!("skipped: this file system does not use an inode again");
                return;
            }
            let other = log.with_file_name(format!("../other-{}", others.len()));
            fs::rename(log, &other).expect("a file");
            others.push(other);
        }
    });
}
