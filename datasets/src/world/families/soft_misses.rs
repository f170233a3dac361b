//! Misses are answered 200 and differ only in size.

use crate::world::plan::{Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "soft-misses",
        summary: "one address, 10/s, 10 % hits, misses look like hits",
        hit_ratio: 0.1,
        soft_misses: true,
        order: Order::Random,
        ..Plan::BASE
    },
];
