//! `tripline run` over the writer's folder: started, stopped, killed; and what it has to show in the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tripline_tests::journal::DEADLINE;
use tripline_tests::logs::{at, combined};
use tripline_tests::program::{Process, bound};
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, terminate};

use super::ledger::Name;
use super::stream::stamp;

/// What each stream wrote in ten minutes: a line lost or doubled shows in the values.
const LINES: &str = "/*
title = \"Every line counts\"
severity = \"low\"
entity = [\"client\", \"slice\"]
quiet = \"0s\"
*/
SELECT window_start, window_end, client, CAST(window_start AS VARCHAR) AS slice, count(*) AS requests,
       sum(CAST(split_part(path, '/', 4) AS BIGINT)) AS numbers
FROM tumble(requests, ts, INTERVAL '10 minutes')
WHERE path LIKE '/t/%'
GROUP BY window_start, window_end, client
";

/// The same where there are a few lines: told as soon as they are there, while all else goes on.
const SOME: &str = "HAVING count(*) >= 3\n";

/// A marker, which is two lines, is told when it is read. Its file is the last to be read, for its lines are a day ahead.
const MARKER: &str = "/*
title = \"A marker\"
severity = \"info\"
entity = [\"path\"]
*/
SELECT window_start, window_end, path, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 second')
WHERE path LIKE '/marker/%'
GROUP BY window_start, window_end, path
HAVING count(*) >= 2
";

const MARKERS: &str = "markers.log";
const DAY: i64 = 86_400;

/// See above.
pub struct Scene {
    pub site: Site,
    receiver: Receiver,
    markers: i64,
    salt: u64,
}

impl Scene {
    /// A site for the lines of seed `salt`. `all_in_sight`: the source names rotated files, too.
    pub fn new(salt: u64, all_in_sight: bool) -> Self {
        let receiver = Receiver::answering(200);
        let site = Site::counting(&receiver);
        let lateness = if all_in_sight { "path = \"logs\"" } else { "path = \"logs/*.log\"" };
        site.edit_config("path = \"logs\"", lateness);
        // Nothing is late, so that rules see all that the history has; only the end closes windows.
        site.edit_config("lateness = \"1s\"", "lateness = \"30d\"");
        site.edit_config(
            "[rules]",
            "[alerts]\nstorm = 100000\n\n[history]\ndir = \"history\"\nkeep = \"3000d\"\n\n[rules]",
        );
        site.write("rules/count/rule.sql", LINES);
        site.write("rules/some/rule.sql", &format!("{LINES}{SOME}"));
        site.write("rules/marker/rule.sql", MARKER);
        Self { site, receiver, markers: 0, salt }
    }

    /// Starts the program, without root's right to read everything.
    pub fn start(&self, failpoint: Option<&str>) -> Process {
        let process = Process::start(
            bound(&tripline_tests::repository::program())
                .args(["run", "-c", "tripline.toml"])
                .env("RUST_LOG", "info")
                .envs(failpoint.map(|f| ("TRIPLINE_FAILPOINT", f))),
            self.site.path(),
        );
        process.wait_to_say_or_end("starting");
        process
    }

    /// Waits until all that can be read has been read and is committed. False: the program ended before.
    ///
    /// A first marker may be seen by a look that had passed the other files before their last lines, and between two
    /// looks at the whole folder: what is new there may wait until the second, or the third.
    pub fn sync(&mut self, process: &Process) -> bool {
        (0..3).all(|_| self.mark(process, ""))
    }

    /// The end of event time: every window closes. Stops the program.
    pub fn end(&mut self, process: Process) {
        assert!(
            self.mark(&process, &combined(at(60 * DAY), "192.0.2.250", "GET /", 200)),
            "ended:\n{}",
            process.said()
        );
        terminate(process);
    }

    fn mark(&mut self, process: &Process, after: &str) -> bool {
        self.markers += 1;
        let path = format!("/marker/{}", self.markers);
        let marker = combined(at(DAY + self.markers), "192.0.2.250", &format!("GET {path}"), 200);
        self.site.append(MARKERS, marker.repeat(2) + after);
        let started = Instant::now();
        while !self.has_marker(&path) {
            if process.ends_within(Duration::from_millis(10)) {
                return false;
            }
            assert!(started.elapsed() < DEADLINE, "{path} was never read:\n{}", process.said());
        }
        true
    }

    fn has_marker(&self, path: &str) -> bool {
        self.receiver.messages().iter().rev().any(|message| message.alert()["entity"]["path"] == path)
    }

    /// How often each line stands in the history.
    pub fn found(&self) -> BTreeMap<Name, u64> {
        let sql = "SELECT path FROM requests WHERE path LIKE '/t/%'";
        let output = self.site.start(&["query", sql, "--format", "json", "--logs", "history"]).end().with_code(0);
        let mut found = BTreeMap::new();
        for row in output.json() {
            let path = row["path"].as_str().expect("a path");
            let name = name(path, self.salt).unwrap_or_else(|| panic!("a line came mangled: {path}"));
            *found.entry(name).or_default() += 1;
        }
        found
    }

    /// What was sent, beside what a scan of the history finds: the same alerts with the same numbers, each under one id.
    pub fn check_alerts(&self, found: &BTreeMap<Name, u64>) -> Result<usize, String> {
        let messages = self.receiver.messages();
        let mut bodies: BTreeMap<&str, &Value> = BTreeMap::new();
        for message in &messages {
            if bodies.insert(&message.id, &message.body).is_some_and(|body| *body != message.body) {
                return Err(format!("webhook-id {} came with two bodies", message.id));
            }
        }
        let mut told: BTreeMap<String, Value> = BTreeMap::new();
        for message in messages.iter().filter(|m| is_of_lines(m.alert()) && m.kind() == "alert.resolved") {
            let (id, values) = essence(message.alert());
            told.insert(id, values);
        }
        let fired = ids(&messages, "alert.firing");
        if fired != ids(&messages, "alert.resolved") {
            return Err(format!("{} alerts fired, {} are resolved", fired.len(), told.len()));
        }
        let scanned: BTreeMap<String, Value> = self.scan().iter().map(essence).collect();
        if told != scanned {
            let differ = scanned.iter().filter(|(id, values)| told.get(*id) != Some(values)).take(3);
            let other = told.keys().filter(|id| !scanned.contains_key(*id)).take(3);
            return Err(format!(
                "the history has {:?}, told was {:?}, and alerts of nothing: {:?}",
                differ.clone().collect::<Vec<_>>(),
                differ.map(|(id, _)| told.get(id)).collect::<Vec<_>>(),
                other.collect::<Vec<_>>()
            ));
        }
        let count = told.values().filter(|values| values[3] == "count");
        let seen: i64 = count.filter_map(|values| values[0].as_i64()).sum();
        let kept: u64 = found.values().sum();
        if u64::try_from(seen) != Ok(kept) {
            return Err(format!("rules saw {seen} lines, the history has {kept}"));
        }
        Ok(told.len())
    }

    fn scan(&self) -> Vec<Value> {
        let history = self.site.path().join("history");
        let closed = |alert: &Value| is_of_lines(alert) && alert["provisional"] == false;
        self.site.scan(&history).into_iter().filter(closed).collect()
    }
}

fn is_of_lines(alert: &Value) -> bool {
    alert["rule"] == "count" || alert["rule"] == "some"
}

/// An alert's id, and what it says.
fn essence(alert: &Value) -> (String, Value) {
    let values = &alert["values"];
    let said =
        vec![values["requests"].clone(), values["numbers"].clone(), alert["entity"].clone(), alert["rule"].clone()];
    (alert["id"].to_string(), Value::from(said))
}

fn ids(messages: &[Message], kind: &str) -> Vec<String> {
    let of = messages.iter().filter(|m| is_of_lines(m.alert()) && m.kind() == kind);
    let ids: std::collections::BTreeSet<String> = of.map(|m| m.alert()["id"].to_string()).collect();
    ids.into_iter().collect()
}

/// `/t/STREAM/NUMBER/STAMP` with the right stamp.
pub fn name(path: &str, salt: u64) -> Option<Name> {
    let mut parts = path.strip_prefix("/t/")?.split('/');
    let name = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next()? == stamp(salt, name)).then_some(name)
}
