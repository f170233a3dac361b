//! One visit of one person: a number of looks, each the requests of a page in quick succession, with time to think
//! in between.

use crate::catalogue::{LOGIN, LOGIN_PATH, LOGIN_RESET, LOGIN_TYPO, OWN, PUBLIC, Page, Request, Weighted};
use crate::clients::Visitor;
use crate::ids::{Ids, PRODUCTS, account_id, order_id, product_of_rank};
use crate::line::{Entry, Lines};
use crate::mix::Mix;
use rand::Rng;
use rand_distr::{Distribution as _, LogNormal, Pareto, Zipf};

/// A visitor who thinks longer than this has left (µs).
const TIMEOUT_US: f64 = 1_800e6;
const MOST_LOOKS: f64 = 300.0;
/// The share of sign-ins with a mistyped password; whoever mistypes it is likelier to do it again.
const TYPOS: f64 = 0.06;
/// The share of signed-in sessions that begin with signing in: apps keep their token, browsers a cookie for a while.
const APP_SIGN_INS: f64 = 0.05;
const BROWSER_SIGN_INS: f64 = 0.4;
/// The share of looks, of somebody signed in, at what is his own.
const OWN_LOOKS: f64 = 0.4;

/// The distributions that visits are drawn from.
#[derive(Debug)]
pub(crate) struct Habits {
    /// µs between two looks: half of them within ten seconds.
    think: LogNormal<f64>,
    /// Looks a session.
    looks: Pareto<f64>,
    products: Zipf<f64>,
    revisits: f64,
    /// Accounts seen in public, most popular first.
    authors: Zipf<f64>,
}

impl Habits {
    pub(crate) fn new(mix: &Mix) -> Self {
        Self {
            think: LogNormal::new(10e6_f64.ln(), mix.think_sigma).expect("a positive deviation"),
            looks: Pareto::new(1.0, mix.looks_tail).expect("a positive shape"),
            products: Zipf::new(PRODUCTS as f64, mix.popularity).expect("at least one product"),
            revisits: mix.revisits,
            authors: Zipf::new(20_000.0, 0.9).expect("at least one author"),
        }
    }
}

/// A visit under way.
#[derive(Debug)]
pub(crate) struct Session {
    visitor: Visitor,
    page: &'static Page,
    /// How many of the page's requests have been made, and how many items its list has.
    done: usize,
    items: usize,
    looks_left: u32,
    /// How often the password was mistyped, and whether it was just now.
    typos: u32,
    must_retry: bool,
    /// What the next page's referer says: nothing at first, then the site.
    came_from: Option<&'static str>,
    ids: Ids,
    recent: [u64; 4],
}

/// What a request did, for the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ordinary,
    SignedIn,
    MistypedPassword,
}

impl Session {
    pub(crate) fn new(visitor: Visitor, habits: &Habits, rng: &mut impl Rng) -> Self {
        let looks_left = habits.looks.sample(rng).min(MOST_LOOKS) as u32;
        let signs_in = visitor.signed_in && rng.random_bool(if visitor.app { APP_SIGN_INS } else { BROWSER_SIGN_INS });
        let ids = Ids { account: visitor.account, ..Ids::default() };
        let mut session = Self {
            visitor,
            page: &LOGIN,
            done: 0,
            items: 0,
            looks_left,
            typos: 0,
            must_retry: false,
            came_from: None,
            ids,
            recent: [0; 4],
        };
        if signs_in {
            session.sign_in(rng);
        } else {
            session.look(habits, rng);
        }
        session
    }

