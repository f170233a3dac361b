//! A hundredth of the route's traffic, over 10,000 addresses.

use crate::world::plan::{Agent, Order, Plan, Turns};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "one-percent",
        summary: "10,000 addresses, drawn, 1 % of a route of 1/s",
        identities: 10_000,
        rate: 0.01,
        turns: Turns::Drawn,
        order: Order::Random,
        agent: Agent::Browsers,
        ..Plan::BASE
    },
];
