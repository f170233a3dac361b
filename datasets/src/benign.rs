//! Everybody who means no harm, as one stream of requests in the order of time. Its memory is one entry for each
//! visit under way.

use crate::catalogue::{HEALTH, ORDER, PRODUCT_PAGE, RETIRED_PAGE, ROBOTS, Request};
use crate::clients::{
    CRAWLER_ADDRESS, CRAWLER_AGENT, PARTNER_ADDRESS, PARTNER_AGENT, PROBE_ADDRESS, PROBE_AGENT, Population,
};
use crate::daytime::Week;
use crate::ids::{Ids, PRODUCTS, product_of_rank};
use crate::line::{Entry, Lines};
use crate::mix::Mix;
use crate::session::{Habits, Outcome, Session};
use crate::truth::Benign as Counts;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp1};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many requests a visit makes on average; measured, and held to by a test.
const REQUESTS_A_SESSION: f64 = 7.35;
const PROBE_INTERVAL_US: i64 = 30_000_000;
/// The crawler makes 3 % of the requests, at most one in four seconds.
const CRAWLER_SHARE: f64 = 0.03;
const CRAWLER_MAX_RATE: f64 = 0.25;
/// The partner's export: at 02:00 UTC, five orders a second.
const EXPORT_ORDERS: u64 = 3_000;
const EXPORT_HOUR_US: i64 = 2 * 3_600_000_000;
const EXPORT_GAP_US: i64 = 200_000;
const DAY_US: i64 = 86_400_000_000;

/// Somebody with a next request.
#[derive(Debug)]
enum Actor {
    Session(Box<Session>),
    Crawler,
    Probe,
    /// With the number of orders exported since the log began.
    Partner(u64),
    /// A visit that has ended; its place is free.
    Gone,
}

/// The benign traffic.
#[derive(Debug)]
pub(crate) struct Benign {
    rng: ChaCha8Rng,
    habits: Habits,
    population: Population,
    week: Week,
    /// Visits that begin, a second, at the busiest time; and µs between two requests of the crawler.
    peak_arrivals: f64,
    crawler_gap_us: f64,
    next_arrival_us: i64,
    actors: Vec<Actor>,
    free: Vec<usize>,
    /// When each actor acts next; ties go to the lower place.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    counts: Counts,
}

impl Benign {
    /// Traffic from `start_us` on, at a mean of `rate` requests/s.
    pub(crate) fn new(seed: u64, start_us: i64, rate: f64, partner_export: bool) -> Self {
        Self::with(&Mix::default(), seed, start_us, rate, partner_export)
    }

