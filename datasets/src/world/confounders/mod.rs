//! Those who mean no harm and look as if they did, one file each. A confounder writes the requests of one day at a time, so that
//! it can be written as a loop; [`Daily`] makes a stream of them.
//!
//! Declared crawlers, offices, health probes and list views of 20 to 50 items are part of the everyday traffic (`benign`).

use super::actor::Actor;
use crate::clients::agent;
use crate::daytime::Week;
use crate::line::{Lines, SITE, Wire};
use crate::random::mix2;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::net::Ipv4Addr;

/// Lists the confounders; each is a file with a `CONFOUNDER`.
macro_rules! confounders {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        /// All of them.
        pub static ALL: &[Confounder] = &[$($name::CONFOUNDER),*];
    };
}

confounders![
    app_release,
    background_scanning,
    broken_release,
    cache_warmer,
    carriers,
    catalogue_import,
    device_sync,
    everyday,
    flash_crowd,
    holiday,
    key_rotation,
    large_lists,
    late_logs,
    link_checker,
    mail_blast,
    offline_replay,
    partner_export,
    retry_storm,
    stale_credential,
    summer_time,
];

pub use holiday::NAME as HOLIDAY;
pub use summer_time::NAME as SUMMER_TIME;

/// Who it is, and what they do on a day.
pub struct Confounder {
    /// How it is called on the command line and in the truth.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    day: fn(&mut Day),
}

impl std::fmt::Debug for Confounder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The confounder of this name.
pub fn named(name: &str) -> Option<&'static Confounder> {
    ALL.iter().find(|confounder| confounder.name == name)
}

/// One day of a confounder, as it is being written.
pub(super) struct Day {
    /// How many days the log has had before.
    number: u64,
    start_us: i64,
    /// Requests a second of the site's people.
    rate: f64,
    week: Week,
    rng: ChaCha8Rng,
    /// The first address of its block.
    block: u32,
    events: Vec<Event>,
}

/// A request.
struct Event {
    time_us: i64,
    /// It is logged so much later.
    late_us: i64,
    /// Which of the block's addresses.
    address: u32,
    user: &'static str,
    method: &'static str,
    target: String,
    status: u16,
    bytes: u64,
    referer: bool,
    agent: &'static str,
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

impl Day {
    /// A number that has the mean `per_day` on a site of one request a second, and grows with the site.
    fn count(&mut self, per_day: f64) -> u64 {
        let mean = per_day * self.rate;
        let whole = mean.floor();
        whole as u64 + u64::from(self.rng.random_bool(mean - whole))
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.rng.random_range(0..n.max(1))
    }

    /// A time of the day when people are awake, µs since 1970.
    fn busy_time(&mut self) -> i64 {
        loop {
            let time = self.start_us + self.rng.random_range(0..24 * HOUR);
            if self.rng.random::<f64>() * self.week.max_factor() < self.week.factor(time) {
                return time;
            }
        }
    }

    fn at(&self, hour: i64, minute: i64) -> i64 {
        self.start_us + hour * HOUR + minute * MINUTE
    }

    /// A size between a half and one and a half of the mean.
    fn size(&mut self, mean: u64) -> u64 {
        mean / 2 + self.below(mean)
    }

    /// A successful GET by the app, or by whoever `agent` says.
    fn get(&mut self, time_us: i64, address: u64, target: String, bytes: u64, agent: &'static str) {
        self.add(time_us, address, "GET", target, 200, bytes, agent);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a line")]
    fn add(
        &mut self,
        time_us: i64,
        address: u64,
        method: &'static str,
        target: String,
        status: u16,
        bytes: u64,
        agent: &'static str,
    ) {
        let event = Event {
            time_us,
            late_us: 0,
            address: address as u32 & 0xffff,
            user: "",
            method,
            target,
            status,
            bytes,
            referer: false,
            agent,
        };
        self.events.push(event);
    }

    /// The request written last came from a page.
    fn mark_from_page(&mut self) {
        if let Some(event) = self.events.last_mut() {
            event.referer = true;
        }
    }
}

/// A browser of some kind, by a number.
fn browser(number: u64) -> &'static str {
    agent(false, mix2(21, number))
}

/// The site's app of some version, by a number.
fn app(number: u64) -> &'static str {
    agent(true, mix2(22, number))
}

/// A confounder as a stream.
pub(super) struct Daily {
    confounder: &'static Confounder,
    day: Day,
    seed: u64,
    /// The next event of the day, and what the end of a day has left for the next.
    next: usize,
    address: String,
}

impl Daily {
    pub(super) fn new(confounder: &'static Confounder, seed: u64, log_start_us: i64, rate: f64, week: Week) -> Self {
        let place = ALL.iter().position(|c| c.name == confounder.name).unwrap_or(0) as u32;
        let day = Day {
            number: 0,
            start_us: log_start_us - log_start_us.rem_euclid(24 * HOUR),
            rate,
            week,
            rng: ChaCha8Rng::seed_from_u64(0),
            block: 0x6460_0000 + (place << 16),
            events: Vec::new(),
        };
        let mut daily = Self { confounder, day, seed, next: 0, address: String::new() };
        daily.write_day();
        daily.next = daily.day.events.partition_point(|event| event.logged_us() < log_start_us);
        daily.skip_empty_days();
        daily
    }

    /// What was begun before midnight stays among the events.
    fn write_day(&mut self) {
        self.day.events.drain(..self.next);
        self.next = 0;
        let place = u64::from(self.day.block);
        self.day.rng = ChaCha8Rng::seed_from_u64(mix2(mix2(self.seed, place), self.day.number));
        (self.confounder.day)(&mut self.day);
        self.day.events.sort_by_key(Event::logged_us);
    }

    /// A day is written as soon as the one before has nothing left that is logged before its midnight.
    fn skip_empty_days(&mut self) {
        // (a confounder that writes nothing for ever would not end)
        for _ in 0..5_000 {
            let midnight = self.day.start_us + 24 * HOUR;
            if self.day.events.get(self.next).is_some_and(|event| event.logged_us() < midnight) {
                return;
            }
            self.day.number += 1;
            self.day.start_us = midnight;
            self.write_day();
        }
    }
}

impl Event {
    fn logged_us(&self) -> i64 {
        self.time_us + self.late_us
    }
}

impl Actor for Daily {
    fn next_us(&self) -> Option<i64> {
        self.day.events.get(self.next).map(Event::logged_us)
    }

    fn act(&mut self, lines: &mut Lines) {
        use std::fmt::Write as _;
        let Some(event) = self.day.events.get(self.next) else { return };
        self.address.clear();
        let _ = write!(self.address, "{}", Ipv4Addr::from(self.day.block + event.address));
        lines.push_wire(&Wire {
            time_us: event.time_us,
            address: &self.address,
            user: event.user,
            forwarded: "",
            method: event.method,
            target: &event.target,
            status: event.status,
            bytes: event.bytes,
            referer: if event.referer { SITE } else { "" },
            agent: event.agent,
        });
        self.next += 1;
        self.skip_empty_days();
    }
}
