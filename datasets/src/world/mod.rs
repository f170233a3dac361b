//! A site for scoring: everyday traffic with its confounders, and campaigns in it, streamed in the order of time.
//!
//! A [`World`] says what to simulate; [`World::write`] writes one log of it and returns the truth ([`WorldTruth`]);
//! [`into_log`] adds the campaigns to a log that somebody else wrote. Nothing is kept but what is under way, so a log may be
//! longer than a disk. The tour: [`plan`] is what a campaign can be, [`families`] are the kinds of attack and
//! [`incidents`] the replays of known ones, `campaign` carries a plan out; `confounders` are those who mean no harm and look
//! as if they did; `actor` is what all of them are to the merge.
//!
//! Campaigns have addresses from 100.64.0.0/11, confounders from 100.96.0.0/11 (both RFC 6598), a block each.

mod actor;
mod campaign;
pub mod confounders;
pub mod families;
pub mod incidents;
mod inject;
pub mod plan;
mod report;

pub use inject::into_log;
pub use report::{CampaignTruth, Who, WorldTruth};

use crate::benign::Benign;
use crate::daytime::Week;
use crate::line::Lines;
use crate::mix::Mix;
use crate::{BLOCK, Format, GenerateError};
use actor::Actor;
use campaign::Campaign;
use confounders::{Confounder, Daily};
use jiff::{SignedDuration, Timestamp};
use plan::Plan;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct World {
    /// Everything random follows from this number.
    pub seed: u64,
    /// The first instant.
    pub start: Timestamp,
    /// Event time that the log spans.
    pub duration: SignedDuration,
    /// Requests a second of people, the mean over a week; 0 for none at all.
    pub rate: f64,
    /// Whether the site's shape is drawn from the published ranges, by the seed, instead of being their middle.
    pub sweep: bool,
    /// Who else is there.
    pub confounders: Vec<&'static Confounder>,
    /// The campaigns.
    pub campaigns: Vec<Plan>,
    /// How lines are written.
    pub format: Format,
}

/// Somebody whose lines are merged, and the place of their count.
struct Part {
    actor: Box<dyn Actor>,
    name: &'static str,
    lines: u64,
}

impl World {
    fn start_us(&self) -> i64 {
        self.start.as_microsecond()
    }

    /// The first instant after the log, µs since 1970.
    pub fn end_us(&self) -> i64 {
        self.start_us().saturating_add(crate::scenario::micros(self.duration))
    }

    fn mix(&self) -> Mix {
        let mut mix = if self.sweep { Mix::swept(self.seed) } else { Mix::default() };
        let has = |name| self.confounders.iter().any(|c| c.name == name);
        let day = self.start_us().div_euclid(DAY_US);
        // Neither is anybody's traffic; they change everybody's.
        if has(confounders::SUMMER_TIME) {
            mix.week.summer_time_us = (day + 2) * DAY_US;
        }
        if has(confounders::HOLIDAY) {
            mix.week.holiday = day + 3;
        }
        mix
    }

    fn parts(&self, week: Week) -> Vec<Part> {
        let daily = self.confounders.iter().map(|confounder| Part {
            actor: Box::new(Daily::new(confounder, self.seed, self.start_us(), self.rate, week)),
            name: confounder.name,
            lines: 0,
        });
        daily.collect()
    }

    /// Writes the log and returns the truth. The same world always gives the same bytes.
    pub fn write(&self, out: &mut impl Write) -> Result<WorldTruth, GenerateError> {
        self.write_watched(out, |_, _| {})
    }

    /// The same; `watch` sees each line without its line end, and whose it is.
    pub fn write_watched(
        &self,
        out: &mut impl Write,
        mut watch: impl FnMut(Who, &[u8]),
    ) -> Result<WorldTruth, GenerateError> {
        let mix = self.mix();
        let mut people = (self.rate > 0.0).then(|| Benign::with(&mix, self.seed, self.start_us(), self.rate, false));
        let mut parts = self.parts(mix.week);
        let mut campaigns: Vec<Campaign> = (0_u64..)
            .zip(&self.campaigns)
            .map(|(nth, plan)| Campaign::new(plan, self.seed, nth, self.start_us(), mix.week))
            .collect();
        let end = self.end_us();
        let mut lines = Lines::new(self.format);
        let (mut written, mut by_people) = (0, 0);
        loop {
            let people_us = people.as_ref().map_or(i64::MAX, Benign::next_us);
            let part = first(parts.iter().map(|part| part.actor.next_us()));
            let campaign = first(campaigns.iter().map(Actor::next_us));
            let earliest = people_us.min(part.1).min(campaign.1);
            if earliest >= end {
                break;
            }
            let from = lines.buffer.len();
            let who = if earliest == campaign.1 {
                campaigns[campaign.0].act(&mut lines);
                Who::Campaign(campaign.0)
            } else if earliest == part.1 {
                let part = &mut parts[part.0];
                part.actor.act(&mut lines);
                part.lines += 1;
                Who::Confounder(part.name)
            } else {
                if let Some(people) = &mut people {
                    people.act(&mut lines);
                }
                by_people += 1;
                Who::People
            };
            written += 1;
            watch(who, lines.buffer[from..].trim_ascii_end());
            if lines.buffer.len() >= BLOCK {
                out.write_all(&lines.buffer)?;
                lines.buffer.clear();
            }
        }
        out.write_all(&lines.buffer)?;
        out.flush()?;
        let mut by = BTreeMap::from([("people", by_people)]);
        by.extend(parts.iter().map(|part| (part.name, part.lines)));
        let truths = campaigns.into_iter().filter_map(Campaign::into_truth).collect();
        Ok(WorldTruth::new(self, written, by, truths))
    }
}

/// The place and the time of whoever is due first; `i64::MAX` if nobody is.
fn first(times: impl Iterator<Item = Option<i64>>) -> (usize, i64) {
    let due = times.enumerate().filter_map(|(place, time)| Some((place, time?)));
    due.min_by_key(|&(place, time)| (time, place)).unwrap_or((0, i64::MAX))
}

/// Lines that could not be written, for callers that have only these errors.
impl From<GenerateError> for io::Error {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Write(error) => error,
            GenerateError::Scenario(error) => Self::other(error),
        }
    }
}

const DAY_US: i64 = 86_400_000_000;
