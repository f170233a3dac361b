//! Who visits: addresses, agents and accounts. Everything about a client follows from the seed and the client's
//! number, so that a client that comes back is the same without being remembered.

use crate::ids::account_id;
use crate::mix::Mix;
use crate::random::{mix, mix2};
use rand::Rng;
use rand_distr::{Distribution as _, Zipf};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The address of the declared crawler. It is the one that Google's page on verifying Googlebot uses as its example,
/// so that address lists and reverse look-ups agree with the agent. Every other simulated address is reserved.
pub const CRAWLER_ADDRESS: &str = "66.249.66.1";
/// The address of the health probe.
pub const PROBE_ADDRESS: &str = "192.0.2.10";
/// The address of the partner that exports orders each night.
pub const PARTNER_ADDRESS: &str = "192.0.2.20";
/// The address of the campaign's client.
pub const CAMPAIGN_ADDRESS: &str = "192.0.2.200";

pub(crate) const CRAWLER_AGENT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
pub(crate) const PROBE_AGENT: &str = "kube-probe/1.31";
pub(crate) const PARTNER_AGENT: &str = "ExamplePartnerSync/2.3 (+https://partner.example.com)";
/// The campaign's agent is the commonest browser: nothing to be found by.
pub(crate) const CAMPAIGN_AGENT: &str = BROWSERS[0];

const BROWSERS: [&str; 10] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:136.0) Gecko/20100101 Firefox/136.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36 Edg/134.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
];
const APPS: [&str; 4] = [
    "ExampleShop/7.12.0 (iPhone; iOS 18.3.1; Scale/3.00)",
    "ExampleShop/7.11.2 (iPhone; iOS 17.7; Scale/2.00)",
    "ExampleShop/7.12.0 (Android 15; Pixel 8) okhttp/4.12.0",
    "ExampleShop/7.10.4 (Android 13; SM-A536B) okhttp/4.12.0",
];

/// The share of sessions that come from an office.
const OFFICE_SHARE: f64 = 0.15;
/// The share of sessions by clients never seen before, of those outside offices.
const NEW_SHARE: f64 = 0.45;
const LARGEST_OFFICE: u64 = 300;
const SMALLEST_OFFICE: u64 = 40;

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) address: String,
    pub(crate) agent: &'static str,
    /// Whether this is the shop's app rather than a browser.
    pub(crate) app: bool,
    /// The account's id.
    pub(crate) account: u64,
    /// Whether the visitor uses the account; otherwise the session is anonymous.
    pub(crate) signed_in: bool,
}

/// Everybody who may visit a site of a given size.
#[derive(Debug)]
pub(crate) struct Population {
    seed: u64,
    /// Clients that return, numbered from 1; the heaviest first.
    returning: Zipf<f64>,
    /// The number of the next client that was never seen before.
    next_new: u64,
    offices: u64,
}

impl Population {
    /// The people behind a mean of `rate` requests a second: 1,000 returning clients for each request a second, and
    /// an office for each two.
    pub(crate) fn new(seed: u64, rate: f64, mix: &Mix) -> Self {
        let returning = (rate * 1_000.0).ceil().max(100.0);
        Self {
            seed,
            returning: Zipf::new(returning, 1.0 / mix.hill).expect("at least 100 clients"),
            next_new: returning as u64 + 1,
            offices: 1 + (rate / 2.0) as u64,
        }
    }

    /// Whoever begins a session now.
    pub(crate) fn visitor(&mut self, rng: &mut impl Rng) -> Visitor {
        if rng.random_bool(OFFICE_SHARE) {
            return self.office_worker(rng);
        }
        let number = if rng.random_bool(NEW_SHARE) {
            self.next_new += 1;
            self.next_new - 1
        } else {
            self.returning.sample(rng) as u64
        };
        let app = self.trait_of(1, number) % 100 < 45;
        Visitor {
            address: home_address(number, rng.random()),
            agent: agent(app, self.trait_of(2, number)),
            app,
            account: account_id(2 * number),
            signed_in: self.trait_of(3, number) % 100 < if app { 80 } else { 40 },
        }
    }

