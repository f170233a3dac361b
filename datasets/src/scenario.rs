//! What to simulate: every parameter of a log, checked in one place. A scenario decides the log byte for byte.

use jiff::{SignedDuration, Timestamp, tz::Offset};
use serde::{Deserialize, Serialize};

/// The lowest mean rate: below it the health probe alone (one request in 30 s) would exceed what was asked for.
pub const MIN_RATE: f64 = 0.1;
/// The highest mean rate: about a million people active at once.
pub const MAX_RATE: f64 = 100_000.0;
/// The least share of the swept ids that can exist: one account in a hundred is active and always does.
pub const MIN_HIT_RATIO: f64 = 0.01;
/// The longest log in seconds (ten years), the longest delay before a campaign, and the slowest request of one.
const LONGEST_SECONDS: i64 = 10 * 366 * 86_400;

/// A log to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Everything random follows from this number.
    pub seed: u64,
    /// The first instant of the log, years 1970 to 5000.
    pub start: Timestamp,
    /// Where the log ends.
    pub length: Length,
    /// Benign requests a second, the mean over a week, [`MIN_RATE`] to [`MAX_RATE`].
    pub rate: f64,
    /// Whether a partner reads 3,000 orders in sequence each night at 02:00 UTC: harmless, and looks like a campaign.
    pub partner_export: bool,
    /// The campaign to inject, if any.
    pub campaign: Option<Enumeration>,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// After so many lines, those of the campaign included.
    Lines(u64),
    /// After so much time.
    Duration(SignedDuration),
}

/// A campaign: one client reads `/v1/users/{id}`, id after id, each once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enumeration {
    /// When it begins, counted from the start of the log.
    pub start: SignedDuration,
    /// Requests a second, above 0; the gaps between requests vary by half.
    pub rate: f64,
    /// It ends after so many requests, at the latest with the log.
    pub requests: Option<u64>,
    /// It ends after so many records, at the latest with the log.
    pub records: Option<u64>,
    /// The lowest id of the swept range.
    pub first_id: u64,
    /// The order in which ids are asked for.
    pub order: Order,
    /// The share of the swept ids that exist (200); the others are answered 404. [`MIN_HIT_RATIO`] to 1.
    pub hit_ratio: f64,
}

/// The order in which a campaign asks for ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One after the other.
    Sequential,
    /// Shuffled over the range: as many ids as there are to be requests, or [`Enumeration::OPEN_RANGE`].
    Random,
}

impl Enumeration {
    /// How many ids a shuffled campaign ranges over if its number of requests is not given.
    pub const OPEN_RANGE: u64 = 50_000_000;
}

impl Default for Enumeration {
    fn default() -> Self {
        Self {
            start: SignedDuration::ZERO,
            rate: 10.0,
            requests: None,
            records: None,
            first_id: 1_000,
            order: Order::Sequential,
            hit_ratio: 1.0,
        }
    }
}

/// What is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// See [`Scenario::rate`].
    #[error("a rate of {0} requests/s cannot be simulated; choose one from {MIN_RATE} to {MAX_RATE}")]
    Rate(f64),
    /// See [`Scenario::start`].
    #[error("the log cannot start at {0}; choose a date in the years 1970 to 5000")]
    Start(Timestamp),
    /// See [`Scenario::length`].
    #[error(
        "a log must hold at least one line or second and span at most ten years at its rate; change --lines, --duration or --rate"
    )]
    Length,
    /// See [`Enumeration::start`].
    #[error("the campaign would begin {0:#} into the log, which is outside it; choose an earlier --campaign-start")]
    CampaignStart(SignedDuration),
    /// See [`Enumeration::rate`].
    #[error("a campaign of {0} requests/s cannot be simulated; choose a rate from 0.00001 to 1000000")]
    CampaignRate(f64),
    /// See [`Enumeration::requests`].
    #[error("a campaign must make at least one request, take at least one record, and keep its ids below 10^18")]
    CampaignSize,
    /// See [`Enumeration::hit_ratio`].
    #[error("a hit ratio of {0} cannot be simulated; choose one from {MIN_HIT_RATIO} to 1")]
    HitRatio(f64),
}

impl Scenario {
    /// Whether the scenario can be simulated; the first thing wrong with it otherwise.
    pub fn check(&self) -> Result<(), ScenarioError> {
        if !(MIN_RATE..=MAX_RATE).contains(&self.rate) {
            return Err(ScenarioError::Rate(self.rate));
        }
        if !(1970..=5000).contains(&Offset::UTC.to_datetime(self.start).year()) {
            return Err(ScenarioError::Start(self.start));
        }
        let seconds = match self.length {
            Length::Lines(0) => 0.0,
            Length::Lines(lines) => (lines as f64 / self.rate).max(1.0),
            Length::Duration(duration) => duration.as_secs_f64(),
        };
        if !(1.0..=LONGEST_SECONDS as f64).contains(&seconds) {
            return Err(ScenarioError::Length);
        }
        self.campaign.as_ref().map_or(Ok(()), |campaign| campaign.check(self.length))
    }

    /// The first instant, in µs since 1970.
    pub(crate) fn start_us(&self) -> i64 {
        self.start.as_microsecond()
    }

    /// The first instant after the log, in µs since 1970. A log that ends by lines runs into its backstop only if
    /// something is wrong with the simulator.
    pub(crate) fn end_us(&self) -> i64 {
        let span = match self.length {
            Length::Duration(duration) => micros(duration),
            Length::Lines(_) => 2 * LONGEST_SECONDS * 1_000_000,
        };
        self.start_us().saturating_add(span)
    }
}

impl Enumeration {
    fn check(&self, length: Length) -> Result<(), ScenarioError> {
        let end = match length {
            Length::Duration(duration) => duration,
            Length::Lines(_) => SignedDuration::from_secs(LONGEST_SECONDS),
        };
        if self.start.is_negative() || self.start >= end {
            return Err(ScenarioError::CampaignStart(self.start));
        }
        if !(1e-5..=1e6).contains(&self.rate) {
            return Err(ScenarioError::CampaignRate(self.rate));
        }
        let id_space = 1_000_000_000_000_000_000;
        let span = self.requests.unwrap_or(Self::OPEN_RANGE);
        if span == 0 || self.records == Some(0) || self.first_id > id_space || span > id_space {
            return Err(ScenarioError::CampaignSize);
        }
        if !(MIN_HIT_RATIO..=1.0).contains(&self.hit_ratio) {
            return Err(ScenarioError::HitRatio(self.hit_ratio));
        }
        Ok(())
    }
}

/// A duration that [`Scenario::check`] has bounded, in µs.
pub(crate) fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
