//! Addresses that share the work evenly: 30 to 10,000.

use crate::world::plan::{Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "addresses-30",
        summary: "30 addresses, 10/s in sum",
        identities: 30,
        order: Order::Random,
        ..Plan::BASE
    },
    Plan {
        name: "addresses-300",
        summary: "300 addresses, 10/s in sum",
        identities: 300,
        order: Order::Random,
        ..Plan::BASE
    },
    Plan {
        name: "addresses-10000",
        summary: "10,000 addresses, each once a minute",
        identities: 10_000,
        rate: 10_000.0 / 60.0,
        order: Order::Random,
        ..Plan::BASE
    },
];
