//! Other requests between the thefts.

use crate::world::plan::{Agent, Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "decoys",
        summary: "one address, 1/s, four other requests after each",
        rate: 1.0,
        decoys: 4,
        agent: Agent::Browsers,
        order: Order::Random,
        ..Plan::BASE
    },
];
