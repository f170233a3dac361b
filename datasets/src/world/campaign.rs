//! Carries out a [`Plan`]: request by request, without remembering more than the truth needs.

use super::actor::Actor;
use super::plan::{Agent, Kind, Order, Pace, Plan, Turns};
use super::report::CampaignTruth;
use crate::clients::{CAMPAIGN_ADDRESS, agent};
use crate::daytime::Week;
use crate::ids::{account_id, push_token, push_uuid};
use crate::line::{Lines, SITE, Wire, push_number};
use crate::random::{Permutation, mix2, unit};
use crate::scenario::micros;
use crate::truth::Recorder;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, LogNormal};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// As many addresses as there are in 100.64.0.0/11.
pub(super) const MOST_IDENTITIES: u64 = 1 << 21;
/// The lowest id that is asked for.
const FIRST_ID: u64 = 1_000;
/// The ids of one identity of [`Turns::Blocks`].
const BLOCK_IDS: u64 = 100_000;
const SIGMA: f64 = 1.2;
/// Where decoys go: what anybody looks at.
const DECOYS: [&str; 4] =
    ["/v1/products/", "/v1/products/1000", "/v1/stores/", "/v1/products?sort=popular&limit=20&page="];

/// A campaign under way. It draws from a generator of its own: the lines around it are those of the same log without it.
#[derive(Debug)]
pub(crate) struct Campaign {
    plan: Plan,
    seed: u64,
    /// Which of the world's campaigns it is.
    nth: u64,
    start_us: i64,
    end_us: i64,
    week: Week,
    rng: ChaCha8Rng,
    shuffle: Permutation,
    gaps: LogNormal<f64>,
    next_us: Option<i64>,
    /// Requests for records so far, and decoys left before the next.
    requests: u64,
    decoys_left: u64,
    recorder: Recorder,
    target: String,
    address: String,
    user: String,
    /// A bit for each identity that has been used.
    seen: Vec<u64>,
}

