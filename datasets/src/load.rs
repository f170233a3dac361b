//! Logs for load tests: as many lines as wanted, fast, of a shape that is simple to reason about.
//!
//! [`write`] is not the simulator of [`crate::generate`]: nobody browses here. Line `n` is a function of the seed and
//! `n` alone, so nothing is remembered and the same [`Load`] always gives the same bytes.
//!
//! - *Time* passes evenly: line `n` stands at `start + n / rate`, to the second, as nginx writes it.
//! - *Steady clients*, half of them, come one after the other, each once in [`Load::steady_seconds`]: once a minute, or
//!   as seldom as keeps them at half of the lines. They are what makes state large: as many groups a window as there are
//!   clients, nearly all of them rare.
//! - *Busy clients*, the other half, share the other lines by a law like Zipf's with exponent 1: the client of rank `k`
//!   of `m` gets about `1 / (k ln m)` of them. Of 50,000 the first gets 6 %, the last one in 500,000.
//! - *Requests* are those of the simulated shop. A client asks for the same 250 objects of a kind again and again, so
//!   that even the busiest, who asks for two kinds on some routes, is below a threshold on enumeration.
//! - *The campaign* is the one client that enumerates ([`CAMPAIGN_ADDRESS`]): around the middle of the log one line in
//!   twenty, 5,000 lines at most, reads the next account.
//!
//! Addresses come from 198.18.0.0/15 (RFC 2544); clients after the first 131,072 have one from 10.0.0.0/8 (RFC 1918).

use crate::BLOCK;
use crate::catalogue::{LOGIN, LOGIN_TYPO, OWN, PUBLIC, Page, Request, USER, Weighted};
use crate::clients::{CAMPAIGN_ADDRESS, CAMPAIGN_AGENT, agent};
use crate::ids::{Ids, PRODUCTS, account_id, order_id, product_of_rank};
use crate::line::{Entry, Lines};
use crate::random::{Permutation, mix, mix2, unit};
use jiff::{SignedDuration, Timestamp, tz::Offset};
use serde::Serialize;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Addresses in 198.18.0.0/15 and in 10.0.0.0/8.
const BENCHMARK_ADDRESSES: u64 = 1 << 17;
const PRIVATE_ADDRESSES: u64 = 1 << 24;
/// The most clients that a load can have.
pub const MAX_CLIENTS: u64 = BENCHMARK_ADDRESSES + PRIVATE_ADDRESSES;
/// How often a steady client comes, seconds, if there are lines enough.
const MINUTE: f64 = 60.0;
/// The objects of a kind that a client asks for.
const OBJECTS: u64 = 250;
/// One line in so many is the campaign's, while it lasts.
const CAMPAIGN_STRIDE: u64 = 20;
/// What the campaign reads at most, and the lowest account id of it.
const CAMPAIGN_REQUESTS: u64 = 5_000;
const CAMPAIGN_FIRST_ID: u64 = 1_000;
/// Ten years.
const LONGEST_SECONDS: f64 = 10.0 * 366.0 * 86_400.0;

/// A log for a load test.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Everything random follows from this number.
    pub seed: u64,
    /// The first instant of the log, years 1970 to 5000.
    pub start: Timestamp,
    /// Lines, at least one.
    pub lines: u64,
    /// Clients that there are beside the campaign's, 2 to [`MAX_CLIENTS`].
    pub clients: u64,
    /// Lines a second of event time. The log spans at most ten years.
    pub rate: f64,
}

/// What is wrong with a load.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// See [`Load::start`].
    #[error("the log cannot start at {0}; choose a date in the years 1970 to 5000")]
    Start(Timestamp),
    /// See [`Load::clients`].
    #[error("a log of {0} clients cannot be written; choose from 2 to {MAX_CLIENTS}")]
    Clients(u64),
    /// See [`Load::lines`] and [`Load::rate`].
    #[error("a log must hold at least one line and span at most ten years; change --lines, --rate or --span")]
    Length,
}

/// What is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadTruth {
    /// Lines.
    pub lines: u64,
    /// Different clients, the campaign's included.
    pub clients: u64,
    /// The times of the first line and of the last.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
    /// The address of the campaign's client.
    pub campaign_client: &'static str,
    /// Its lines; as many different accounts. 0 in a log of fewer than 20 lines.
    pub campaign_requests: u64,
}

