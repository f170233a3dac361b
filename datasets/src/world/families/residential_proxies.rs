//! Proxies, a request an address, drawn from a pool with reuse.

use crate::world::plan::{Agent, Order, Plan, Turns};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "proxies-10000",
        summary: "pool of 10,000 addresses, drawn, 10/s, browsers with referers",
        identities: 10_000,
        turns: Turns::Drawn,
        order: Order::Random,
        agent: Agent::Browsers,
        ..Plan::BASE
    },
    Plan {
        name: "proxies-1000000",
        summary: "pool of 1,000,000 addresses, drawn, 10/s, browsers with referers",
        identities: 1_000_000,
        turns: Turns::Drawn,
        order: Order::Random,
        agent: Agent::Browsers,
        ..Plan::BASE
    },
];
