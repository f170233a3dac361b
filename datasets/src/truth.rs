//! What really happened in a log, for scoring detectors: above all how many records had leaked by when.
//!
//! A record leaks when a member of the campaign is first answered 2xx for it. Times are those that the log shows,
//! whole seconds, for a detector cannot know more. README.md describes the JSON.

use crate::scenario::Scenario;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The leaked ids are listed up to this many.
pub const MOST_LISTED_IDS: u64 = 100_000;
/// At most so many milestones are given beside the powers of ten.
const EVEN_MILESTONES: u64 = 20;

/// The truth about one log. Its JSON form is the file that `--truth` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// What was asked for, the seed included.
    pub scenario: Scenario,
    /// Lines in the log.
    pub lines: u64,
    /// The lines by those who mean no harm.
    pub benign: Benign,
    /// None if the log has no line of a campaign.
    pub campaign: Option<Campaign>,
}

/// Benign requests, by who made them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Benign {
    /// Requests by people: at home, in offices, in browsers and in the app.
    pub people: u64,
    /// Visits that these requests belong to.
    pub sessions: u64,
    /// `POST /v1/login` answered 200.
    pub sign_ins: u64,
    /// `POST /v1/login` answered 401.
    pub mistyped_passwords: u64,
    /// Requests by the declared crawler.
    pub crawler: u64,
    /// Requests by the health probe.
    pub probe: u64,
    /// Requests by the partner's nightly export.
    pub partner: u64,
}

/// A campaign as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// The client's address.
    pub client: String,
    /// The template of the path that it enumerates.
    pub route: String,
    /// Its first request and its last.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
    /// Its requests.
    pub requests: u64,
    /// The distinct records that it got.
    pub records: u64,
    /// The lowest and the highest id that it asked for.
    pub ids: (u64, u64),
    /// When the records leaked, exactly: `(second, seconds, records_a_second)`, the second counted from `first`. At
    /// most one run for each second in which a record leaked; equal neighbours are one run.
    pub leaked_runs: Vec<(i64, i64, u64)>,
    /// The leaked ids in the order in which they leaked; None above [`MOST_LISTED_IDS`].
    pub leaked_ids: Option<Vec<u64>>,
    /// When so many records had leaked: at the powers of ten, at even steps between them, and at the end.
    pub milestones: Vec<Milestone>,
}

/// The first instant at which so many records had leaked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// Distinct records.
    pub records: u64,
    /// When, as the log shows it.
    pub at: Timestamp,
}

/// The distinct records that had leaked up to and including the requests logged at `ts_us` (µs since 1970).
pub fn leaked_by(truth: &Truth, ts_us: i64) -> u64 {
    let Some(campaign) = &truth.campaign else {
        return 0;
    };
    let now = ts_us.div_euclid(1_000_000) - campaign.first.as_second();
    let passed =
        |&(second, seconds, records): &(i64, i64, u64)| (now - second + 1).clamp(0, seconds).unsigned_abs() * records;
    campaign.leaked_runs.iter().map(passed).sum()
}

/// Takes down a campaign as it goes on.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// The seconds since 1970 of the first request and of the last.
    span: Option<(i64, i64)>,
    requests: u64,
    records: u64,
    ids: Option<(u64, u64)>,
    runs: Vec<(i64, i64, u64)>,
    /// The second since `first` in which the latest record leaked, and how many did.
    open: Option<(i64, u64)>,
    leaked_ids: Vec<u64>,
    /// When each of the first [`MOST_TIMED`] records leaked, µs since 1970.
    leaked_us: Vec<i64>,
}

/// So many records have a time of their own beside the runs.
const MOST_TIMED: usize = 4_000_000;

impl Recorder {
    /// Takes down a request for an id that the campaign has not asked for before.
    pub(crate) fn request(&mut self, second: i64, id: u64, hit: bool) {
        self.batch(second * 1_000_000, std::iter::once((id, hit)));
    }