impl Campaign {
    pub(super) fn new(plan: &Plan, seed: u64, nth: u64, log_start_us: i64, week: Week) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(mix2(seed, nth));
        rng.set_stream(2);
        let start_us = log_start_us.saturating_add(micros(plan.start));
        Self {
            seed: mix2(mix2(seed, 3), nth),
            nth,
            start_us,
            end_us: plan.duration.map_or(i64::MAX, |duration| start_us.saturating_add(micros(duration))),
            week,
            rng,
            shuffle: Permutation::new(plan.catalogue.max(1), mix2(seed, nth)),
            // The mean is 1.
            gaps: LogNormal::new(-SIGMA * SIGMA / 2.0, SIGMA).expect("a positive deviation"),
            next_us: Some(start_us),
            requests: 0,
            decoys_left: 0,
            recorder: Recorder::default(),
            plan: plan.clone(),
            target: String::new(),
            address: String::new(),
            user: String::new(),
            seen: vec![0; plan.identities.div_ceil(64) as usize],
        }
    }

    pub(super) fn into_truth(mut self) -> Option<CampaignTruth> {
        let leaked_us = self.recorder.take_times();
        let used = |&identity: &u64| self.seen[(identity / 64) as usize] & (1 << (identity % 64)) != 0;
        let mut clients: Vec<String> =
            (0..self.plan.identities).filter(used).map(|identity| self.address_of(identity)).collect();
        clients.dedup();
        let first = self.address_of(0);
        let campaign = self.recorder.finish(&first, self.plan.route)?;
        Some(CampaignTruth { plan: self.plan, clients, campaign, leaked_us })
    }

    /// Whose turn the request is, and which of that one's requests it is.
    fn turn(&self, request: u64) -> (u64, u64) {
        let n = self.plan.identities;
        match self.plan.turns {
            Turns::Drawn => (mix2(self.seed, request) % n, request),
            Turns::InTurn | Turns::Blocks => (request % n, request / n),
        }
    }

    /// The ids of a request: places in the catalogue.
    fn ids(&self, request: u64, identity: u64, own: u64) -> impl Iterator<Item = u64> + use<'_> {
        let first = match self.plan.turns {
            Turns::Blocks => identity * BLOCK_IDS + own * self.plan.batch,
            _ => request * self.plan.batch,
        };
        (first..first + self.plan.batch).map(|place| match self.plan.order {
            Order::Sequential => FIRST_ID + place,
            Order::Random => FIRST_ID + self.shuffle.at(place % self.plan.catalogue),
            Order::PopularFirst => account_id(place + 1),
        })
    }

    fn exists(&self, id: u64) -> bool {
        unit(mix2(self.seed, id)) < self.plan.hit_ratio
    }

    fn address_of(&self, identity: u64) -> String {
        match self.plan.kind {
            Kind::Prefix => {
                let prefix = 0x2001_0db8_ffff_u128 << 80 | u128::from(identity & 0xffff) << 64;
                Ipv6Addr::from(prefix | 1).to_string()
            }
            Kind::MintedUser | Kind::MintedForwarded => CAMPAIGN_ADDRESS.to_owned(),
            Kind::Address | Kind::Account if self.plan.identities == 1 && self.nth == 0 => CAMPAIGN_ADDRESS.to_owned(),
            // Neighbours do not stand beside one another (an odd factor is a bijection), nor do campaigns meet.
            Kind::Address | Kind::Account => {
                let place = (identity + self.nth * 40_503).wrapping_mul(0x9e37_79b1) & (MOST_IDENTITIES - 1);
                Ipv4Addr::from(0x6440_0000 | place as u32).to_string()
            }
        }
    }

    fn agent(&self, identity: u64) -> &'static str {
        match self.plan.agent {
            Agent::Browser => agent(false, 0),
            Agent::Browsers => agent(false, mix2(self.seed, identity)),
            Agent::App => agent(true, mix2(self.seed, identity)),
            Agent::Tool => "python-requests/2.32.3",
        }
    }

    fn write(&mut self, now: i64, identity: u64, status: u16, bytes: u64, lines: &mut Lines) {
        self.seen[(identity / 64) as usize] |= 1 << (identity % 64);
        self.address = self.address_of(identity);
        self.user.clear();
        let minted = mix2(self.seed, self.requests);
        let mut forwarded = String::new();
        match self.plan.kind {
            Kind::Account => drop(write!(self.user, "acct{identity:05}")),
            Kind::MintedUser => drop(write!(self.user, "u{minted:x}")),
            Kind::MintedForwarded => forwarded = Ipv4Addr::from(minted as u32).to_string(),
            Kind::Address | Kind::Prefix => {}
        }
        let page = [SITE, "/account"].concat();
        lines.push_wire(&Wire {
            time_us: now,
            address: &self.address,
            user: &self.user,
            forwarded: &forwarded,
            method: self.plan.method,
            target: &self.target,
            status,
            bytes,
            referer: if self.plan.agent == Agent::Browsers { &page } else { "" },
            agent: self.agent(identity),
        });
    }

    fn steal(&mut self, now: i64, lines: &mut Lines) {
        let (identity, own) = self.turn(self.requests);
        let ids: Vec<(u64, bool)> = self.ids(self.requests, identity, own).map(|id| (id, self.exists(id))).collect();
        let mut target = std::mem::take(&mut self.target);
        fill(self.plan.target, &ids, self.requests, self.plan.batch, &mut target);
        self.target = target;
        let hit = ids.iter().any(|&(_, hit)| hit);
        let status = if hit || self.plan.soft_misses { 200 } else { 404 };
        let size = ids.iter().map(|&(id, hit)| if hit { 310 + mix2(310, id) % 620 } else { 40 }).sum();
        self.write(now, identity, status, if status == 404 { 95 } else { size }, lines);
        self.recorder.batch(now, ids.into_iter());
        self.requests += 1;
        self.decoys_left = self.plan.decoys;
    }

    fn distract(&mut self, now: i64, lines: &mut Lines) {
        let (identity, _) = self.turn(self.requests.saturating_sub(1));
        let chance: u64 = self.rng.random_range(0..10_000);
        self.target.clear();
        self.target.push_str(DECOYS[(chance % 4) as usize]);
        let number = match chance % 4 {
            0 => 100_001 + chance * 2,
            1 => 10 + chance % 90,
            2 => 1 + chance % 400,
            _ => 1 + chance % 5,
        };
        let _ = write!(self.target, "{number}");
        self.write(now, identity, 200, 2_400 + chance, lines);
        self.decoys_left -= 1;
    }

    /// µs until the next request.
    fn gap_us(&mut self, now: i64) -> i64 {
        let mean = 1e6 / (self.plan.rate * (1 + self.plan.decoys) as f64);
        let even = self.rng.random_range(0.5..1.5);
        let gap = match self.plan.pace {
            Pace::Steady => mean * even,
            Pace::Human => mean * self.gaps.sample(&mut self.rng) / self.week.factor(now),
            Pace::Ramp(daily) => mean * even / daily.powf((now - self.start_us) as f64 / super::DAY_US as f64),
            Pace::StopAndGo(busy, silent) => {
                let into = ((now - self.start_us) / 1_000_000).rem_euclid(busy + silent);
                mean * even + if into >= busy { (busy + silent - into) as f64 * 1e6 } else { 0.0 }
            }
        };
        (gap as i64).max(1)
    }

    fn is_over(&self, next: i64) -> bool {
        next >= self.end_us
            || (self.requests + 1) * self.plan.batch > self.plan.catalogue
            || self.plan.records.is_some_and(|most| self.recorder.records() >= most)
    }
}