impl Load {
    /// A rate at which steady clients come once a minute and make 42 % of the lines: one line in 50 s for each client.
    pub fn usual_rate(clients: u64) -> f64 {
        clients as f64 / 50.0
    }

    /// The rate at which `lines` span so much event time; no usable one if that is not above 0.
    pub fn rate_over(lines: u64, span: SignedDuration) -> f64 {
        lines as f64 / span.as_secs_f64()
    }

    /// Whether the log can be written; the first thing wrong with it otherwise.
    pub fn check(&self) -> Result<(), LoadError> {
        if !(1970..=5000).contains(&Offset::UTC.to_datetime(self.start).year()) {
            return Err(LoadError::Start(self.start));
        }
        if !(2..=MAX_CLIENTS).contains(&self.clients) {
            return Err(LoadError::Clients(self.clients));
        }
        // (what is no number is in no range either)
        if self.lines == 0
            || !(f64::MIN_POSITIVE..=f64::MAX).contains(&self.rate)
            || !(0.0..=LONGEST_SECONDS).contains(&(self.lines as f64 / self.rate))
        {
            return Err(LoadError::Length);
        }
        Ok(())
    }

    /// How often each of the steady clients comes, seconds.
    pub fn steady_seconds(&self) -> f64 {
        self.steady_clients() as f64 / (self.steady_share() * self.rate)
    }

    fn steady_clients(&self) -> u64 {
        self.clients / 2
    }

    /// The share of the lines that steady clients make.
    fn steady_share(&self) -> f64 {
        (self.steady_clients() as f64 / MINUTE / self.rate).min(0.5)
    }

    fn time_us(&self, n: u64) -> i64 {
        self.start.as_microsecond().saturating_add((n as f64 * 1e6 / self.rate) as i64)
    }

    fn campaign_requests(&self) -> u64 {
        (self.lines / CAMPAIGN_STRIDE).min(CAMPAIGN_REQUESTS)
    }

    /// How many requests of the campaign came before line `n`, and whether that line is the campaign's.
    fn campaign_at(&self, n: u64) -> (u64, bool) {
        let span = self.campaign_requests() * CAMPAIGN_STRIDE;
        let since = n.saturating_sub((self.lines - span) / 2).min(span);
        let began = n >= (self.lines - span) / 2;
        (since.div_ceil(CAMPAIGN_STRIDE), began && since < span && since.is_multiple_of(CAMPAIGN_STRIDE))
    }
}

/// Writes the log. Memory: a bit for each client.
pub fn write(load: &Load, out: &mut impl Write) -> io::Result<LoadTruth> {
    let mut crowd = Crowd::new(load);
    let mut lines = Lines::default();
    for n in 0..load.lines {
        match load.campaign_at(n) {
            (before, true) => campaign_line(load.time_us(n), before, &mut lines),
            (before, false) => crowd.line(n - before, load.time_us(n), &mut lines),
        }
        if lines.buffer.len() >= BLOCK {
            out.write_all(&lines.buffer)?;
            lines.buffer.clear();
        }
    }
    out.write_all(&lines.buffer)?;
    out.flush()?;
    let second = |n| Timestamp::from_second(load.time_us(n).div_euclid(1_000_000)).unwrap_or(load.start);
    Ok(LoadTruth {
        lines: load.lines,
        clients: crowd.seen.count() + u64::from(load.campaign_requests() > 0),
        first: second(0),
        last: second(load.lines - 1),
        campaign_client: CAMPAIGN_ADDRESS,
        campaign_requests: load.campaign_requests(),
    })
}

fn campaign_line(time_us: i64, request: u64, lines: &mut Lines) {
    lines.push(&Entry {
        time_us,
        address: CAMPAIGN_ADDRESS,
        request: &USER,
        ids: &Ids { account: CAMPAIGN_FIRST_ID + request, ..Ids::default() },
        status: 200,
        referer: None,
        agent: CAMPAIGN_AGENT,
    });
}

/// Everybody but the campaign.
struct Crowd<'a> {
    load: &'a Load,
    steady_clients: u64,
    steady_share: f64,
    /// The order in which steady clients come in one round of them, and the number of the round.
    round: (Permutation, u64),
    busy_clients: f64,
    browser: Choices,
    app: Choices,
    address: String,
    seen: Set,
}