    /// Takes down a request for several ids, none of which the campaign has asked for before.
    pub(crate) fn batch(&mut self, time_us: i64, ids: impl Iterator<Item = (u64, bool)>) {
        let second = time_us.div_euclid(1_000_000);
        let first = self.span.map_or(second, |(first, _)| first);
        self.span = Some((first, second));
        self.requests += 1;
        for (id, hit) in ids {
            self.ids = Some(self.ids.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
            if hit {
                self.leak(second - first, id);
                if self.leaked_us.len() < MOST_TIMED {
                    self.leaked_us.push(time_us);
                }
            }
        }
    }

    /// When records leaked, as far as each has a time of its own; see [`MOST_TIMED`].
    pub(crate) fn take_times(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.leaked_us)
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    fn leak(&mut self, second: i64, id: u64) {
        self.records += 1;
        if self.records <= MOST_LISTED_IDS {
            self.leaked_ids.push(id);
        }
        match &mut self.open {
            Some((open, records)) if *open == second => *records += 1,
            _ => {
                self.close_second();
                self.open = Some((second, 1));
            }
        }
    }

    fn close_second(&mut self) {
        let Some((second, records)) = self.open.take() else {
            return;
        };
        match self.runs.last_mut() {
            Some((from, seconds, each)) if *from + *seconds == second && *each == records => {
                *seconds += 1;
            }
            _ => self.runs.push((second, 1, records)),
        }
    }

    /// The truth; None if there was no request.
    pub(crate) fn finish(mut self, client: &str, route: &str) -> Option<Campaign> {
        self.close_second();
        let (first, last) = self.span?;
        Some(Campaign {
            client: client.to_owned(),
            route: route.to_owned(),
            first: Timestamp::from_second(first).ok()?,
            last: Timestamp::from_second(last).ok()?,
            requests: self.requests,
            records: self.records,
            ids: self.ids?,
            milestones: milestones(first, self.records, &self.runs),
            leaked_runs: self.runs,
            leaked_ids: (self.records <= MOST_LISTED_IDS).then_some(self.leaked_ids),
        })
    }
}

/// Reads the milestones off the runs.
fn milestones(first: i64, records: u64, runs: &[(i64, i64, u64)]) -> Vec<Milestone> {
    let powers =
        std::iter::successors(Some(1_u64), |power| power.checked_mul(10)).take_while(|&power| power <= records);
    let round_numbers = (0..18).flat_map(|exponent| [1, 2, 5].map(|digit| digit * 10_u64.pow(exponent)));
    let step = round_numbers.into_iter().find(|step| records / step <= EVEN_MILESTONES).unwrap_or(u64::MAX);
    let mut wanted: Vec<u64> = powers.chain((1..=records / step).map(|nth| nth * step)).collect();
    wanted.push(records);
    wanted.sort_unstable();
    wanted.dedup();

    let mut milestones = Vec::with_capacity(wanted.len());
    let mut wanted = wanted.into_iter().filter(|&records| records > 0).peekable();
    let mut before = 0;
    for &(second, seconds, each) in runs {
        let after = before + each * seconds.unsigned_abs();
        while let Some(records) = wanted.next_if(|&records| records <= after) {
            let into_run = ((records - before - 1) / each) as i64;
            if let Ok(at) = Timestamp::from_second(first + second + into_run) {
                milestones.push(Milestone { records, at });
            }
        }
        before = after;
    }
    milestones
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Length;
    use proptest::prelude::*;

    fn truth(campaign: Option<Campaign>) -> Truth {
        let scenario = Scenario {
            seed: 0,
            start: Timestamp::UNIX_EPOCH,
            length: Length::Lines(1),
            rate: 1.0,
            partner_export: false,
            campaign: None,
        };
        Truth { scenario, lines: 0, benign: Benign::default(), campaign }
    }

    #[test]
    fn equal_seconds_are_one_run() {
        let mut recorder = Recorder::default();
        for (second, hit) in
            [(100, false), (101, true), (101, true), (102, true), (102, true), (103, true), (200, true)]
        {
            recorder.request(second, 7, hit);
        }
        let campaign = recorder.finish("192.0.2.200", "/v1/users/{id}").expect("there were requests");
        assert_eq!(campaign.leaked_runs, [(1, 2, 2), (3, 1, 1), (100, 1, 1)]);
        assert_eq!((campaign.requests, campaign.records), (7, 6));
    }

    proptest! {
        #[test]
        fn leaks_are_counted_as_a_list_of_them_would(gaps in prop::collection::vec((0_i64..4, any::<bool>()), 0..200)) {
            let mut recorder = Recorder::default();
            let mut times = Vec::new();
            let mut second = 1_772_409_600;
            for (id, &(gap, hit)) in gaps.iter().enumerate() {
                second += gap;
                recorder.request(second, id as u64, hit);
                times.extend(hit.then_some(second));
            }
            let truth = truth(recorder.finish("192.0.2.200", "/v1/users/{id}"));
            for at in 1_772_409_590..second + 10 {
                let naive = times.iter().filter(|&&time| time <= at).count() as u64;
                prop_assert_eq!(leaked_by(&truth, at * 1_000_000), naive);
                prop_assert_eq!(leaked_by(&truth, at * 1_000_000 + 999_999), naive);
            }
            for milestone in truth.campaign.iter().flat_map(|campaign| &campaign.milestones) {
                let at = times[milestone.records as usize - 1];
                prop_assert_eq!(milestone.at.as_second(), at);
            }
        }
    }
}
