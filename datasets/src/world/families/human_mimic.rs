//! By day more than by night, with gaps as people make them.

use crate::world::plan::{Agent, Order, Pace, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "human-mimic",
        summary: "20 addresses, lognormal gaps, 1/s in sum, by day",
        identities: 20,
        rate: 1.0,
        pace: Pace::Human,
        agent: Agent::Browsers,
        order: Order::Random,
        ..Plan::BASE
    },
];
