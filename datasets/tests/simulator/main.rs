//! What holds for every simulated log. One binary: `truth`, `traffic` and `load` read lines as a stranger would, with the
//! parser below, which knows nothing of the simulator; `sample` keeps the committed sample what its command makes.

// Counts of lines and requests, far below 2^52, as shares.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod load;
mod sample;
mod traffic;
mod truth;
mod world;

use jiff::fmt::strtime;
use tripline_datasets::{Length, Scenario, Truth, generate};

/// A line taken apart.
#[derive(Debug)]
struct Line<'a> {
    client: &'a str,
    /// Seconds since 1970.
    second: i64,
    method: &'a str,
    target: &'a str,
    status: u16,
}

/// Takes a line of the combined format apart; None if it is not one.
fn parse(line: &str) -> Option<Line<'_>> {
    let (client, rest) = line.split_once(" - ")?;
    let (user, rest) = rest.split_once(" [")?;
    if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    client.parse::<std::net::IpAddr>().ok()?;
    let (time, rest) = rest.split_once("] \"")?;
    let second = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time).ok()?.to_timestamp().ok()?.as_second();
    let (request, rest) = rest.split_once("\" ")?;
    let [method, target, "HTTP/1.1"] = request.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let method = ["GET", "POST", "PUT", "PATCH"].into_iter().find(|&known| known == method)?;
    let (numbers, rest) = rest.split_once(" \"")?;
    let (status, bytes) = numbers.split_once(' ')?;
    bytes.parse::<u64>().ok()?;
    let (referer, agent) = rest.strip_suffix('"')?.split_once("\" \"")?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"');
    let well_formed = target.starts_with('/') && [target, referer, agent].into_iter().all(plain);
    well_formed.then_some(Line { client, second, method, target, status: status.parse().ok()? })
}

impl<'a> Line<'a> {
    /// The client as Tripline keys it: the address, IPv6 cut to its /64.
    fn key(&self) -> &'a str {
        self.client.match_indices(':').nth(3).map_or(self.client, |(colon, _)| &self.client[..colon])
    }
}

fn parse_all(log: &str) -> Vec<Line<'_>> {
    log.lines().map(|line| parse(line).unwrap_or_else(|| panic!("not combined: {line}"))).collect()
}

fn simulate(scenario: &Scenario) -> (String, Truth) {
    let mut log = Vec::new();
    let truth = generate(scenario, &mut log).expect("the scenario is valid");
    (String::from_utf8(log).expect("a log is ASCII"), truth)
}

/// Benign traffic from a time on.
fn benign(start: &str, length: Length, rate: f64) -> Scenario {
    let start = start.parse().expect("a time");
    Scenario { seed: 7, start, length, rate, partner_export: false, campaign: None }
}
