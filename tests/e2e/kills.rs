//! `tripline run`, killed at every named step and at random instants: no line counts twice or not at all, and every alert
//! is the one that an undisturbed run tells.
//!
//! `TRIPLINE_KILLS=400` kills so often; `TRIPLINE_SEED=7` replays a run that failed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tripline_tests::logs::{at, combined};
use tripline_tests::random::{Random, number};
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, terminate};

/// The steps, and how often one is passed before the kill at most.
const STEPS: [(&str, u64); 8] = [
    ("before-segment", 2),
    ("segment-written", 2),
    ("segment-synced", 2),
    ("before-commit", 3),
    ("after-commit", 3),
    ("gathered", 1),
    ("before-send", 8),
    ("after-send", 2),
];
/// Pieces that the log grows by under one process.
const PIECES: usize = 4;
/// Seconds of traffic, from nine, for each kill: enough for what is kept to go to segments.
const SECONDS_A_KILL: i64 = 200;

/// Each client's lines in each five minutes, an alert each, beside those of the last five in which it came: a line lost or doubled
/// shows in the values of exactly one, and in the next one's `before`.
const SLICES: &str = "/*
title = \"Every line counts\"
severity = \"low\"
entity = [\"client\", \"slice\"]
quiet = \"0s\"
*/
WITH w AS (
    SELECT window_start, window_end, client, CAST(window_start AS VARCHAR) AS slice,
           count(*) AS requests, count(DISTINCT path) AS paths, sum(bytes_out) AS bytes
    FROM tumble(requests, ts, INTERVAL '5 minutes')
    WHERE path LIKE '/line/%'
    GROUP BY window_start, window_end, client
)
SELECT w.*, usual.requests AS before
FROM w LEFT JOIN usual ON usual.client = w.client AND w.window_start >= usual.valid_from AND w.window_start < usual.valid_until
";

const USUAL: &str = "/*
title = \"What a client asked for\"
kind = \"baseline\"
entity = [\"client\"]
max_age = \"20m\"
*/
SELECT window_start, window_end, client, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '5 minutes')
WHERE path LIKE '/line/%'
GROUP BY window_start, window_end, client
";

/// The campaign: one alert over many overlapping windows.
const BURST: &str = "/*
title = \"One client reads much\"
severity = \"high\"
entity = [\"client\"]
quiet = \"10m\"
*/
SELECT window_start, window_end, client, count(*) AS requests, approx_distinct(path) AS paths
FROM hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes')
GROUP BY window_start, window_end, client
HAVING count(*) >= 300
";

/// A destination `soc` that gets each alert, and a chat that gets them in groups.
fn site(receiver: &Receiver, chat: &Receiver) -> Site {
    let site = Site::counting(receiver);
    site.add_destination("chat", &chat.url());
    site.edit_config(
        "name = \"chat\"",
        "name = \"chat\"\nstyle = \"slack\"\ngroup_wait = \"1s\"\ngroup_interval = \"1s\"",
    );
    site.write("rules/slices/rule.sql", SLICES);
    site.write("rules/usual/rule.sql", USUAL);
    site.write("rules/burst/rule.sql", BURST);
    site
}

/// Traffic of a few clients, a path of its own in each line, and a campaign.
fn log(seconds: i64) -> String {
    let mut log = String::new();
    for second in 0..seconds {
        let line = |client: i64, n: i64| {
            // Long enough that what is kept of some hundred lines goes to a segment.
            let request = format!("GET /line/{second}/{n}/{:060}", second * second);
            combined(at(9 * 3600 + second), &format!("192.0.2.{client}"), &request, 200)
        };
        log.push_str(&line(10 + second * second % 13, 0));
        if (2_000..4_000).contains(&second) {
            log.push_str(&line(7, 1));
        }
    }
    log
}

/// The end of the log, long after the traffic: all is closed and resolved. Waits until that has arrived, and stops.
fn finish(site: &Site, receiver: &Receiver, seconds: i64) {
    let process = site.run();
    site.mark(receiver, "access.log", "end", at(9 * 3600 + seconds) + SignedDuration::from_hours(4));
    terminate(process);
}

/// What must not depend on kills: each alert's last state. (What was told on the way does: of updates that wait the newest
/// is sent.)
fn resolved(messages: &[Message]) -> BTreeMap<String, Value> {
    let of_traffic = messages.iter().filter(|m| m.alert()["rule"] != "marker" && m.kind() == "alert.resolved");
    let state = |alert: &Value| {
        let fields = ["rule", "entity", "window", "first_seen", "detected_at", "values", "findings", "provisional"];
        fields.iter().map(|&field| (field.to_owned(), alert[field].clone())).collect::<Value>()
    };
    of_traffic.map(|m| (m.alert()["id"].to_string(), state(m.alert()))).collect()
}

fn ids(messages: &[Message]) -> BTreeMap<String, u64> {
    let mut ids = BTreeMap::new();
    for message in messages.iter().filter(|m| m.alert()["rule"] != "marker") {
        *ids.entry(message.alert()["id"].to_string()).or_default() += u64::from(message.kind() == "alert.firing");
    }
    ids
}

#[test]
fn kills_at_every_step_and_at_random() {
    let (kills, seed) = (number("TRIPLINE_KILLS", 36), number("TRIPLINE_SEED", 1));
    let seconds = i64::try_from(kills.max(36)).expect("a small number") * SECONDS_A_KILL;
    let log = log(seconds);
    let receiver = Receiver::answering(200);
    let undisturbed = site(&receiver, &Receiver::answering(200));
    undisturbed.append("access.log", &log);
    finish(&undisturbed, &receiver, seconds);
    let expected = receiver.messages();
    assert!(expected.iter().any(|m| m.alert()["rule"] == "burst"), "the campaign is not found");

    let mut random = Random::new(seed);
    let (receiver, chat) = (Receiver::answering(200), Receiver::answering(200));
    let site = site(&receiver, &chat);
    let mut died: BTreeMap<&str, u64> = BTreeMap::new();
    let pieces = usize::try_from(kills).expect("a small number") * PIECES + PIECES;
    let mut pieces = log.as_bytes().chunks(log.len() / pieces + 1);
    for kill in 0..kills {
        // Two of three at a step, each in turn; the others at a random instant.
        let (step, times) = STEPS[usize::try_from(kill / 3 * 2 + kill % 3).expect("a small number") % STEPS.len()];
        let failpoint = (kill % 3 < 2).then(|| format!("{step}:kill:{}", 1 + random.below(times)));
        let process = site.run_with_failpoint(failpoint.as_deref());
        // More than one commit, where the file's end is met between them.
        for piece in pieces.by_ref().take(PIECES) {
            site.append("access.log", piece);
            if failpoint.is_some() && process.ends_within(Duration::from_millis(250)) {
                break;
            }
        }
        // (a step of a group's delivery comes a second after its alerts, on a busy machine later)
        let limit = Duration::from_millis(if failpoint.is_some() { 5_000 } else { random.below(1_200) });
        if process.end_or_kill(limit) && failpoint.is_some() {
            *died.entry(step).or_default() += 1;
        }
    }
    for rest in pieces {
        site.append("access.log", rest);
    }
    finish(&site, &receiver, seconds);

    let messages = receiver.messages();
    eprintln!(
        "seed {seed}: {kills} kills, at steps {died:?}; {} messages, {} undisturbed",
        messages.len(),
        expected.len()
    );
    let mut bodies: BTreeMap<&str, &Value> = BTreeMap::new();
    let chatted = chat.messages();
    for message in messages.iter().chain(&chatted) {
        let before = bodies.insert(&message.id, &message.body);
        assert!(before.is_none_or(|body| *body == message.body), "seed {seed}: {} differs", message.id);
    }
    let fired = ids(&messages).into_keys().collect::<Vec<_>>();
    assert_eq!(fired, ids(&expected).into_keys().collect::<Vec<_>>(), "seed {seed}: ids of alerts");
    let (told, expected) = (resolved(&messages), resolved(&expected));
    assert_eq!(told.len(), fired.len(), "seed {seed}: every alert is resolved");
    for (id, state) in expected {
        assert_eq!(told[&id], state, "seed {seed}: what alert {id} comes to");
    }
    let total: i64 =
        told.values().filter(|s| s["rule"] == "slices").filter_map(|s| s["values"]["requests"].as_i64()).sum();
    assert_eq!(json!(total), json!(log.lines().count()), "seed {seed}: every line counts once");
    if kills >= 36 {
        assert_eq!(died.len(), STEPS.len(), "seed {seed}: kills at {died:?}: not every step was met");
    }
}
