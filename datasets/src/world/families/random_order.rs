//! One address reads ids in shuffled order.

use crate::world::plan::{Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "random-5",
        summary: "one address, shuffled, 5/s",
        rate: 5.0,
        order: Order::Random,
        ..Plan::BASE
    },
    Plan {
        name: "random-50-middle",
        summary: "one address, shuffled, 50/s, id in the middle",
        rate: 50.0,
        order: Order::Random,
        target: "/v1/users/{id}/addresses",
        route: "/v1/users/{id}/addresses",
        ..Plan::BASE
    },
    Plan {
        name: "random-0.3",
        summary: "one address, shuffled, 0.3/s",
        rate: 0.3,
        order: Order::Random,
        ..Plan::BASE
    },
];