    /// The same of a site that is `mix`.
    pub(crate) fn with(mix: &Mix, seed: u64, start_us: i64, rate: f64, partner_export: bool) -> Self {
        let crawler_rate = (CRAWLER_SHARE * rate).min(CRAWLER_MAX_RATE);
        let people_rate = rate - crawler_rate - 1e6 / PROBE_INTERVAL_US as f64;
        let mut benign = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            habits: Habits::new(mix),
            population: Population::new(seed, rate, mix),
            week: mix.week,
            peak_arrivals: people_rate / (REQUESTS_A_SESSION * mix.session_length()) * mix.week.max_factor(),
            crawler_gap_us: 1e6 / crawler_rate,
            next_arrival_us: start_us,
            actors: Vec::new(),
            free: Vec::new(),
            queue: BinaryHeap::new(),
            counts: Counts::default(),
        };
        let crawler_start = start_us + benign.exponential(benign.crawler_gap_us);
        benign.add(Actor::Crawler, crawler_start);
        let probe_start = start_us + benign.rng.random_range(0..PROBE_INTERVAL_US);
        benign.add(Actor::Probe, probe_start);
        if partner_export {
            benign.add(Actor::Partner(0), next_export(start_us));
        }
        benign.next_arrival_us = benign.arrival_after(start_us);
        benign
    }

    /// When the next request is made, µs since 1970.
    pub(crate) fn next_us(&self) -> i64 {
        self.queue.peek().map_or(self.next_arrival_us, |Reverse((time, _))| self.next_arrival_us.min(*time))
    }

    /// Writes the next request.
    pub(crate) fn act(&mut self, lines: &mut Lines) {
        let now = self.next_us();
        if now == self.next_arrival_us {
            let visitor = self.population.visitor(&mut self.rng);
            let session = Session::new(visitor, &self.habits, &mut self.rng);
            self.counts.sessions += 1;
            self.next_arrival_us = self.arrival_after(now);
            self.add(Actor::Session(Box::new(session)), now);
        }
        let Some(Reverse((time, place))) = self.queue.pop() else {
            return;
        };
        if let Some(next) = self.act_one(time, place, lines) {
            self.queue.push(Reverse((next, place)));
        } else {
            self.actors[place] = Actor::Gone;
            self.free.push(place);
        }
    }

    pub(crate) fn into_counts(self) -> Counts {
        self.counts
    }

    /// Lets the actor in a place make its request; when it makes its next one.
    fn act_one(&mut self, now: i64, place: usize, lines: &mut Lines) -> Option<i64> {
        match &mut self.actors[place] {
            Actor::Session(session) => {
                let (outcome, next) = session.act(now, &self.habits, &mut self.rng, lines);
                self.counts.people += 1;
                self.counts.sign_ins += u64::from(outcome == Outcome::SignedIn);
                self.counts.mistyped_passwords += u64::from(outcome == Outcome::MistypedPassword);
                next
            }
            Actor::Crawler => {
                self.crawl(now, lines);
                self.counts.crawler += 1;
                Some(now + self.exponential(self.crawler_gap_us))
            }
            Actor::Probe => {
                let ids = Ids::default();
                lines.push(&machine(now, PROBE_ADDRESS, PROBE_AGENT, &HEALTH, &ids));
                self.counts.probe += 1;
                Some(now + PROBE_INTERVAL_US)
            }
            Actor::Partner(exported) => {
                *exported += 1;
                let ids = Ids { order: 1_000_000 + *exported, ..Ids::default() };
                lines.push(&machine(now, PARTNER_ADDRESS, PARTNER_AGENT, &ORDER, &ids));
                self.counts.partner += 1;
                Some(if *exported % EXPORT_ORDERS == 0 { next_export(now) } else { now + EXPORT_GAP_US })
            }
            Actor::Gone => None,
        }
    }

    /// A crawler reads pages in no order that people would, some of them long gone.
    fn crawl(&mut self, now: i64, lines: &mut Lines) {
        let rank = self.rng.random_range(1..=PRODUCTS);
        let ids = Ids { product: product_of_rank(rank), look: rank, ..Ids::default() };
        let request = match self.rng.random_range(0..100) {
            0 => &ROBOTS,
            1..4 => &RETIRED_PAGE,
            _ => &PRODUCT_PAGE,
        };
        lines.push(&machine(now, CRAWLER_ADDRESS, CRAWLER_AGENT, request, &ids));
    }

    fn add(&mut self, actor: Actor, time_us: i64) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.actors.push(Actor::Gone);
            self.actors.len() - 1
        });
        self.actors[place] = actor;
        self.queue.push(Reverse((time_us, place)));
    }

    /// The next arrival of a Poisson process whose rate follows the hour of the week, by thinning (Lewis, Shedler 1979).
    fn arrival_after(&mut self, mut time_us: i64) -> i64 {
        loop {
            time_us += self.exponential(1e6 / self.peak_arrivals);
            if self.rng.random::<f64>() * self.week.max_factor() < self.week.factor(time_us) {
                return time_us;
            }
        }
    }

    /// An exponentially distributed time in µs, at least 1.
    fn exponential(&mut self, mean_us: f64) -> i64 {
        let unit: f64 = Exp1.sample(&mut self.rng);
        (unit * mean_us) as i64 + 1
    }
}

/// An entry of a machine: it sends no referer and gets the usual answer.
fn machine<'a>(
    time_us: i64,
    address: &'static str,
    agent: &'static str,
    request: &'static Request,
    ids: &'a Ids,
) -> Entry<'a> {
    Entry { time_us, address, request, ids, status: request.status, referer: None, agent }
}

/// The first time after `time_us` at which the partner's export begins.
fn next_export(time_us: i64) -> i64 {
    let today = time_us - time_us.rem_euclid(DAY_US) + EXPORT_HOUR_US;
    if today > time_us { today } else { today + DAY_US }
}
