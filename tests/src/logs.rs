//! Writes logs: single lines, simulated traffic, archives.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tripline_datasets::{Enumeration, Length, Scenario, Truth, generate};

/// The agent in [`combined`].
pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// 2026-03-02, `seconds` after midnight, UTC.
pub fn at(seconds: i64) -> Timestamp {
    let midnight: Timestamp = "2026-03-02T00:00:00Z".parse().expect("a time");
    midnight + SignedDuration::from_secs(seconds)
}

/// A line in the combined format, with its line end. `request` as `GET /v1/users/1`.
pub fn combined(ts: Timestamp, client: &str, request: &str, status: u16) -> String {
    format!("{} \"-\" \"{AGENT}\"\n", common(ts, client, request, status).trim_end())
}

/// A line in the common format, with its line end.
pub fn common(ts: Timestamp, client: &str, request: &str, status: u16) -> String {
    let time = ts.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!("{client} - - [{time}] \"{request} HTTP/1.1\" {status} 512\n")
}

/// Traffic of a quiet site, without a campaign.
pub fn benign(seed: u64, length: Length, rate: f64) -> Scenario {
    Scenario { seed, start: at(9 * 3600), length, rate, partner_export: false, campaign: None }
}

/// The same with one client that, after 40 minutes, reads 1,500 accounts at 3 a second.
pub fn with_campaign(scenario: &Scenario) -> Scenario {
    let start = SignedDuration::from_mins(40);
    let campaign = Enumeration { start, rate: 3.0, requests: Some(1_500), ..Enumeration::default() };
    Scenario { campaign: Some(campaign), ..scenario.clone() }
}

/// The scenario's log and the truth about it.
pub fn simulate(scenario: &Scenario) -> (String, Truth) {
    let mut log = Vec::new();
    let truth = generate(scenario, &mut log).expect("a scenario that can be simulated");
    (String::from_utf8(log).expect("a log in UTF-8"), truth)
}

/// Writes a file compressed by gzip.
pub fn write_gz(path: &Path, text: &str) {
    std::fs::write(path, gz(text)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// `text` compressed by gzip.
pub fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).and_then(|()| out.finish()).expect("memory")
}

/// Writes a file compressed by Zstandard.
pub fn write_zst(path: &Path, text: &str) {
    let file = File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    zstd::stream::copy_encode(text.as_bytes(), file, 1).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
