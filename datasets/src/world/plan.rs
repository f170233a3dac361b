//! What a campaign can be: who asks for what, how often and in which order. A [`Plan`] is data, so that a family of attacks is
//! a table of them.

use jiff::SignedDuration;
use serde::Serialize;

/// A campaign to be carried out.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// How it is called on the command line and in the truth.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// What is known of an incident, with its sources; empty for what only a family has.
    pub published: &'static str,
    /// What is assumed because nobody has published it: synthetic, no fact of the incident.
    pub assumed: &'static str,
    /// Records taken in the incident.
    pub taken_then: Option<u64>,
    /// The request's method.
    pub method: &'static str,
    /// Path and query; `{id}`, `{uuid}`, `{email}`, `{phone}`, `{tag}`, `{page}`, `{offset}` or `{ids}` is what varies.
    pub target: &'static str,
    /// The route, as Tripline writes it.
    pub route: &'static str,
    /// Whether what is taken stands in the log at all; a body does not.
    pub logged: bool,
    /// Requests a second for records, of all identities together, the mean while it is at it.
    pub rate: f64,
    /// How many identities share the work.
    pub identities: u64,
    /// What an identity is.
    pub kind: Kind,
    /// Whose turn it is.
    pub turns: Turns,
    /// In which order ids are asked for.
    pub order: Order,
    /// How many records there are to be had.
    pub catalogue: u64,
    /// The share of the ids asked for that exist.
    pub hit_ratio: f64,
    /// Whether a miss is answered 200, shorter.
    pub soft_misses: bool,
    /// Ids a request.
    pub batch: u64,
    /// Other requests after each request for a record.
    pub decoys: u64,
    /// How the rate changes.
    pub pace: Pace,
    /// Who it claims to be.
    pub agent: Agent,
    /// When it begins, counted from the start of the log.
    pub start: SignedDuration,
    /// How long it goes on at most.
    pub duration: Option<SignedDuration>,
    /// It ends after so many records.
    pub records: Option<u64>,
}

impl Plan {
    /// One browser that reads account after account, ten a second.
    pub const BASE: Self = Self {
        name: "",
        summary: "",
        published: "",
        assumed: "",
        taken_then: None,
        method: "GET",
        target: "/v1/users/{id}",
        route: "/v1/users/{id}",
        logged: true,
        rate: 10.0,
        identities: 1,
        kind: Kind::Address,
        turns: Turns::InTurn,
        order: Order::Sequential,
        catalogue: 50_000_000,
        hit_ratio: 1.0,
        soft_misses: false,
        batch: 1,
        decoys: 0,
        pace: Pace::Steady,
        agent: Agent::Browser,
        start: SignedDuration::ZERO,
        duration: None,
        records: None,
    };
}

/// What an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An IPv4 address.
    Address,
    /// An account (the log's user) with an address of its own.
    Account,
    /// An IPv6 /64 within one /48.
    Prefix,
    /// A user name that is made up for each request, from one address.
    MintedUser,
    /// A forwarded-for header that is made up for each request, from one address.
    MintedForwarded,
}

/// Whose turn a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// One identity after the other.
    InTurn,
    /// Drawn for each request, with reuse.
    Drawn,
    /// One after the other, each with ids of its own block.
    Blocks,
}

/// In which order ids are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One after the other.
    Sequential,
    /// Shuffled over the catalogue.
    Random,
    /// What people look at most comes first.
    PopularFirst,
}

/// How the rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Gaps between a half and one and a half of their mean.
    Steady,
    /// As people: more by day than by night, and lognormal gaps.
    Human,
    /// Busy for so many seconds, then silent for so many.
    StopAndGo(i64, i64),
    /// This many times as fast each day.
    Ramp(f64),
}

/// Who a campaign claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// The commonest browser.
    Browser,
    /// Any browser, by identity, with referers.
    Browsers,
    /// The site's own app.
    App,
    /// A program that says so.
    Tool,
}

/// What is wrong with a change to a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write NAME:key=value,.. with identities, rate, start, duration, records, hits, batch, decoys or order, as in sequential-10:rate=5,start=26h"
)]
pub struct PlanError(String);

/// Finds a family's or an incident's plan by `NAME` or `NAME:key=value,..`.
pub fn parse(text: &str) -> Result<Plan, PlanError> {
    let (name, changes) = text.split_once(':').unwrap_or((text, ""));
    let known = super::families::all().chain(super::incidents::all());
    let plan = known.into_iter().find(|plan| plan.name == name);
    let mut plan =
        plan.ok_or_else(|| PlanError(format!("there is no campaign {name:?}, see `tripline-datasets list`")))?.clone();
    for change in changes.split(',').filter(|change| !change.is_empty()) {
        let wrong = || PlanError(format!("{change:?} cannot be understood"));
        let (key, value) = change.split_once('=').ok_or_else(wrong)?;
        plan.set(key, value).ok_or_else(wrong)?;
    }
    Ok(plan)
}

impl Plan {
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let positive = |value: &str| value.parse::<f64>().ok().filter(|x| (1e-5..=1e6).contains(x));
        let count =
            |value: &str| value.replace('_', "").parse::<u64>().ok().filter(|n| (1..=1_000_000_000_000).contains(n));
        match key {
            "rate" => self.rate = positive(value)?,
            "identities" => self.identities = count(value).filter(|&n| n <= super::campaign::MOST_IDENTITIES)?,
            "start" => self.start = crate::duration(value).ok().filter(|start| !start.is_negative())?,
            "duration" => self.duration = Some(crate::duration(value).ok()?),
            "records" => self.records = Some(count(value)?),
            "hits" => self.hit_ratio = positive(value).filter(|&x| x <= 1.0)?,
            "batch" => self.batch = count(value).filter(|&n| n <= 1_000)?,
            "decoys" => self.decoys = value.parse().ok().filter(|&n: &u64| n <= 1_000)?,
            "order" => {
                self.order = match value {
                    "sequential" => Order::Sequential,
                    "random" => Order::Random,
                    "popular" => Order::PopularFirst,
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }
}
