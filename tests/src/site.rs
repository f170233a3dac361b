//! A folder as an operator of `tripline run` has it: `tripline.toml`, logs, rules, a secret and a state directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

use crate::logs::combined;
use crate::program::{Output, Process};
use crate::receiver::{Message, Receiver, SECRET};
use crate::repository;

/// A rule that counts what each client did in an hour: lines lost or doubled show in its values, if each has a path of
/// its own.
const COUNT: &str = "/*
title = \"Every line counts\"
severity = \"low\"
entity = [\"client\"]
*/
SELECT window_start, window_end, client, count(*) AS requests, count(DISTINCT path) AS paths, sum(bytes_out) AS bytes
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE path NOT LIKE '/marker/%'
GROUP BY window_start, window_end, client
";

/// A rule that finds a marker within a second of event time. Its alert shows that what stood before it in its file was
/// read, and is committed.
const MARKER: &str = "/*
title = \"A marker\"
severity = \"info\"
entity = [\"path\"]
*/
SELECT window_start, window_end, path, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 second')
WHERE path LIKE '/marker/%'
GROUP BY window_start, window_end, path
";

/// The folder. It is removed when this is dropped.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// With the config of the README: a directory of logs, the shipped rules, one destination. Rules of its own: `marker`.
    pub fn new(receiver: &Receiver) -> Self {
        let site = Self { folder: TempDir::new().expect("a folder") };
        fs::create_dir(site.logs()).expect("a folder");
        site.write("soc.secret", SECRET);
        site.write("rules/marker/rule.sql", MARKER);
        site.write(
            "tripline.toml",
            "[state]\ndir = \"state\"\n\n[rules]\ndirs = [\"rules\"]\n\n[[source]]\npath = \"logs\"\n\n",
        );
        site.add_destination("soc", &receiver.url());
        site
    }

    /// The same without the shipped rules, and with a rule `count` that returns for each hour and client: `requests`, `paths`
    /// (different ones) and `bytes`. Lines are late after a second.
    pub fn counting(receiver: &Receiver) -> Self {
        let site = Self::new(receiver);
        site.write("rules/count/rule.sql", COUNT);
        site.edit_config("path = \"logs\"", "path = \"logs\"\nlateness = \"1s\"");
        site.edit_config("dirs = [\"rules\"]", "dirs = [\"rules\"]\ndisable = [\"*/*\"]");
        site
    }

    /// A destination more.
    pub fn add_destination(&self, name: &str, url: &str) {
        let more = format!(
            "[[destination]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"soc.secret\"\nallow_http = true\n\n"
        );
        self.write("tripline.toml", &(fs::read_to_string(self.config()).expect("the config") + &more));
    }

    /// Replaces a part of the config.
    pub fn edit_config(&self, old: &str, new: &str) {
        let config = fs::read_to_string(self.config()).expect("the config");
        assert!(config.contains(old), "the config has no {old:?}:\n{config}");
        self.write("tripline.toml", &config.replace(old, new));
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("a file")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The config.
    pub fn config(&self) -> PathBuf {
        self.path().join("tripline.toml")
    }

    /// The folder with the logs.
    pub fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// Appends to a log, as a server does.
    pub fn append(&self, log: &str, text: impl AsRef<[u8]>) {
        let file = OpenOptions::new().create(true).append(true).open(self.logs().join(log));
        file.and_then(|mut file| file.write_all(text.as_ref())).expect("a log");
    }

    /// Starts `tripline run` with this site's config, and waits until it follows the logs.
    pub fn run(&self) -> Process {
        let process = self.start(&["run", "-c", "tripline.toml"]);
        process.wait_to_say("starting");
        process
    }

    /// The same with a failpoint, such as `after-commit:kill:2`; `None`: without.
    pub fn run_with_failpoint(&self, failpoint: Option<&str>) -> Process {
        let mut command = Command::new(repository::program());
        command.args(["run", "-c", "tripline.toml"]).envs(failpoint.map(|f| ("TRIPLINE_FAILPOINT", f)));
        let process = Process::start(&mut command, self.path());
        process.wait_to_say("starting");
        process
    }

    /// Starts `tripline` in this folder.
    pub fn start(&self, args: &[&str]) -> Process {
        Process::start(Command::new(repository::program()).args(args), self.path())
    }

    /// The lines of `tripline scan --format json` over `path` with this site's config: one for each finding.
    pub fn scan(&self, path: &Path) -> Vec<Value> {
        let path = path.to_string_lossy();
        let output = self.start(&["scan", "-c", "tripline.toml", "--format", "json", &path]).end();
        output.with_code(0).json()
    }

    /// Appends a marker to a log, and a line 90 s later so that event time passes the lateness; waits for its alert. Then all
    /// that stands before in this log was read, and what came of it is committed.
    pub fn mark(&self, receiver: &Receiver, log: &str, name: &str, ts: Timestamp) {
        self.append(log, combined(ts, "192.0.2.250", &format!("GET /marker/{name}"), 200));
        self.append(log, combined(ts + SignedDuration::from_secs(90), "192.0.2.250", "GET /", 200));
        Self::wait_for_marker(receiver, name);
    }

    /// Waits for the alert of a request for `/marker/NAME`.
    pub fn wait_for_marker(receiver: &Receiver, name: &str) {
        let path = format!("/marker/{name}");
        receiver.wait_for(&path, |messages| {
            messages.iter().any(|message| message.alert()["entity"]["path"] == path.as_str()).then_some(())
        });
    }
}

/// Ends `tripline run` as an operator does: it must drain and succeed.
pub fn terminate(process: Process) -> Output {
    process.signal("TERM");
    process.end().with_code(0)
}

/// The messages that tell of a new alert of `rule` about `client`.
pub fn firing<'m>(messages: &'m [Message], rule: &str, client: &str) -> Vec<&'m Message> {
    let about = |m: &&Message| m.alert()["rule"] == rule && m.alert()["entity"]["client"] == client;
    messages.iter().filter(|m| m.kind() == "alert.firing").filter(about).collect()
}
