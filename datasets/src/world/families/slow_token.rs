//! One token takes one record in 30 seconds, for weeks.

use crate::world::plan::{Kind, Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "slow-token",
        summary: "one account, sequential, one in 30 s",
        rate: 1.0 / 30.0,
        kind: Kind::Account,
        ..Plan::BASE
    },
    Plan {
        name: "slow-token-random",
        summary: "one account, shuffled, one in 30 s, id in the query",
        rate: 1.0 / 30.0,
        kind: Kind::Account,
        order: Order::Random,
        target: "/v1/invoices?order_id={id}",
        route: "/v1/invoices",
        ..Plan::BASE
    },
];
