//! A seeded simulator of the traffic of an API, and of the campaigns that Tripline must find in it.
//!
//! [`generate`] takes a [`Scenario`] and writes an access log in nginx's combined format, in the order of time; it
//! returns the [`Truth`]: who did what, which records leaked, and when ([`leaked_by`]). The same scenario always gives
//! the same bytes. The tour: [`scenario`] says what can be asked for, `benign` merges everybody who means no harm into
//! one stream, `session` is one visit, `clients` says who visits, `catalogue` and `ids` what they can look at, `daytime` when;
//! `campaign` is the attacker, [`truth`] takes him down, `line` writes.
//!
//! [`world`] is the same site for scoring detectors: with everybody who looks like an attacker and is none, every family of
//! attacks, and replays of known incidents; any number of campaigns in one log, or in a log of somebody else's.
//!
//! [`load`] is another generator, for load tests: plain in shape, and as fast as lines can be put together.
//!
//! # The benign traffic
//!
//! A shop: web pages and an app that call one JSON API of some forty routes. Ids are numbers, UUIDs and parcel
//! numbers; they stand at the start, in the middle and at the end of paths and in queries. For each request a second
//! of the asked rate there are 1,000 clients that return and half an office.
//!
//! | what | model | reference |
//! |---|---|---|
//! | visits begin | Poisson process, busiest at 15:00 UTC with 5 times the rate of 03:00; weekend days 0.7 of others | 3–10, 0.6–0.8 |
//! | looks a visit | Pareto 1.5, at most 300; 7.35 requests on average | Pareto 1.3–2 |
//! | time to think | lognormal, median 10 s, sigma 1.2, at most 30 min | lognormal, 30 min |
//! | products | 20,000, Zipf 0.8; 0.4 of looks at one seen before in the visit | Zipf 0.6–1.1, 0.3–0.6 |
//! | clients | 0.15 of visits from offices, 0.38 from clients never seen before, the rest from returning ones with Zipf 0.6 (a Pareto tail of 1.67) | Hill 1.0–2.5 |
//! | requests a client (measured: median, p90, p99) | 4, 19, 100 within hours at 50 requests/s | 2, 8, 43 and 8, 29, 78 in two real logs |
//!
//! The references are published fits of web traffic and two public logs (elastic/examples and the Internet Traffic
//! Archive), as collected in the project's evaluation notes; they are ranges to sweep, and no site is all of them.
//!
//! - *People* look mostly at what is popular and, signed in, at their own account, orders, parcels and messages. 45 %
//!   of those at home use the app. A browser asks for pages and files too and sends referers.
//! - *A list view* (1 % of looks) fetches 20 to 50 consecutive products within two seconds.
//! - *Offices* have 40 to 300 people behind one address. The busiest one reads about as many different products in ten
//!   minutes as a scraper at 0.3/s.
//! - *Sign-ins* fail at 6 %, and whoever mistyped a password is likelier to do so again; after three times he asks for
//!   a new one. 404s come from old links and a missing icon, 499 and 5xx from bad luck.
//! - *A declared crawler* makes 3 % of the requests, at most one in four seconds; *a health probe* comes every 30 s;
//!   *a partner*, if asked for, exports 3,000 orders in sequence each night.
//!
//! Not here, because a rule may rightly fire on it: background scanning of the whole internet, which any public site has.
//!
//! # Addresses
//!
//! Clients have addresses that are reserved for documentation (RFC 5737, RFC 3849); in larger logs, where the IPv4
//! ones run out, for benchmarks too (198.18.0.0/15, RFC 2544). The crawler alone has a real one, [`CRAWLER_ADDRESS`].

// Simulated quantities are drawn as floats and used as counts; all are positive and far below 2^53.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod benign;
mod campaign;
mod catalogue;
mod clients;
mod daytime;
mod ids;
mod line;
pub mod load;
mod mix;
mod random;
pub mod scenario;
mod session;
pub mod truth;
pub mod world;

pub use clients::{CAMPAIGN_ADDRESS, CRAWLER_ADDRESS, PARTNER_ADDRESS, PROBE_ADDRESS};
pub use line::Format;
pub use scenario::{Enumeration, Length, Order, Scenario, ScenarioError};
pub use truth::{Truth, leaked_by};

use crate::benign::Benign;
use crate::campaign::Campaign;
use crate::line::Lines;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use std::io::{self, Write};

/// Lines are handed on once so many bytes have come together.
const BLOCK: usize = 256 * 1024;

/// Why a log was not written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The scenario cannot be simulated.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The log could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes the log of a scenario and returns the truth about it. The same scenario always gives the same bytes.
///
/// Memory: the visits under way (about one for each request a second), and the truth's runs, at most one for each second of the campaign.
pub fn generate(scenario: &Scenario, out: &mut impl Write) -> Result<Truth, GenerateError> {
    scenario.check()?;
    let start_us = scenario.start_us();
    let end_us = scenario.end_us();
    let most_lines = match scenario.length {
        Length::Lines(lines) => lines,
        Length::Duration(_) => u64::MAX,
    };
    let mut benign = Benign::new(scenario.seed, start_us, scenario.rate, scenario.partner_export);
    let mut campaign = scenario.campaign.as_ref().map(|plan| Campaign::new(plan, scenario.seed, start_us));
    let mut lines = Lines::default();
    let mut written = 0;
    while written < most_lines {
        let benign_us = benign.next_us();
        match &mut campaign {
            Some(campaign) if campaign.next_us().is_some_and(|due_us| due_us < benign_us.min(end_us)) => {
                campaign.act(&mut lines);
            }
            _ if benign_us < end_us => benign.act(&mut lines),
            _ => break,
        }
        written += 1;
        if lines.buffer.len() >= BLOCK {
            out.write_all(&lines.buffer)?;
            lines.buffer.clear();
        }
    }
    out.write_all(&lines.buffer)?;
    out.flush()?;
    Ok(Truth {
        scenario: scenario.clone(),
        lines: written,
        benign: benign.into_counts(),
        campaign: campaign.and_then(Campaign::into_truth),
    })
}

/// A duration as people write it, such as `6h`, `41d` or `1h 30m`.
pub fn duration(text: &str) -> Result<SignedDuration, &'static str> {
    let span = text.parse::<Span>().ok();
    span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .ok_or("write weeks, days, hours, minutes or seconds, such as 41d, 6h or 1h 30m")
}
