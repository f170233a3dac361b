//! The truth about a log of a [`World`]: who wrote how many lines, and of each campaign when which record leaked.

use super::World;
use super::plan::Plan;
use crate::truth::Campaign;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Clients are listed up to this many.
const MOST_LISTED: usize = 10_000;

/// Whose a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// People, the declared crawler or the health probe.
    People,
    /// A confounder, by name.
    Confounder(&'static str),
    /// A campaign, by its place among the world's.
    Campaign(usize),
}

/// The truth about one log.
#[derive(Debug, Clone, Serialize)]
pub struct WorldTruth {
    /// See [`World::seed`].
    pub seed: u64,
    /// The first instant of the log.
    pub start: jiff::Timestamp,
    /// What the log spans, seconds.
    pub seconds: i64,
    /// Requests a second of people.
    pub rate: f64,
    /// Whether the site's shape was drawn.
    pub sweep: bool,
    /// Lines.
    pub lines: u64,
    /// Lines of those who mean no harm, by who made them.
    pub benign: BTreeMap<&'static str, u64>,
    /// The campaigns that made a request.
    pub campaigns: Vec<CampaignTruth>,
}

/// One campaign as it stands in the log.
#[derive(Debug, Clone, Serialize)]
pub struct CampaignTruth {
    /// What was carried out. What it `assumed` is synthetic.
    pub plan: Plan,
    /// The addresses that it came from, the first 10,000 of them.
    #[serde(serialize_with = "listed")]
    pub clients: Vec<String>,
    /// When which record leaked.
    #[serde(flatten)]
    pub campaign: Campaign,
    /// When each record leaked, µs since 1970; the first four million.
    #[serde(skip)]
    pub leaked_us: Vec<i64>,
}

fn listed<S: Serializer>(clients: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(&clients[..clients.len().min(MOST_LISTED)])
}

impl WorldTruth {
    pub(super) fn new(
        world: &World,
        lines: u64,
        benign: BTreeMap<&'static str, u64>,
        campaigns: Vec<CampaignTruth>,
    ) -> Self {
        let &World { seed, start, rate, sweep, .. } = world;
        Self { seed, start, seconds: world.duration.as_secs(), rate, sweep, lines, benign, campaigns }
    }
}