impl Actor for Campaign {
    fn next_us(&self) -> Option<i64> {
        self.next_us
    }

    fn act(&mut self, lines: &mut Lines) {
        let Some(now) = self.next_us else { return };
        if self.decoys_left > 0 {
            self.distract(now, lines);
        } else {
            self.steal(now, lines);
        }
        let next = now.saturating_add(self.gap_us(now));
        self.next_us = (!self.is_over(next)).then_some(next);
    }
}

/// Writes the target of a request for these ids, which is the campaign's request number `nth`.
fn fill(template: &str, ids: &[(u64, bool)], nth: u64, batch: u64, out: &mut String) {
    out.clear();
    let id = ids.first().map_or(0, |&(id, _)| id);
    let Some((before, (name, after))) =
        template.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return out.push_str(template);
    };
    out.push_str(before);
    let _ = match name {
        "uuid" => {
            let mut uuid = Vec::with_capacity(36);
            push_uuid(&mut uuid, mix2(4, id));
            out.push_str(std::str::from_utf8(&uuid).unwrap_or_default());
            Ok(())
        }
        "email" => write!(out, "user{id}@mail.example"),
        "phone" => write!(out, "%2B4915{:09}", mix2(9, id) % 1_000_000_000),
        "tag" => {
            let mut tag = Vec::with_capacity(16);
            push_token(&mut tag, mix2(11, id));
            out.push_str(std::str::from_utf8(&tag).unwrap_or_default());
            Ok(())
        }
        "page" => write!(out, "{}", nth + 1),
        "offset" => write!(out, "{}", nth * batch),
        "ids" => {
            let mut list = Vec::new();
            for (place, &(id, _)) in ids.iter().enumerate() {
                list.extend_from_slice(if place > 0 { b"," } else { b"" });
                push_number(&mut list, id);
            }
            out.push_str(std::str::from_utf8(&list).unwrap_or_default());
            Ok(())
        }
        _ => write!(out, "{id}"),
    };
    out.push_str(after);
}
