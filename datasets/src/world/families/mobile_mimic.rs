//! The app as it is seen in a log, from many addresses.

use crate::world::plan::{Agent, Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "mobile-mimic",
        summary: "200 addresses with the app's agent, 10/s in sum",
        identities: 200,
        agent: Agent::App,
        order: Order::Random,
        ..Plan::BASE
    },
];
