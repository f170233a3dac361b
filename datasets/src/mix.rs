//! What differs between sites: the shape of their benign traffic, within the ranges that published fits span.

use crate::daytime::Week;
use crate::random::{mix2, unit};

/// One site's shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) week: Week,
    /// The deviation of the logarithm of the time to think.
    pub(crate) think_sigma: f64,
    /// The tail (Pareto) of the number of looks a visit.
    pub(crate) looks_tail: f64,
    /// The exponent (Zipf) of the popularity of products.
    pub(crate) popularity: f64,
    /// The share of looks at a product that are at one seen before in the session.
    pub(crate) revisits: f64,
    /// The tail (Hill) of the rates of clients that return.
    pub(crate) hill: f64,
}

impl Default for Mix {
    /// The middle of the ranges; see the crate's tour.
    fn default() -> Self {
        Self {
            week: Week::default(),
            think_sigma: 1.2,
            looks_tail: 1.5,
            popularity: 0.8,
            revisits: 0.4,
            hill: 1.0 / 0.6,
        }
    }
}

impl Mix {
    /// A site drawn by `seed` from the ranges: day and night 3 to 10 times, weekend 0.6 to 0.8, looks 1.3 to 2, popularity
    /// 0.6 to 1.1, revisits 0.3 to 0.6, clients 1.0 to 2.5.
    pub(crate) fn swept(seed: u64) -> Self {
        let within = |nth, low: f64, high: f64| low + (high - low) * unit(mix2(mix2(seed, 0x6d69), nth));
        Self {
            week: Week::new(within(0, 3.0, 10.0), within(1, 0.6, 0.8)),
            think_sigma: within(2, 1.0, 1.5),
            looks_tail: within(3, 1.3, 2.0),
            popularity: within(4, 0.6, 1.1),
            revisits: within(5, 0.3, 0.6),
            hill: within(6, 1.0, 2.5),
        }
    }

    /// Requests a visit, relative to the default site's: as the mean number of looks (a Pareto law cut at 300).
    pub(crate) fn session_length(&self) -> f64 {
        let mean = |tail: f64| (tail - 300_f64.powf(1.0 - tail)) / (tail - 1.0);
        mean(self.looks_tail) / mean(1.5)
    }
}