    /// Makes the next request, at `now_us`. Returns what it did and when the one after it follows, if any does.
    pub(crate) fn act(
        &mut self,
        now_us: i64,
        habits: &Habits,
        rng: &mut impl Rng,
        lines: &mut Lines,
    ) -> (Outcome, Option<i64>) {
        let request = self.request();
        let status = request.answer(rng.random_range(0..100_000));
        lines.push(&Entry {
            time_us: now_us,
            address: &self.visitor.address,
            request,
            ids: &self.ids,
            status,
            referer: self.referer(),
            agent: self.visitor.agent,
        });
        let outcome = match (request.target, status) {
            (LOGIN_PATH, 200) => Outcome::SignedIn,
            (LOGIN_PATH, 401) => Outcome::MistypedPassword,
            _ => Outcome::Ordinary,
        };
        self.done += 1;
        (outcome, self.next_request(habits, rng).map(|gap_us| now_us + gap_us))
    }

    /// Browsers send the page they show; the page itself they ask for from the one before. The app sends none.
    fn referer(&self) -> Option<&'static str> {
        if self.visitor.app {
            None
        } else if self.done == 0 && !self.page.web.is_empty() {
            self.came_from
        } else {
            Some(self.page.path)
        }
    }

    /// The page's own requests: the files that only browsers want, then what browsers and apps ask the API for.
    fn web(&self) -> &'static [Request] {
        if self.visitor.app { &[] } else { self.page.web }
    }

    fn request(&self) -> &'static Request {
        let web = self.web();
        let own = web.get(self.done).or_else(|| self.page.api.get(self.done - web.len()));
        own.or(self.page.per_item).unwrap_or(&self.page.api[0])
    }

    /// Prepares the next request; the µs until it is made, None if the visit ends.
    fn next_request(&mut self, habits: &Habits, rng: &mut impl Rng) -> Option<i64> {
        let own = self.web().len() + self.page.api.len();
        if self.done < own {
            return Some(rng.random_range(20_000..150_000));
        }
        if self.done < own + self.items {
            // The items of a list are fetched within two seconds, one after the other.
            self.ids.product += u64::from(self.done > own);
            return Some(rng.random_range(600_000..1_900_000) / self.items as i64);
        }
        self.looks_left = self.looks_left.checked_sub(1).filter(|&left| left > 0)?;
        self.came_from = Some("/");
        if self.must_retry {
            self.sign_in(rng);
        } else {
            self.look(habits, rng);
        }
        Some(habits.think.sample(rng).min(TIMEOUT_US) as i64 + 200_000)
    }

    /// Tries a password. Whoever has mistyped it three times asks for another.
    fn sign_in(&mut self, rng: &mut impl Rng) {
        self.must_retry = self.typos < 3 && rng.random_bool(TYPOS * f64::from(1 + 4 * self.typos));
        self.page = match self.typos {
            _ if self.must_retry => &LOGIN_TYPO,
            3.. => &LOGIN_RESET,
            _ => &LOGIN,
        };
        self.typos += u32::from(self.must_retry);
        self.looks_left += 1; // Signing in is not what the visitor came for.
        (self.done, self.items) = (0, 0);
    }

    /// Chooses what to look at next.
    fn look(&mut self, habits: &Habits, rng: &mut impl Rng) {
        let own = self.visitor.signed_in && rng.random_bool(OWN_LOOKS);
        self.page = weighted(if own { OWN } else { PUBLIC }, rng);
        self.done = 0;
        self.ids.look = rng.random();
        self.ids.author = account_id(habits.authors.sample(rng) as u64);
        self.ids.order = order_id(self.visitor.account, self.ids.look % 8);
        let revisited = self.recent[rng.random_range(0..self.recent.len())];
        self.ids.product = if revisited != 0 && rng.random_bool(habits.revisits) {
            revisited
        } else {
            product_of_rank(habits.products.sample(rng) as u64)
        };
        self.recent.rotate_right(1);
        self.recent[0] = self.ids.product;
        self.items = if self.page.per_item.is_some() { rng.random_range(20..=50) } else { 0 };
    }
}

fn weighted(pages: &'static [Weighted], rng: &mut impl Rng) -> &'static Page {
    let total: u32 = pages.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.random_range(0..total);
    for (weight, page) in pages {
        if left < *weight {
            return page;
        }
        left -= weight;
    }
    &LOGIN
}
