//! Campaigns in a log that somebody else wrote.

use super::actor::Actor;
use super::campaign::Campaign;
use super::plan::Plan;
use super::report::CampaignTruth;
use crate::Format;
use crate::daytime::Week;
use crate::line::Lines;
use jiff::Timestamp;
use jiff::fmt::strtime;
use std::io::{self, BufRead, Write};

/// Copies a log and puts the lines of `plans` where they belong in time. Campaigns begin relative to the log's first time and
/// end with the log at the latest. Times are read of the common and combined formats and of nginx's JSON; a line without
/// one stays behind the line before it. Returns the lines written and the truth.
pub fn into_log(
    log: &mut impl BufRead,
    plans: &[Plan],
    seed: u64,
    format: Format,
    out: &mut impl Write,
) -> io::Result<(u64, Vec<CampaignTruth>)> {
    let mut campaigns: Option<Vec<Campaign>> = None;
    let mut lines = Lines::new(format);
    let (mut line, mut written) = (Vec::new(), 0);
    while log.read_until(b'\n', &mut line)? > 0 {
        if let Some(now) = time_of(&line) {
            let begin = || (0_u64..).zip(plans).map(|(nth, plan)| Campaign::new(plan, seed, nth, now, Week::default()));
            let campaigns = campaigns.get_or_insert_with(|| begin().collect());
            while let (place, due) = super::first(campaigns.iter().map(Actor::next_us))
                && due < now
            {
                campaigns[place].act(&mut lines);
                written += 1;
            }
            out.write_all(&lines.buffer)?;
            lines.buffer.clear();
        }
        out.write_all(&line)?;
        written += 1;
        line.clear();
    }
    out.flush()?;
    Ok((written, campaigns.into_iter().flatten().filter_map(Campaign::into_truth).collect()))
}

/// When a line was logged, µs since 1970.
fn time_of(line: &[u8]) -> Option<i64> {
    let line = std::str::from_utf8(line).ok()?;
    let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest.trim_start_matches([':', ' ', '"']));
    if let Some(seconds) = after("\"msec\"") {
        let end = seconds.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        return seconds[..end].parse::<f64>().ok().map(|seconds| (seconds * 1e6) as i64);
    }
    if let Some(time) = after("\"time_iso8601\"") {
        return time.split_once('"')?.0.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
    }
    let time = line.split_once('[')?.1.split_once(']')?.0;
    let time = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time).ok()?.to_timestamp().ok()?;
    Some(time.as_microsecond())
}