    /// A hash by which somebody is this or that.
    fn trait_of(&self, which: u64, number: u64) -> u64 {
        mix2(mix2(self.seed, which), number)
    }

    /// Somebody at one of the offices, each office in proportion to its people.
    fn office_worker(&self, rng: &mut impl Rng) -> Visitor {
        let (office, people) = loop {
            let office = rng.random_range(0..self.offices);
            let people = SMALLEST_OFFICE + self.trait_of(4, office) % (LARGEST_OFFICE - SMALLEST_OFFICE + 1);
            if rng.random_range(0..LARGEST_OFFICE) < people {
                break (office, people);
            }
        };
        let person = office * LARGEST_OFFICE + rng.random_range(0..people);
        Visitor {
            address: office_address(office).to_string(),
            agent: common_first(&BROWSERS, self.trait_of(5, person)),
            app: false,
            account: account_id(2 * person + 1),
            signed_in: self.trait_of(6, person) % 100 < 40,
        }
    }
}

/// Half of the homes have an IPv4 address of their own, half an IPv6 prefix (/64) within which each session has
/// another address. IPv4 addresses come from 198.51.100.0/24 and 203.0.113.0/24 (RFC 5737) and, once those are used
/// up, from 198.18.0.0/16 (RFC 2544), where after 65,536 clients somebody else gets the same address.
fn home_address(number: u64, session: u64) -> String {
    let nth = number / 2;
    if number % 2 == 1 {
        let prefix = 0x2001_0db8_u128 << 96 | u128::from(scatter(nth)) << 64;
        return Ipv6Addr::from(prefix | u128::from(session)).to_string();
    }
    let host = (nth % 254) as u8 + 1;
    match nth / 254 {
        0 => Ipv4Addr::new(198, 51, 100, host),
        1 => Ipv4Addr::new(203, 0, 113, host),
        _ => Ipv4Addr::from(0xc612_0000 | (scatter(nth) & 0xffff)),
    }
    .to_string()
}

/// Offices stand in 192.0.2.100 to 192.0.2.199, and in 198.19.0.0/16 if there are more than a hundred.
fn office_address(office: u64) -> Ipv4Addr {
    match u8::try_from(office) {
        Ok(host @ 0..100) => Ipv4Addr::new(192, 0, 2, 100 + host),
        _ => Ipv4Addr::from(0xc613_0000 | (office as u32 & 0xffff)),
    }
}

/// A bijection that makes neighbours look unrelated, in the low 16 bits too (multiplication by an odd number).
fn scatter(number: u64) -> u32 {
    (number as u32).wrapping_mul(0x9e37_79b1)
}

/// The agent of a client that has the shop's app or a browser; which one follows from a hash.
pub(crate) fn agent(app: bool, hash: u64) -> &'static str {
    common_first(if app { &APPS } else { &BROWSERS }, hash)
}

/// One of a list whose first entries are the commonest.
fn common_first(list: &[&'static str], hash: u64) -> &'static str {
    let place = (mix(hash) % 100).min(hash % 100) as usize * list.len() / 100;
    list.get(place).copied().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_first_clients_have_documentation_addresses_of_their_own() {
        let addresses: HashSet<String> = (1..1_016).map(|number| home_address(number, 1)).collect();
        assert_eq!(addresses.len(), 1_015);
        let documented = ["198.51.100.", "203.0.113.", "2001:db8:"];
        assert!(addresses.iter().all(|address| documented.iter().any(|start| address.starts_with(start))));
    }

    #[test]
    fn no_two_homes_share_an_ipv6_prefix() {
        let prefixes: HashSet<String> = (0..50_000).map(|nth| home_address(2 * nth + 1, 0)).collect();
        assert_eq!(prefixes.len(), 50_000);
    }

    #[test]
    fn offices_have_addresses_of_their_own() {
        let addresses: HashSet<Ipv4Addr> = (0..1_000).map(office_address).collect();
        assert_eq!(addresses.len(), 1_000);
        assert!(!addresses.contains(&CAMPAIGN_ADDRESS.parse().expect("an address")));
    }
}
