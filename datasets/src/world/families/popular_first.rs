//! What people look at most comes first, so that nothing is rare.

use crate::world::plan::{Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "popular-first",
        summary: "one address, popular accounts first, 1/s",
        rate: 1.0,
        order: Order::PopularFirst,
        ..Plan::BASE
    },
];
