//! The campaign `enumerate`: one client with an ordinary browser's agent reads account after account.

use crate::catalogue::USER;
use crate::clients::{CAMPAIGN_ADDRESS, CAMPAIGN_AGENT};
use crate::ids::{Ids, is_active_account};
use crate::line::{Entry, Lines};
use crate::random::{Permutation, mix2, unit};
use crate::scenario::{Enumeration, MIN_HIT_RATIO, Order, micros};
use crate::truth::{Campaign as Truth, Recorder};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The route that is enumerated.
const ROUTE: &str = "/v1/users/{id}";

/// A campaign under way. It draws from a generator of its own, so that the benign lines around it are those of the
/// same log without it.
#[derive(Debug)]
pub(crate) struct Campaign {
    plan: Enumeration,
    seed: u64,
    rng: ChaCha8Rng,
    shuffle: Permutation,
    next_us: Option<i64>,
    requests: u64,
    recorder: Recorder,
}

impl Campaign {
    pub(crate) fn new(plan: &Enumeration, seed: u64, log_start_us: i64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let range = plan.requests.unwrap_or(Enumeration::OPEN_RANGE);
        Self {
            shuffle: Permutation::new(range, mix2(seed, 1)),
            next_us: Some(log_start_us.saturating_add(micros(plan.start))),
            plan: plan.clone(),
            seed,
            rng,
            requests: 0,
            recorder: Recorder::default(),
        }
    }

    /// When the next request is made, µs since 1970; None once the campaign is over.
    pub(crate) fn next_us(&self) -> Option<i64> {
        self.next_us
    }

    /// Writes the next request.
    pub(crate) fn act(&mut self, lines: &mut Lines) {
        let Some(now) = self.next_us else { return };
        let id = self.plan.first_id + self.offset(self.requests);
        let status = if self.exists(id) { 200 } else { 404 };
        lines.push(&Entry {
            time_us: now,
            address: CAMPAIGN_ADDRESS,
            request: &USER,
            ids: &Ids { account: id, ..Ids::default() },
            status,
            referer: None,
            agent: CAMPAIGN_AGENT,
        });
        self.requests += 1;
        self.recorder.request(now.div_euclid(1_000_000), id, status == 200);
        let gap_us = 1e6 / self.plan.rate * self.rng.random_range(0.5..1.5);
        self.next_us = (!self.is_over()).then(|| now.saturating_add(gap_us as i64));
    }

    pub(crate) fn into_truth(self) -> Option<Truth> {
        self.recorder.finish(CAMPAIGN_ADDRESS, ROUTE)
    }

    fn offset(&self, request: u64) -> u64 {
        match self.plan.order {
            Order::Sequential => request,
            Order::Random => self.shuffle.at(request),
        }
    }

    /// Accounts of people in the log exist; of the others as many as bring the share to the hit ratio.
    fn exists(&self, id: u64) -> bool {
        let others = (self.plan.hit_ratio - MIN_HIT_RATIO) / (1.0 - MIN_HIT_RATIO);
        is_active_account(id) || unit(mix2(mix2(self.seed, 2), id)) < others
    }

    fn is_over(&self) -> bool {
        let exhausted = self.plan.order == Order::Random && self.requests >= Enumeration::OPEN_RANGE;
        self.plan.requests.map_or(exhausted, |most| self.requests >= most)
            || self.plan.records.is_some_and(|most| self.recorder.records() >= most)
    }
}
