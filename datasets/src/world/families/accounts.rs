//! Accounts made for the purpose, each with an address of its own.

use crate::world::plan::{Agent, Kind, Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "accounts-50",
        summary: "50 accounts, 10/s in sum",
        identities: 50,
        kind: Kind::Account,
        order: Order::Random,
        agent: Agent::Browsers,
        ..Plan::BASE
    },
    Plan {
        name: "accounts-1000",
        summary: "1,000 accounts, 10/s in sum",
        identities: 1_000,
        kind: Kind::Account,
        order: Order::Random,
        agent: Agent::Browsers,
        ..Plan::BASE
    },
];