impl<'a> Crowd<'a> {
    fn new(load: &'a Load) -> Self {
        Self {
            load,
            steady_clients: load.steady_clients(),
            steady_share: load.steady_share(),
            round: (Permutation::new(load.steady_clients(), mix2(load.seed, 0)), 0),
            busy_clients: (load.clients - load.steady_clients()) as f64,
            browser: Choices::new(|page| page.web.iter().chain(page.api)),
            app: Choices::new(|page| [].iter().chain(page.api)),
            address: String::new(),
            seen: Set::new(load.clients),
        }
    }

    /// Line `n` of those that are not the campaign's.
    fn line(&mut self, n: u64, time_us: i64, lines: &mut Lines) {
        let chance = mix2(self.load.seed, n);
        let client = self.client(n, chance);
        self.seen.insert(client);
        let app = mix2(client, 1) % 100 < 45;
        let choice = mix(chance);
        let (page, request) = if app { &self.app } else { &self.browser }.of(choice);
        let object = mix2(client, (choice >> 32) % OBJECTS);
        let account = account_id(client);
        let ids = Ids {
            account,
            author: account_id(object % self.load.clients),
            product: product_of_rank(object % PRODUCTS),
            order: order_id(account, object),
            look: object,
        };
        self.address.clear();
        push_address(client, &mut self.address);
        lines.push(&Entry {
            time_us,
            address: &self.address,
            request,
            ids: &ids,
            status: request.answer((chance % 100_000) as i32),
            referer: (!app).then_some(page.path),
            agent: agent(app, mix2(client, 2)),
        });
    }

    /// Whose line `n` is.
    fn client(&mut self, n: u64, chance: u64) -> u64 {
        let steady_before = (n as f64 * self.steady_share) as u64;
        if ((n + 1) as f64 * self.steady_share) as u64 == steady_before {
            // For u even in 0..1, (m + 1)^u has the density 1 / (x ln (m + 1)).
            let rank = (self.busy_clients + 1.0).powf(unit(chance)).min(self.busy_clients) as u64;
            return self.steady_clients + rank.max(1) - 1;
        }
        let round = steady_before / self.steady_clients;
        if round != self.round.1 {
            self.round = (Permutation::new(self.steady_clients, mix2(self.load.seed, round)), round);
        }
        self.round.0.at(steady_before % self.steady_clients)
    }
}

/// What may be asked for, each as often as its weight says.
struct Choices(Vec<(&'static Page, &'static Request)>);

impl Choices {
    fn new<I: Iterator<Item = &'static Request>>(requests: impl Fn(&'static Page) -> I) -> Self {
        static SIGN_INS: [(u32, &Page); 2] = [(10, &LOGIN), (1, &LOGIN_TYPO)];
        let pages = PUBLIC.iter().chain(OWN).map(|(weight, page): &'static Weighted| (*weight, page)).chain(SIGN_INS);
        let repeated =
            |(weight, page)| requests(page).flat_map(move |request| (0..weight).map(move |_| (page, request)));
        Self(pages.flat_map(repeated).collect())
    }

    fn of(&self, chance: u64) -> (&'static Page, &'static Request) {
        // The low half of the bits, scaled (Lemire 2019).
        self.0[(((chance & 0xffff_ffff) * self.0.len() as u64) >> 32) as usize]
    }
}

/// A set of small numbers.
struct Set(Vec<u64>);

impl Set {
    fn new(size: u64) -> Self {
        Self(vec![0; size.div_ceil(64) as usize])
    }

    fn insert(&mut self, number: u64) {
        self.0[(number / 64) as usize] |= 1 << (number % 64);
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// Each client has an address of its own; neighbours do not stand beside one another (an odd factor is a bijection).
fn push_address(client: u64, out: &mut String) {
    let scattered = |number: u64, size: u64| (number.wrapping_mul(0x9e37_79b1) & (size - 1)) as u32;
    let address = match client.checked_sub(BENCHMARK_ADDRESSES) {
        None => 0xc612_0000 | scattered(client, BENCHMARK_ADDRESSES),
        Some(number) => 0x0a00_0000 | scattered(number, PRIVATE_ADDRESSES),
    };
    for (place, part) in Ipv4Addr::from(address).octets().into_iter().enumerate() {
        if place > 0 {
            out.push('.');
        }
        push_octet(part, out);
    }
}

/// In decimal. (The standard library's formatting of an address took a fifth of the time of a line.)
fn push_octet(value: u8, out: &mut String) {
    for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
        if value >= least {
            out.push(char::from(b'0' + value / unit % 10));
        }
    }
}
